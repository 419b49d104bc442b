"""Run any experiment with one seed."""

import torch

from lnets.specs.experiment import ExperimentSpec, WassersteinSpec
from lnets.tasks import wasserstein
from lnets.tasks.outcome import Outcome, Report


def run_trial(
    experiment: ExperimentSpec, seed: int, *, device: str, threads: int, report: Report
) -> Outcome:
    """Train and evaluate; the same arguments give the same numbers on the same machine.

    Args:
        experiment: What to do.
        seed: Of every random stream.
        device: `cpu` or `cuda`.
        threads: That torch uses on the CPU. Part of the result: sums are split by threads.
        report: Receives the learning curve.

    Raises:
        RuntimeError: From torch, when memory or the device fails.
    """
    torch.set_num_threads(threads)
    match experiment:
        case WassersteinSpec():
            return wasserstein.train(experiment, seed, device=torch.device(device), report=report)
