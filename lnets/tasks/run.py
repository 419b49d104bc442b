"""Run any experiments that can be trained side by side."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

import torch

from lnets.nn import orthonormality_error
from lnets.specs.classification import ClassificationSpec
from lnets.specs.experiments import AnyExperiment
from lnets.specs.gan import GanSpec
from lnets.specs.robustness import RobustnessSpec
from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks import classification, gan, wasserstein
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.memory import PeakMemory
from lnets.tasks.outcome import Outcome, Report


def run_trials(
    experiments: Sequence[AnyExperiment],
    seeds: Sequence[int],
    *,
    device: str,
    threads: int,
    report: Report,
    compiled: bool = False,
    files: TrialFiles = NO_FILES,
    until: int | None = None,
) -> list[Outcome]:
    """Train and evaluate; the same arguments give the same numbers on the same machine.

    In a process group of torch its processes train one classifier together, each with its share of
    every batch; all must call this with the same arguments.

    Args:
        experiments: What to do, one per trial; several must have one `fusion_key`.
        seeds: Of every random stream of each trial.
        device: `cpu` or `cuda`.
        threads: That torch uses on the CPU. Part of the result: sums are split by threads.
        report: Receives the learning curves.
        compiled: Whether networks are compiled before they are trained.
        files: Where trials find and put what must outlive them.
        until: Where to pause, in the unit of `TrainingSpec.pause_at`; None goes to the end.

    Returns:
        An outcome for each experiment; none on other processes than the first.

    Raises:
        RuntimeError: From torch, when memory or the device fails.
    """
    torch.set_num_threads(threads)
    where = torch.device(device)
    memory = PeakMemory(where)
    outcomes = _train(experiments, seeds, where, report, compiled, files, until)
    peak = memory.gib()
    more = {} if peak is None else {"peak_memory": peak}
    declared = "orthonormality_error" in experiments[0].metrics
    return [
        replace(
            outcome, metrics=outcome.metrics | more | (_orthonormality(outcome) if declared else {})
        )
        for outcome in outcomes
    ]


def _orthonormality(outcome: Outcome) -> dict[str, float]:
    if outcome.model is None or outcome.status == "diverged":
        return {}
    # Critics come as they are trained; others need them so.
    error = orthonormality_error(copy.deepcopy(outcome.model).eval())
    return {} if error is None else {"orthonormality_error": error}


def _train(
    experiments: Sequence[AnyExperiment],
    seeds: Sequence[int],
    device: torch.device,
    report: Report,
    compiled: bool,
    files: TrialFiles,
    until: int | None,
) -> list[Outcome]:
    match experiments[0]:
        case WassersteinSpec():
            critics = [e for e in experiments if isinstance(e, WassersteinSpec)]
            return wasserstein.train(
                critics,
                seeds,
                device=device,
                report=report,
                compiled=compiled,
                files=files,
                until=until,
            )
        case ClassificationSpec():
            classifiers = [e for e in experiments if isinstance(e, ClassificationSpec)]
            return classification.train(
                classifiers,
                seeds,
                device=device,
                report=report,
                compiled=compiled,
                files=files,
                until=until,
            )
        case RobustnessSpec():
            from lnets.tasks import robustness  # seconds of imports

            attacked = [e for e in experiments if isinstance(e, RobustnessSpec)]
            return robustness.evaluate(attacked, seeds, device=device, files=files)
        case GanSpec():
            gans = [e for e in experiments if isinstance(e, GanSpec)]
            return gan.train(
                gans,
                seeds,
                device=device,
                report=report,
                compiled=compiled,
                files=files,
                until=until,
            )
        case _:
            assert_never(experiments[0])
