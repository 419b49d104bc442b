"""What a runner is, how it executes a group of trials, and the runner without Ray."""

import contextlib
import errno
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

from lnets.errors import ClusterError, StoreError
from lnets.results.files import write_atomically
from lnets.results.records import CurvePoint, Status, TrialRecord, last_exception
from lnets.results.store import Store
from lnets.specs.experiments import EXPERIMENT
from lnets.specs.figures import FIGURES

if TYPE_CHECKING:
    from lnets.tasks.outcome import Outcome

WEIGHTS = "model.safetensors"
CHECKPOINT = "checkpoint.safetensors"
EXPERIMENT_FILE = "experiment.json"
_MAX_ERROR = 10_000
# What libraries that write files say of full disks, whatever they raise.
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_log = logging.getLogger(__name__)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(_Message):
    """One trial, as it travels to a worker."""

    trial_key: str
    config_key: str
    sweep_id: str
    name: str
    """The sweep's name; of what it needs `sweep.need`."""
    label: str
    seed: int
    attempt: int
    commit: str | None
    config: str
    """The resolved experiment as canonical JSON."""


class Group(_Message):
    """Trials that a worker executes together: the unit of a runner."""

    jobs: tuple[Job, ...]
    store: str
    """Folder of the store."""
    device: str
    """`cpu` or `cuda`."""
    threads: int
    """CPU threads."""
    compile: bool = False
    """Whether networks are compiled."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        first = self.jobs[0].label
        return first if len(self.jobs) == 1 else f"{first} and {len(self.jobs) - 1} more"


class Result(_Message):
    """How a trial ended, as it travels back; the whole record is in the spool."""

    trial_key: str
    status: Status
    metrics: dict[str, float] = {}
    error: str | None = None
    kept: bool = True
    """Whether its record is in the spool; if not, the store cannot be written."""

    @classmethod
    def of(cls, record: TrialRecord) -> "Result":
        """The part of a record that a driver wants to know at once."""
        return cls.model_validate(record.model_dump(include=set(cls.model_fields)))

    @classmethod
    def not_kept(cls, trial_key: str, error: StoreError) -> "Result":
        """What could not be spooled; the trial runs again when the sweep is submitted again."""
        return cls(trial_key=trial_key, status="failed", error=str(error), kept=False)


class Listener(Protocol):
    """Hears from a runner, in one thread at a time."""

    def started(self, group: Group) -> None:
        """A worker has begun with a group."""

    def ended(self, group: Group, results: Sequence[Result]) -> None:
        """Every trial of a group is in the spool."""

    def retried(self, group: Group, reason: str) -> None:
        """A worker has died with a group, which will start again."""

    def lost(self, group: Group, reason: str) -> None:
        """A worker has died with a group and will not be tried again."""


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

    Raises:
        ClusterError: From `train`, if workers were lost; the group can be executed again.
    """
    store = Store(Path(group.store))
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
    left = {file.name for file in folder.glob("*")} - {WEIGHTS, CHECKPOINT, EXPERIMENT_FILE}
    if not record.finished or not left:
        return
    try:
        from lnets.results.plots import DrawnTrial, draw_trial  # half a second of matplotlib

        draw_trial(DrawnTrial.of(record), folder, folder / FIGURES)
    except Exception as error:  # a trial that has ended must not fail by its pictures
        _log.warning("Figures of %s could not be drawn: %s", record.trial_key, error)


def _earlier(job: Job, store: Store) -> Result | None:
    record = store.spooled(job.trial_key)
    if record is not None and record.finished:
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
    from lnets.tasks.files import TrialFiles, remove_state
    from lnets.tasks.run import run_trials

    store = Store(Path(group.store))
    started = datetime.now(UTC)
    curves: list[list[CurvePoint]] = [[] for _ in jobs]

    def report(index: int, step: int, metrics: Mapping[str, float]) -> None:
        seconds = (datetime.now(UTC) - started).total_seconds()
        curves[index].extend(
            CurvePoint(step=step, seconds=seconds, metric=metric, value=value)
            for metric, value in metrics.items()
        )

    alone = len(jobs) == 1
    folders = [store.artifacts(job.trial_key) for job in jobs]
    checkpoint = folders[0] / CHECKPOINT if alone else None
    outcomes = run_trials(
        [EXPERIMENT.validate_json(job.config) for job in jobs],
        [job.seed for job in jobs],
        device=group.device,
        threads=group.threads,
        compiled=group.compile,
        report=report,
        files=TrialFiles(lambda key: store.artifacts(key) / WEIGHTS, checkpoint, folders),
    )
    if not outcomes:
        return []
    for job, outcome, folder in zip(jobs, outcomes, folders, strict=True):
        _save(outcome, job, folder)
    if checkpoint is not None:
        remove_state(checkpoint)
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
        for job, outcome, curve in zip(jobs, outcomes, curves, strict=True)
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
        **job.model_dump(exclude={"label"}),
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
        temporary = folder / f".model.{os.getpid()}"
        save_file(state, temporary)
        temporary.replace(folder / WEIGHTS)
    write_atomically(folder / EXPERIMENT_FILE, f'{{"seed":{job.seed},"experiment":{job.config}}}\n')
