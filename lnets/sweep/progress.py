"""How far a sweep is, as its runner tells."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lnets.errors import StoreError
from lnets.results.live import Standing, forget, heard
from lnets.results.records import last_exception
from lnets.results.store import Store
from lnets.sweep.messages import Group, Result
from lnets.sweep.plan import Plan
from lnets.sweep.runner import record_without_result

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Counts of a sweep's trials and of those that they need, and the best of the former."""

    total: int
    """Trials of both kinds."""
    done: int
    """Trials that had ended before, the stopped ones included."""
    objective: str
    """Metric of the best."""
    maximize: bool
    """Whether large is best."""
    completed: int = 0
    diverged: int = 0
    failed: int = 0
    blocked: int = 0
    stopped: int = 0
    stopped_before: int = 0
    """Those of `done` that were stopped."""
    retried: int = 0
    """Deaths of workers after which a group was started again."""
    running: dict[str, str] = field(default_factory=dict)
    """Trials at work: key and label."""
    said: dict[str, str] = field(default_factory=dict)
    """What workers have said last of those, by key."""
    best: float | None = None
    best_label: str = ""
    last_error: str = ""
    """What has happened, label and reason of the latest failure or death of a worker."""
    needed: frozenset[str] = frozenset()
    """Keys of trials that are not compared, because others only need them."""
    speed: float | None = None
    """Steps per second of the trial that has ended last."""
    orthonormality_error: float | None = None
    """Of the same."""
    _since: dict[str, float] = field(default_factory=dict)
    """When groups at work began, by the key of their first trial."""
    _most_at_work: int = 1
    _spent: float = 0.0
    """Seconds of groups whose trials are compared: of a GAN that others need nothing follows."""
    _compared: int = 0
    """Trials among those that have ended."""

    @classmethod
    def of(cls, plan: Plan, done: int) -> "Progress":
        """Before the first trial of a submission."""
        objective = plan.sweep.objectives()[0]
        return cls(
            len(plan.everything),
            done,
            objective.metric,
            objective.maximize is not None,
            needed=frozenset(trial.trial_key for trial in plan.needed),
        )

    @property
    def at_work(self) -> tuple[str, ...]:
        """Labels of the trials at work, and how far they are where that is known."""
        return tuple(
            f"{label} · {self.said[key]}" if key in self.said else label
            for key, label in list(self.running.items())
        )

    @property
    def ended(self) -> int:
        """Trials that this submission has ended."""
        return self.completed + self.diverged + self.failed + self.blocked + self.stopped

    @property
    def there(self) -> int:
        """Trials with results, of this submission or an earlier one."""
        return self.done - self.stopped_before + self.completed + self.diverged

    @property
    def otherwise(self) -> dict[str, int]:
        """Trials that ended in another way than by completing, by how; stopped ones ever."""
        counts = {state: getattr(self, state) for state in ("failed", "blocked", "diverged")}
        return {**counts, "stopped": self.stopped_before + self.stopped}

    @property
    def left(self) -> int:
        """Trials that have not ended."""
        return self.total - self.done - self.ended

    @property
    def seconds_left(self) -> float | None:
        """Until all have ended; None before the first one that is compared has."""
        if not self._compared:
            return None
        return self._spent / self._compared * self.left / self._most_at_work

    def standing(self, spooled: int) -> Standing:
        """All of this, as others may read it while the sweep runs."""
        same = ("total", "left", "objective", "best", "best_label", "seconds_left")
        return Standing(
            **{name: getattr(self, name) for name in same},
            **self.otherwise,
            done=self.there,
            lost=self.retried,
            spooled=spooled,
            steps_per_second=self.speed,
            orthonormality_error=self.orthonormality_error,
            trouble=self.last_error,
        )

    def summary(self) -> str:
        """Counts as text."""
        counts = {**self.otherwise, "left": self.left}
        others = [f"{count} {state}" for state, count in counts.items() if count]
        return ", ".join([f"{self.there} of {self.total} trials are there", *others])

    def hear(self, root: Path) -> None:
        """Read what workers say of the trials at work in a store."""
        found = {key: heard(root, key) for key in list(self.running)}
        self.said = {key: said for key, said in found.items() if said is not None}

    def start(self, group: Group) -> None:
        """A worker has begun with a group."""
        self.running |= {job.trial_key: job.label for job in group.jobs}
        self._since[group.jobs[0].trial_key] = time.monotonic()
        self._most_at_work = max(self._most_at_work, len(self._since))

    def end(self, group: Group, results: Sequence[Result]) -> None:
        """Every trial of a group has ended, or was not begun."""
        since = self._since.pop(group.jobs[0].trial_key, None)
        if since is not None and group.jobs[0].trial_key not in self.needed:
            self._spent += time.monotonic() - since
            self._compared += sum(result.status != "paused" for result in results)
        labels = {job.trial_key: job.label for job in group.jobs}
        for key in labels:
            self.running.pop(key, None)
        for result in results:
            label = labels[result.trial_key]
            self.speed = result.metrics.get("steps_per_second", self.speed)
            self.orthonormality_error = result.metrics.get("orthonormality_error")
            match result.status:
                case "failed":
                    self.failed += 1
                    self.last_error = f"failed: {label}: {last_exception(result.error)}"
                case "blocked":
                    self.blocked += 1
                    self.last_error = f"blocked: {group.label}: {result.error}"
                case "paused":
                    continue
                case "stopped":
                    self.stopped += 1
                case "diverged":
                    self.diverged += 1
                case "completed":
                    self.completed += 1
                    if result.trial_key not in self.needed:
                        self.consider(label, result.metrics.get(self.objective))

    def retry(self, group: Group, reason: str) -> None:
        """A group has lost its worker, and waits for another."""
        self.retried += 1
        self.last_error = f"worker lost, tried again: {group.label}: {reason}"
        self._since.pop(group.jobs[0].trial_key, None)
        for job in group.jobs:
            self.running.pop(job.trial_key, None)

    def consider(self, label: str, value: float | None) -> None:
        """Keep the best."""
        if value is not None and (
            self.best is None or (value > self.best if self.maximize else value < self.best)
        ):
            self.best, self.best_label = value, label


class Watcher:
    """The driver's listener: keeps the progress, and spools what a dead worker could not.

    Args:
        progress: Kept up to date.
        store: Where lost trials are noted.
        changed: Called after each change.
    """

    def __init__(self, progress: Progress, store: Store, changed: Callable[[], None]) -> None:
        self._progress = progress
        self._store = store
        self._changed = changed
        self.not_kept: str | None = None
        """Why a result could not be spooled; then nothing more should be run."""

    def started(self, group: Group) -> None:
        """A worker has begun with a group."""
        self._progress.start(group)
        _log.info("begins: %s", group.label, extra={"trial_key": group.jobs[0].trial_key})
        self._changed()

    def ended(self, group: Group, results: Sequence[Result]) -> None:
        """Every trial of a group is in the spool."""
        self._progress.end(group, results)
        self.not_kept = next((r.error for r in results if not r.kept), self.not_kept)
        labels = {job.trial_key: job.label for job in group.jobs}
        for key in labels:
            forget(self._store.root, key)
        for result in results:
            self._tell(result, labels.pop(result.trial_key))
        for key, label in labels.items():
            _log.info("left for another time: %s", label, extra={"trial_key": key})
        self._changed()

    def _tell(self, result: Result, label: str) -> None:
        """Note in the log how a trial ended."""
        value = result.metrics.get(self._progress.objective)
        known = last_exception(result.error) if result.error else ""
        if value is not None:
            known = f"{self._progress.objective} {value:.5g}"
        level = logging.ERROR if result.status == "failed" else logging.INFO
        text = f"{result.status}: {label}" + (f": {known}" if known else "")
        _log.log(level, "%s", text, extra={"trial_key": result.trial_key})

    def lost(self, group: Group, reason: str) -> None:
        """A worker has died with a group; what it had not spooled has failed."""
        results = []
        for job in group.jobs:
            record = self._store.spooled(job.trial_key)
            if record is None and job.trial_key in self._store.ended().finished:
                results.append(Result(trial_key=job.trial_key, status="completed"))
                continue
            if record is None or not job.answered_by(record):
                error = f"the worker was lost: {reason}"
                record = record_without_result(job, group.device, "failed", error)
                try:
                    self._store.put(record)
                except StoreError as unwritable:
                    results.append(Result.not_kept(job.trial_key, unwritable))
                    continue
            results.append(Result.of(record))
        self.ended(group, results)
