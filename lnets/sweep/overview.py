"""Sweeps of a store: which there are, and how far they are."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lnets.errors import NotFoundError, SpecError
from lnets.results import proposals
from lnets.results.live import STOPPING, Heartbeat, heartbeats
from lnets.results.records import KEY_DIGITS, SweepTrials, last_exception, short_commit
from lnets.results.selected import ENDINGS, Counts
from lnets.results.store import Store
from lnets.results.tables import trials_that_count
from lnets.specs.identity import resolved_json, sweep_id, sweep_of
from lnets.specs.load import load_sweep
from lnets.specs.spec import many, nearest
from lnets.specs.sweep import SweepSpec
from lnets.sweep.plan import make_plan
from lnets.sweep.search import plan_so_far, still_to_ask


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
    commit: str | None
    """Of the code of the latest submission."""
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
            "commit": self.commit,
            "driver": driver,
            "needs": {name: asdict(need) for name, need in self.needs.items()},
            "failures": list(self.failures),
        }

    def to_text(self) -> str:
        """For a person."""
        counts = self.counts
        lines = [
            f"{counts.name} ({counts.sweep_id}), submitted {self.submitted_at}, "
            f"commit {short_commit(self.commit)}",
            f"  {counts.completed} of {counts.trials} trials completed, "
            f"{counts.diverged} diverged, {counts.failed} failed, "
            + (f"{counts.blocked} blocked, " if counts.blocked else "")
            + (f"{counts.stopped} stopped, " if counts.stopped else "")
            + f"{counts.missing} missing",
        ]
        lines += [
            f"  needs {name}: trial {need.trial_key[:KEY_DIGITS]} {need.status}"
            for name, need in self.needs.items()
        ]
        if self.driver is not None:
            driver = f"driver {self.driver.pid} on {self.driver.host}"
            lines.append(f"  running now, {driver}:" + " nothing" * (not self.driver.running))
            lines += [f"    {label}" for label in self.driver.running]
            lines += [f"  {STOPPING}"] * (self.driver.asked is not None)
            if self.driver.dashboard:
                lines.append(f"  Ray dashboard: {self.driver.dashboard}")
        elif counts.missing or counts.failed or counts.blocked:
            lines.append(
                f"  no driver is at work on it; `lnets-sweep resume {counts.name}` goes on"
            )
        lines += [f"  {failure}" for failure in self.failures]
        return "\n".join(lines)


def status_of(store: Store, named: str | None) -> list[Status]:
    """How far a sweep is, or every sweep of the store.

    Raises:
        NotFoundError: If the store has no such sweep.
    """
    stored = submissions(store) if named is None else [find_submission(store, named)]
    alive = {heartbeat.sweep_id: heartbeat for heartbeat in heartbeats(store.root)}
    sweeps = [SweepTrials.of(one) for one in stored]
    keys = [key for sweep in sweeps for key in (*sweep.needs.values(), *sweep.trial_keys)]
    known = trials_that_count(store, keys)
    return [
        _status(known, sweep, one, alive.get(sweep.sweep_id), still_to_ask(one, store))
        for one, sweep in zip(stored, sweeps, strict=True)
    ]


def find_sweep(store: Store, name: str) -> tuple[SweepTrials, dict[str, Any]]:
    """The trials of a sweep and its resolved spec as data.

    Args:
        store: Where results are.
        name: Name or id of a sweep in the store, or a sweep file.

    Raises:
        NotFoundError: If the store has no such sweep.
        SpecError: If the file has mistakes.
    """
    if is_file(name):
        plan = plan_so_far(load_sweep(Path(name)), store)
        return plan.as_trials(), json.loads(resolved_json(plan.sweep, plan.needs))
    row = find_submission(store, name)
    return SweepTrials.of(row), json.loads(row["spec"])


def sweep_named(store: Store, name: str) -> SweepSpec:
    """A sweep, by its name or id in the store, or its file.

    Raises:
        NotFoundError: If the store has no such sweep.
        SpecError: If the file has mistakes, or an older version has written what the store has.
    """
    if is_file(name):
        return load_sweep(Path(name))
    row = find_submission(store, name)
    try:
        sweep = sweep_of(row["spec"])
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise SpecError(
            f"{store.root}: another version of lnets has stored the sweep `{name}`, which this one "
            f"cannot read ({reason}); name its file instead."
        ) from None
    # It is stored with its table's layout, which its file may have left out; its id is the file's.
    as_written = sweep.model_copy(update={"table": None})
    return as_written if sweep_id(as_written) == row["sweep_id"] else sweep


def is_file(name: str) -> bool:
    """Whether a sweep is named by its file."""
    return name.endswith((".yaml", ".yml"))


def submissions(store: Store) -> list[dict[str, Any]]:
    """The latest submission of each sweep, the latest first."""
    rows = proposals.submissions(store)
    latest: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["submitted_at"], reverse=True):
        latest.setdefault(row["sweep_id"], row)
    return list(latest.values())


def find_submission(store: Store, name: str) -> dict[str, Any]:
    """The submission that a name, an id or a file means; the latest of that name."""
    if is_file(name):
        name = make_plan(load_sweep(Path(name))).sweep_id
    rows = submissions(store)
    for row in rows:
        if name in (row["name"], row["sweep_id"]):
            return row
    known = sorted({row["name"] for row in rows})
    hint = nearest(name, known) if known else "it holds no sweeps yet"
    raise NotFoundError(f"{store.root}: no sweep `{name}`; {hint}")


def _status(
    known: Mapping[str, dict[str, Any]],
    sweep: SweepTrials,
    row: dict[str, Any],
    driver: Heartbeat | None,
    to_ask: int,
) -> Status:
    trials = [known[key] for key in sweep.trial_keys if key in known]
    statuses = [trial["status"] for trial in trials]
    counts = Counts(
        sweep.sweep_id,
        sweep.name,
        len(sweep.trial_keys) + to_ask,
        *(statuses.count(status) for status in ENDINGS),
    )
    needs = {
        name: Need(key, known[key]["status"] if key in known else "missing")
        for name, key in sweep.needs.items()
    }
    needed = [known[key] for key in sweep.needs.values() if key in known]
    rows = {trial["trial_key"]: trial for trial in (*needed, *trials)}.values()
    failures = [
        f"failed: trial {trial['trial_key'][:KEY_DIGITS]} (seed {trial['seed']}, attempt "
        f"{trial['attempt']}): {last_exception(trial['error'])}"
        for trial in rows
        if trial["status"] == "failed"
    ]
    reasons = Counter(trial["error"] for trial in rows if trial["status"] == "blocked")
    failures += [
        f"blocked: {many(number, 'trial')}: {reason}" for reason, number in reasons.items()
    ]
    return Status(counts, when(row), row["commit"], driver, needs, tuple(failures))


def when(row: dict[str, Any]) -> str:
    """When a submission was made."""
    return f"{row['submitted_at']:%Y-%m-%d %H:%M:%S} UTC"
