"""Searches whose trials are a formula."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lnets.results.records import TrialRecord
from lnets.results.store import Store
from lnets.specs.sweep import SweepSpec
from lnets.sweep.driver import submit
from lnets.sweep.messages import Group, Job, Result
from lnets.sweep.plan import make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import Listener

Formula = Callable[..., dict[str, float] | str | None]
"""Metrics of a configuration with a seed, and where it is to pause if it is; None: it diverges;
text: it fails."""


class FormulaRunner:
    """Runs some groups at the same time, of which they end in any order.

    Args:
        formula: What trials find.
        workers: Groups at the same time.
        pick: Which of those at work ends next, by their number.
        limit: Trials after which the run is interrupted.
    """

    def __init__(
        self,
        formula: Formula,
        *,
        workers: int = 1,
        pick: Callable[[int], int] = lambda count: 0,
        limit: int = 10**9,
    ) -> None:
        self.workers = workers
        self.ran: list[str] = []
        self._formula, self._pick, self._limit = formula, pick, limit

    def run(self, groups: Iterator[Group | None], listener: Listener) -> None:
        at_work: list[Group] = []
        while True:
            while len(at_work) < self.workers and (group := next(groups, None)) is not None:
                listener.started(group)
                at_work.append(group)
            if not at_work:
                return
            group = at_work.pop(self._pick(len(at_work)))
            results = [self._execute(job, Store(Path(group.store))) for job in group.jobs]
            if len(self.ran) >= self._limit:
                raise KeyboardInterrupt
            listener.ended(group, results)

    def _execute(self, job: Job, store: Store) -> Result:
        self.ran.append(job.trial_key)
        pause = () if job.until is None else (job.until,)
        found = self._formula(json.loads(job.config), job.seed, *pause)
        status = "diverged" if found is None else "paused" if pause else "completed"
        if status == "paused" and isinstance(found, dict):
            found = {**found, "paused_at": float(job.until or 0)}
        record = TrialRecord(
            **job.model_dump(exclude={"label", "until", "keep"}),
            task="wasserstein",
            started_at=datetime.now(UTC),
            device="cpu",
            status="failed" if isinstance(found, str) else status,
            error=found if isinstance(found, str) else None,
            metrics=found if isinstance(found, dict) else {},
            train_seconds=None if isinstance(found, str) else 0.1,
        )
        store.put(record)
        return Result.of(record)


def search_of(data: dict[str, Any], algorithm: dict[str, Any], **changes: Any) -> SweepSpec:
    whole = {**data, **changes, "algorithm": {"type": "optuna", **algorithm}}
    return SweepSpec.model_validate_json(json.dumps(whole))


def run(sweep: SweepSpec, store: Store, runner: Any) -> Progress:
    plan = make_plan(sweep)
    progress = Progress.of(plan, 0)
    submit(plan, store, runner, progress)
    return progress


def proposals(store: Store) -> list[dict[str, float]]:
    rows = store.table("proposals").sort_by("number").to_pylist()
    assert [row["number"] for row in rows] == list(range(len(rows))), "one is missing, or twice"
    return [json.loads(row["parameters"]) for row in rows]


def rows(store: Store) -> dict[str, dict[str, Any]]:
    """Those of results; each trial has one."""
    every = [row for row in store.table("trials").to_pylist() if row["status"] != "stopped"]
    assert len({row["trial_key"] for row in every}) == len(every), "a trial is there twice"
    return {row["trial_key"]: row for row in every}
