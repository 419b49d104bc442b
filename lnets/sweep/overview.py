"""Sweeps of a store: which there are, and how far they are."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lnets.errors import NotFoundError
from lnets.results.live import Heartbeat, heartbeats
from lnets.results.records import SweepTrials, last_exception
from lnets.results.selected import Counts
from lnets.results.store import Store
from lnets.results.tables import trials_that_count
from lnets.specs.identity import resolved_json
from lnets.specs.load import load_sweep
from lnets.specs.spec import nearest
from lnets.sweep.plan import make_plan


@dataclass(frozen=True)
class Status:
    """How far a sweep is."""

    counts: Counts
    submitted_at: str
    driver: Heartbeat | None
    """The driver that is at work on it, if one is."""
    failures: tuple[str, ...]
    """Trial key, seed and exception of each failed trial."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        driver = None if self.driver is None else self.driver.model_dump(mode="json")
        return {
            **asdict(self.counts),
            "missing": self.counts.missing,
            "submitted_at": self.submitted_at,
            "driver": driver,
            "failures": list(self.failures),
        }

    def to_text(self) -> str:
        """For a person."""
        counts = self.counts
        lines = [
            f"{counts.name} ({counts.sweep_id}), submitted {self.submitted_at}",
            f"  {counts.completed} of {counts.trials} trials completed, "
            f"{counts.diverged} diverged, {counts.failed} failed, {counts.missing} missing",
        ]
        if self.driver is not None:
            lines.append(f"  running now, driver {self.driver.pid} on {self.driver.host}:")
            lines += [f"    {label}" for label in self.driver.running]
            if self.driver.dashboard:
                lines.append(f"  Ray dashboard: {self.driver.dashboard}")
        elif counts.missing or counts.failed:
            lines.append("  no driver is at work on it; submit the sweep again to run the rest")
        lines += [f"  failed: {failure}" for failure in self.failures]
        return "\n".join(lines)


def status_of(store: Store, named: str | None) -> list[Status]:
    """How far a sweep is, or every sweep of the store.

    Raises:
        NotFoundError: If the store has no such sweep.
    """
    stored = submissions(store) if named is None else [find_submission(store, named)]
    alive = {heartbeat.sweep_id: heartbeat for heartbeat in heartbeats(store.root)}
    trials = trials_that_count(store, [key for one in stored for key in one["trial_keys"]])
    return [_status(trials, one, alive.get(one["sweep_id"])) for one in stored]


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
        plan = make_plan(load_sweep(Path(name)))
        return plan.as_trials(), json.loads(resolved_json(plan.sweep))
    row = find_submission(store, name)
    return sweep_trials(row), json.loads(row["spec"])


def is_file(name: str) -> bool:
    """Whether a sweep is named by its file."""
    return name.endswith((".yaml", ".yml"))


def sweep_trials(row: dict[str, Any]) -> SweepTrials:
    """The trials of a submission."""
    return SweepTrials(row["sweep_id"], row["name"], tuple(row["trial_keys"]))


def submissions(store: Store) -> list[dict[str, Any]]:
    """The latest submission of each sweep, the latest first."""
    rows = store.table("sweeps").sort_by([("submitted_at", "descending")]).to_pylist()
    latest: dict[str, dict[str, Any]] = {}
    for row in rows:
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
    known: Mapping[str, dict[str, Any]], row: dict[str, Any], driver: Heartbeat | None
) -> Status:
    trials = [known[key] for key in row["trial_keys"] if key in known]
    statuses = [trial["status"] for trial in trials]
    counts = Counts(
        row["sweep_id"],
        row["name"],
        len(row["trial_keys"]),
        *(statuses.count(status) for status in ("completed", "diverged", "failed")),
    )
    failures = tuple(
        f"trial {trial['trial_key'][:12]} (seed {trial['seed']}, attempt {trial['attempt']}): "
        f"{last_exception(trial['error'])}"
        for trial in trials
        if trial["status"] == "failed"
    )
    return Status(counts, when(row), driver, failures)


def when(row: dict[str, Any]) -> str:
    """When a submission was made."""
    return f"{row['submitted_at']:%Y-%m-%d %H:%M:%S} UTC"
