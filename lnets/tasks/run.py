"""Run any experiments that can be trained side by side."""

from collections.abc import Sequence
from typing import assert_never

import torch

from lnets.specs.experiment import ExperimentSpec, WassersteinSpec
from lnets.tasks import wasserstein
from lnets.tasks.outcome import Outcome, Report


def run_trials(
    experiments: Sequence[ExperimentSpec],
    seeds: Sequence[int],
    *,
    device: str,
    threads: int,
    report: Report,
) -> list[Outcome]:
    """Train and evaluate; the same arguments give the same numbers on the same machine.

    Args:
        experiments: What to do, one per trial; several must have one `fusion_key`.
        seeds: Of every random stream of each trial.
        device: `cpu` or `cuda`.
        threads: That torch uses on the CPU. Part of the result: sums are split by threads.
        report: Receives the learning curves.

    Raises:
        RuntimeError: From torch, when memory or the device fails.
    """
    torch.set_num_threads(threads)
    match experiments[0]:
        case WassersteinSpec():
            return wasserstein.train(experiments, seeds, device=torch.device(device), report=report)
        case _:
            assert_never(experiments[0])
