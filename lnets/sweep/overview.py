"""Sweeps of a store: which there are, how far they are, and their tables."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lnets.errors import NotFoundError, SpecError
from lnets.results.live import Heartbeat, heartbeats
from lnets.results.proposals import trial_keys
from lnets.results.records import SweepTrials, last_exception
from lnets.results.store import Store
from lnets.results.tables import (
    Counts,
    Table,
    count,
    make_table,
    trials_that_count,
)
from lnets.specs.identity import resolved_json, sweep_of
from lnets.specs.load import load_sweep
from lnets.specs.metrics import KNOWN, find_metric
from lnets.specs.overrides import paths_in
from lnets.specs.spec import nearest
from lnets.specs.sweep import SweepSpec, TableSpec
from lnets.sweep.plan import make_plan
from lnets.sweep.search import plan_so_far


@dataclass(frozen=True)
class Need:
    """A trial that others of a sweep need."""

    trial_key: str
    status: str
    """`missing` if it has not ended."""


@dataclass(frozen=True)
class Status:
    """How far a sweep is."""

    counts: Counts
    submitted_at: str
    driver: Heartbeat | None
    """The driver that is at work on it, if one is."""
    needs: Mapping[str, Need]
    """How far what it needs is, by name."""
    failures: tuple[str, ...]
    """Trial key, seed and exception of each failed trial, and why others are blocked."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        driver = None if self.driver is None else self.driver.model_dump(mode="json")
        return {
            **asdict(self.counts),
            "missing": self.counts.missing,
            "submitted_at": self.submitted_at,
            "driver": driver,
            "needs": {name: asdict(need) for name, need in self.needs.items()},
            "failures": list(self.failures),
        }

    def to_text(self) -> str:
        """For a person."""
        counts = self.counts
        lines = [
            f"{counts.name} ({counts.sweep_id}), submitted {self.submitted_at}",
            f"  {counts.completed} of {counts.trials} trials completed, "
            f"{counts.diverged} diverged, {counts.failed} failed, "
            + (f"{counts.blocked} blocked, " if counts.blocked else "")
            + (f"{counts.stopped} stopped, " if counts.stopped else "")
            + f"{counts.missing} missing",
        ]
        lines += [
            f"  needs {name}: trial {need.trial_key[:12]} {need.status}"
            for name, need in self.needs.items()
        ]
        if self.driver is not None:
            lines.append(f"  running now, driver {self.driver.pid} on {self.driver.host}:")
            lines += [f"    {label}" for label in self.driver.running]
            if self.driver.dashboard:
                lines.append(f"  Ray dashboard: {self.driver.dashboard}")
        elif counts.missing or counts.failed or counts.blocked:
            lines.append("  no driver is at work on it; submit the sweep again to run the rest")
        lines += [f"  {failure}" for failure in self.failures]
        return "\n".join(lines)


def sweep_rows(store: Store) -> list[dict[str, Any]]:
    """One row per sweep, the latest submission first."""
    alive = {heartbeat.sweep_id for heartbeat in heartbeats(store.root)}
    rows = []
    for stored in _submissions(store):
        counts = count(store, _trials(stored))
        rows.append(
            {
                "name": counts.name,
                "sweep_id": counts.sweep_id,
                "submitted": _when(stored),
                "state": "running" if counts.sweep_id in alive else _state(counts),
                "trials": counts.trials,
                "completed": counts.completed,
                "diverged": counts.diverged,
                "failed": counts.failed,
                "blocked": counts.blocked,
                "stopped": counts.stopped,
                "missing": counts.missing,
            }
        )
    return rows


def status_of(store: Store, named: str | None) -> list[Status]:
    """How far a sweep is, or every sweep of the store.

    Raises:
        NotFoundError: If the store has no such sweep.
    """
    stored = _submissions(store) if named is None else [_find(store, named)]
    alive = {heartbeat.sweep_id: heartbeat for heartbeat in heartbeats(store.root)}
    return [_status(store, one, alive.get(one["sweep_id"])) for one in stored]


def table_of(
    store: Store,
    named: Sequence[str],
    *,
    rows: str | None = None,
    columns: str | None = None,
    values: str | None = None,
) -> Table:
    """Compare sweeps, in the layout of the first unless another is given.

    Args:
        store: Where results are.
        named: Names or ids of sweeps in the store, or sweep files.
        rows: Configuration paths, separated by commas; without `columns`, there are none then.
        columns: Configuration paths, separated by commas.
        values: Metrics, separated by commas.

    Raises:
        NotFoundError: If the store has no such sweep.
        SpecError: If a metric or path does not exist.
    """
    found = [_named(store, name) for name in named]
    sweeps = [trials for trials, _ in found]
    layout = TableSpec.model_validate_json(json.dumps(found[0][1]["table"]))
    if rows is not None and columns is None:
        columns = ""  # another question than the file's: its columns may name the new rows
    changes = {
        part: tuple(name.strip() for name in given.split(",") if name.strip())
        for part, given in (("rows", rows), ("columns", columns), ("values", values))
        if given is not None
    }
    asked = layout.model_copy(update=changes)
    if changes:
        _check_layout(asked, sweeps, [spec["experiment"] for _, spec in found], store)
    return make_table(store, sweeps, asked)


def trials_of(store: Store, name: str) -> SweepTrials:
    """The trials of a sweep, by its name or id in the store, or its file.

    Raises:
        NotFoundError: If the store has no such sweep.
    """
    return _named(store, name)[0]


def sweep_named(store: Store, name: str) -> SweepSpec:
    """A sweep, by its name or id in the store, or its file.

    Raises:
        NotFoundError: If the store has no such sweep.
        SpecError: If the file has mistakes, or an older version has written what the store has.
    """
    if _is_file(name):
        return load_sweep(Path(name))
    row = _find(store, name)
    try:
        return sweep_of(row["spec"])
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise SpecError(
            f"{store.root}: another version of lnets has stored the sweep `{name}`, which this one "
            f"cannot read ({reason}); name its file instead."
        ) from None


def _check_layout(
    layout: TableSpec,
    sweeps: Sequence[SweepTrials],
    bases: Sequence[dict[str, Any]],
    store: Store,
) -> None:
    for metric in layout.values:
        if find_metric(metric) is None:
            raise SpecError(f"--values: no metric `{metric}`; {nearest(metric, KNOWN)}")
    paths = (*layout.rows, *layout.columns)
    for name, parts in (("--rows and --columns", paths), ("--values", layout.values)):
        if len(set(parts)) < len(parts):
            raise SpecError(f"{name}: must name each once, got {', '.join(parts)}")
    keys = [key for sweep in sweeps for key in sweep.trial_keys]
    configs = [row["config"] for row in trials_that_count(store, keys).values()]
    known = {path for config in [*configs, *bases] for path in paths_in(config)}
    for path in paths:
        if path not in known:
            raise SpecError(f"no trial has a field `{path}`; {nearest(path, sorted(known))}")


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _named(store: Store, name: str) -> tuple[SweepTrials, dict[str, Any]]:
    if _is_file(name):
        plan = plan_so_far(load_sweep(Path(name)), store)
        return plan.as_trials(), json.loads(resolved_json(plan.sweep, plan.needs))
    row = _find(store, name)
    return _trials(row), json.loads(row["spec"])


def _trials(row: dict[str, Any]) -> SweepTrials:
    needs = json.loads(row["spec"]).get("needs", {})  # which older submissions do not have
    keys = {name: need["trial_key"] for name, need in needs.items() if "trial_key" in need}
    return SweepTrials(row["sweep_id"], row["name"], tuple(row["trial_keys"]), keys)


def _submissions(store: Store) -> list[dict[str, Any]]:
    """The latest submission of each sweep, the latest first."""
    rows = store.table("sweeps").sort_by([("submitted_at", "descending")]).to_pylist()
    latest: dict[str, dict[str, Any]] = {}
    for row in rows:
        latest.setdefault(row["sweep_id"], row)
    for row in latest.values():
        row["trial_keys"] = trial_keys(store, json.loads(row["spec"]), row["trial_keys"])
    return list(latest.values())


def _find(store: Store, name: str) -> dict[str, Any]:
    """The submission that a name, an id or a file means; the latest of that name."""
    if _is_file(name):
        name = make_plan(load_sweep(Path(name))).sweep_id
    rows = _submissions(store)
    for row in rows:
        if name in (row["name"], row["sweep_id"]):
            return row
    known = sorted({row["name"] for row in rows})
    hint = nearest(name, known) if known else "it holds no sweeps yet"
    raise NotFoundError(f"{store.root}: no sweep `{name}`; {hint}")


def _status(store: Store, row: dict[str, Any], driver: Heartbeat | None) -> Status:
    sweep = _trials(row)
    rows = trials_that_count(store, [*sweep.needs.values(), *sweep.trial_keys])
    needs = {
        name: Need(key, rows[key]["status"] if key in rows else "missing")
        for name, key in sweep.needs.items()
    }
    failures = [
        f"failed: trial {trial['trial_key'][:12]} (seed {trial['seed']}, attempt "
        f"{trial['attempt']}): {last_exception(trial['error'])}"
        for trial in rows.values()
        if trial["status"] == "failed"
    ]
    reasons = Counter(trial["error"] for trial in rows.values() if trial["status"] == "blocked")
    failures += [f"blocked: {number} trials: {reason}" for reason, number in reasons.items()]
    return Status(count(store, sweep), _when(row), driver, needs, tuple(failures))


def _when(row: dict[str, Any]) -> str:
    return f"{row['submitted_at']:%Y-%m-%d %H:%M:%S} UTC"


def _state(counts: Counts) -> str:
    if counts.missing:
        return "incomplete"
    if counts.failed:
        return "failed"
    return "blocked" if counts.blocked else "done"
