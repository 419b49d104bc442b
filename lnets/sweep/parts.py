"""Training in parts: to where trials pause, or where their hyperparameters change."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lnets.errors import TrialError
from lnets.results.artifacts import CHECKPOINT, SNAPSHOT, WEIGHTS
from lnets.results.files import replacing
from lnets.results.live import Teller
from lnets.results.records import CurvePoint
from lnets.results.store import Store
from lnets.specs.experiment import ExperimentSpec, TrainingSpec
from lnets.specs.experiments import EXPERIMENT, AnyExperiment
from lnets.specs.identity import trial_key
from lnets.specs.robustness import RobustnessSpec
from lnets.sweep.messages import Group, Job

if TYPE_CHECKING:
    from lnets.tasks.outcome import Outcome


def train_parts(
    jobs: Sequence[Job], group: Group, store: Store, started: datetime
) -> tuple[list["Outcome"], list[list[CurvePoint]]]:
    """Train up to each change of hyperparameters, and on from there.

    Args:
        jobs: Trials that change alike.
        group: How they are trained.
        store: Where their files are.
        started: When they began.

    Returns:
        Outcomes, none on other processes than the first, and learning curves.

    Raises:
        TrialError: If some of several trials have diverged before a change; each must go alone.
    """
    from lnets.tasks.files import TrialFiles
    from lnets.tasks.run import run_trials

    experiments = [EXPERIMENT.validate_json(job.config) for job in jobs]
    first = experiments[0]
    changes = () if isinstance(first, RobustnessSpec) else first.changes
    folders = [store.artifacts(job.trial_key) for job in jobs]
    pauses = [folder / CHECKPOINT for folder in folders]
    files = TrialFiles(
        lambda key: store.artifacts(key) / WEIGHTS,
        pauses[0] if len(jobs) == 1 else None,
        folders,
        pauses,
    )
    teller = Teller(store.root, jobs[0].trial_key)
    for part in range(_first_part(experiments, jobs, store), len(changes) + 1):
        curves: list[list[CurvePoint]] = [[] for _ in jobs]

        def report(
            index: int,
            step: int,
            metrics: Mapping[str, float],
            curves: list[list[CurvePoint]] = curves,
        ) -> None:
            seconds = (datetime.now(UTC) - started).total_seconds()
            curves[index].extend(
                CurvePoint(step=step, seconds=seconds, metric=metric, value=value)
                for metric, value in metrics.items()
            )
            if index == 0:
                teller.tell(step, metrics)

        outcomes = run_trials(
            [_in_part(experiment, part) for experiment in experiments],
            [job.seed for job in jobs],
            device=group.device,
            threads=group.threads,
            compiled=group.compile,
            report=report,
            files=files,
            until=changes[part].at if part < len(changes) else jobs[0].until,
        )
        if part < len(changes) and any(outcome.status != "paused" for outcome in outcomes):
            if len(jobs) > 1:
                raise TrialError("Some of several trials have diverged; each goes on alone.")
            break
    return outcomes, curves


def _in_part(experiment: AnyExperiment, part: int) -> AnyExperiment:
    """The experiment as it is after so many of its changes."""
    if isinstance(experiment, RobustnessSpec):  # trains nothing
        return experiment
    return experiment.before_changes(part).changed()


def _first_part(experiments: Sequence[ExperimentSpec], jobs: Sequence[Job], store: Store) -> int:
    """How many changes of hyperparameters trials have behind them when they begin or go on.

    One that has not begun goes on from where the trial before its last change paused; if that has
    left nothing, from the change before.
    """
    from lnets.tasks.files import position

    trainings = [one for one in experiments if isinstance(one, TrainingSpec)]
    changes = trainings[0].changes if trainings else ()
    own = [store.artifacts(job.trial_key) / CHECKPOINT for job in jobs]
    if changes and not any(file.exists() for file in own):
        for count in range(len(changes), 0, -1):
            origins = [
                store.artifacts(trial_key(training.before_changes(count - 1), job.seed))
                / SNAPSHOT.format(changes[count - 1].at)
                for training, job in zip(trainings, jobs, strict=True)
            ]
            if all(origin.exists() for origin in origins):
                for origin, file in zip(origins, own, strict=True):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    link(origin, file)
                break
    place = (position(own[0]) or 0) if changes else 0
    return sum(change.at <= place for change in changes)


def link(file: Path, name: Path) -> None:
    """Another name of a file, which stays what it is when the file is replaced."""
    with replacing(name) as temporary:
        os.link(file, temporary)
