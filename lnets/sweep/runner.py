"""What a runner is, how it executes a group of trials, and the runner without Ray."""

import contextlib
import errno
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from lnets.errors import ClusterError, StoreError
from lnets.results.artifacts import CHECKPOINT, EXPERIMENT_FILE, SNAPSHOT, WEIGHTS
from lnets.results.files import replacing, write_atomically
from lnets.results.live import stop_asked
from lnets.results.records import Status, TrialRecord, last_exception
from lnets.results.store import Store
from lnets.specs.figures import FIGURES
from lnets.sweep.messages import Group, Job, Result
from lnets.sweep.parts import link, train_parts

if TYPE_CHECKING:
    from lnets.tasks.outcome import Outcome

_MAX_ERROR = 10_000
# What libraries that write files say of full disks, whatever they raise.
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears from a runner, in one thread at a time."""

    def started(self, group: Group) -> None:
        """A worker has begun with a group."""

    def ended(self, group: Group, results: Sequence[Result]) -> None:
        """Every trial of a group is in the spool."""

    def lost(self, group: Group, reason: str) -> None:
        """A worker has died with a group."""


class Runner(Protocol):
    """Executes groups until there are no more."""

    @property
    def workers(self) -> int:
        """Groups that run at the same time."""

    def run(self, groups: Iterator[Group | None], listener: Listener) -> None:
        """Take groups one by one, as workers become free.

        Args:
            groups: The next one, or None while all that are left wait for some that are at work.
            listener: Hears how they end.

        Raises:
            ClusterError: If the workers cannot be had.
            KeyboardInterrupt: If the person, or the system, ends the run.
        """


Train: TypeAlias = Callable[[Sequence[Job], Group], list[TrialRecord]]


class InProcessRunner:
    """One group after the other, in this process: for debugging, and where Ray cannot run."""

    workers = 1

    def run(self, groups: Iterator[Group | None], listener: Listener) -> None:
        """Take groups one by one."""
        for group in groups:
            assert group is not None, "nothing is at work, so nothing waits for it"
            listener.started(group)
            listener.ended(group, execute(group, train_here))


def execute(group: Group, train: Train) -> list[Result]:
    """Train every trial of a group, spool its record, and draw what it has left for figures.

    Several are trained at once; should that fail, one by one, so that a trial is failed only by
    itself. A trial that an earlier, killed worker has spooled already is not run again. What cannot
    be written, because the disk is full, is no failure of a trial: its result says so.

    Args:
        group: The trials.
        train: Trains some of them at once, and saves their weights.

    Returns:
        How they ended; nothing if their driver has been asked to stop, as groups may have been
        staged long before.

    Raises:
        ClusterError: From `train`, if workers were lost; the group can be executed again.
    """
    store = Store(Path(group.store))
    if stop_asked(store.root, group.driver):
        return []
    results = {job.trial_key: _earlier(job, store) for job in group.jobs}
    jobs = [job for job in group.jobs if results[job.trial_key] is None]
    try:
        records = _train_all(jobs, group, train)
    except StoreError as error:
        records = []
        results |= {job.trial_key: Result.not_kept(job.trial_key, error) for job in jobs}
    for record in records:
        try:
            store.put(record)
            results[record.trial_key] = Result.of(record)
        except StoreError as error:
            results[record.trial_key] = Result.not_kept(record.trial_key, error)
    for record in records:
        _draw(record, store.artifacts(record.trial_key))
    return [result for result in results.values() if result is not None]


def _draw(record: TrialRecord, folder: Path) -> None:
    """Pictures of a trial whose task has left anything for them; they can be drawn again later."""
    left = {file.name for file in folder.glob("[!.]*") if not file.name.endswith(".safetensors")}
    left -= {EXPERIMENT_FILE}
    if not record.finished or not left:
        return
    try:
        from lnets.results.plots import DrawnTrial, draw_trial  # half a second of matplotlib

        draw_trial(DrawnTrial.of(record), folder, folder / FIGURES)
    except Exception as error:  # a trial that has ended must not fail by its pictures
        _log.warning("Figures of %s could not be drawn: %s", record.trial_key, error)


def _earlier(job: Job, store: Store) -> Result | None:
    record = store.spooled(job.trial_key)
    if record is not None and job.answered_by(record):
        return Result.of(record)
    # An outcome without a spooled record: a worker died, perhaps after its driver committed.
    tried = (store.artifacts(job.trial_key) / EXPERIMENT_FILE).exists()
    if tried and job.trial_key in store.ended().finished:
        return Result(trial_key=job.trial_key, status="completed")
    return None


def _train_all(jobs: Sequence[Job], group: Group, train: Train) -> list[TrialRecord]:
    if len(jobs) > 1:
        with contextlib.suppress(Exception):  # whichever trial raised will raise alone, too
            return train(jobs, group)
    return [_train_alone(job, group, train) for job in jobs]


def _train_alone(job: Job, group: Group, train: Train) -> TrialRecord:
    started = datetime.now(UTC)
    try:
        (record,) = train([job], group)
    except ClusterError:
        raise
    except Exception:  # whatever a trial raises is its result, and must not end the sweep
        error = traceback.format_exc()
        if any(reason in error for reason in _FULL):
            raise StoreError(f"{group.store}: cannot be written: {last_exception(error)}") from None
        return record_without_result(job, group.device, "failed", error, started)
    return record


def train_here(jobs: Sequence[Job], group: Group) -> list[TrialRecord]:
    """Train some trials of a group at once, in this process, and save their weights.

    Returns:
        Their records; none on other processes than the first of those that train together.
    """
    # Commands that run nothing must start without torch.
    from lnets.tasks.files import remove_state

    store = Store(Path(group.store))
    started = datetime.now(UTC)
    outcomes, curves = train_parts(jobs, group, store, started)
    for job, outcome in zip(jobs, outcomes, strict=False):
        folder = store.artifacts(job.trial_key)
        if outcome.status != "paused":
            _save(outcome, job, folder)
            remove_state(folder / CHECKPOINT)
        elif job.keep:
            link(folder / CHECKPOINT, folder / SNAPSHOT.format(job.until))
    return [
        _record(
            job,
            group.device,
            started,
            status=outcome.status,
            metrics=outcome.metrics,
            train_seconds=outcome.seconds,
            curve=tuple(curve),
        )
        for job, outcome, curve in zip(jobs, outcomes, curves, strict=False)
    ]


def record_without_result(
    job: Job, device: str, status: Status, error: str, started: datetime | None = None
) -> TrialRecord:
    """The record of a trial that has failed, or could not run.

    Args:
        job: The trial.
        device: Where it ran, or would have.
        status: `failed` or `blocked`.
        error: The reason; of a long text the end is kept.
        started: When it began, if that is known.
    """
    return _record(
        job,
        device,
        started or datetime.now(UTC),
        status=status,
        metrics={},
        train_seconds=None,
        error=error.strip()[-_MAX_ERROR:],
    )


def _record(job: Job, device: str, started: datetime, **ending: Any) -> TrialRecord:
    return TrialRecord(
        **job.model_dump(exclude={"label", "until", "keep"}),
        task=json.loads(job.config)["task"],
        started_at=started,
        device=device,
        **ending,
    )


def _save(outcome: "Outcome", job: Job, folder: Path) -> None:
    """The trained weights, if there are any, and beside them the trial's experiment."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if outcome.model is not None:
        state = {name: tensor.contiguous() for name, tensor in outcome.model.state_dict().items()}
        with replacing(folder / WEIGHTS) as temporary:
            save_file(state, temporary)
    write_atomically(folder / EXPERIMENT_FILE, f'{{"seed":{job.seed},"experiment":{job.config}}}\n')
