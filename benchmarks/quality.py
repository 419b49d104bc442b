"""Seconds of training until the figure that the original ends at, on one core.

Ours is trained as shipped, or by a schedule no longer than the figure takes, once per seed; a seed
whose end is below the figure counts as never. The original is trained once, until its own figure on
held-out samples is there, or until it is given up; evaluating it is outside its clock. Its critic
sways, so it is there at the middle of the first looks whose mean is; the case tells when a single
look first was.
"""

import math
import statistics
import time
from collections.abc import Sequence

import torch

from benchmarks.classifier import EPOCHS, classifier, trained
from benchmarks.measurement import Measurement
from benchmarks.original import OriginalTraining
from benchmarks.workloads import CLASSIFIER, CRITICS, original_turn, to_the_figure
from lnets.errors import DataError

SEEDS = 3
# Steps between two looks at the original.
LOOK = 16
# Looks in a mean.
WINDOW = 32
# What the original's own code has after its first epoch, measured once: cross entropy and steps.
CROSS_ENTROPY, ORIGINAL_STEPS = 0.5745, 422
ORIGINAL_TIMED = 3


def measure(workloads: Sequence[str]) -> list[Measurement]:
    """A row per workload: medians over seeds of ours, one run of the original."""
    torch.set_num_threads(1)
    found = []
    for name in workloads:
        row = _classifier() if name == CLASSIFIER else _critic(name)
        if row is not None:
            found.append(row)
            print(f"  {row}", flush=True)
    return found


def _critic(name: str) -> Measurement:
    experiment, figure = to_the_figure(name), CRITICS[name].figure
    ends = []
    for seed in range(SEEDS):
        metrics = trained(experiment, seed)
        ends.append((metrics["tightness"], metrics["train_seconds"]))
        print(f"  {name}, seed {seed}: {ends[-1]}", flush=True)
    baseline, told = _original(name)
    seconds = statistics.median(took if end >= figure else math.inf for end, took in ends)
    told = f"{_told([end for end, _ in ends])} after {experiment.steps} steps; {told}"
    case = f"{name}, tightness {figure}: {told}"
    return Measurement("quality", case, seconds, baseline, "s")


def _original(name: str) -> tuple[float, str]:
    """Seconds of its training until the figure, and how it went."""
    critic = CRITICS[name]
    training = OriginalTraining(critic.original, seed=0)
    seconds, looks = 0.0, list[tuple[float, float]]()
    first = "never"
    while seconds < critic.cap and not training.ended:
        start = time.perf_counter()
        for _ in range(LOOK):
            training.step()
        seconds += time.perf_counter() - start
        looks.append((seconds, training.held_out_value()))
        if first == "never" and looks[-1][1] >= critic.figure:
            first = f"after {seconds:.3g} s"
        recent = looks[-WINDOW:]
        mean = statistics.mean(value for _, value in recent)
        if len(recent) == WINDOW and mean >= critic.figure:
            return recent[WINDOW // 2][0], f"original's first look there {first}"
    return seconds, f"original at {mean:.4f} when given up, its first look there {first}"


def _classifier() -> Measurement | None:
    ends = []
    for seed in range(SEEDS):
        try:
            ends.append(_classified(seed))
        except DataError as error:
            print(f"  {CLASSIFIER} is not measured: {error}")
            return None
        print(f"  {CLASSIFIER}, seed {seed}: {ends[-1]}", flush=True)
    seconds = statistics.median(took if end <= CROSS_ENTROPY else math.inf for end, took in ends)
    turn = original_turn(CLASSIFIER)
    turn(1)
    baseline = turn(ORIGINAL_TIMED) / ORIGINAL_TIMED * ORIGINAL_STEPS
    case = (
        f"{CLASSIFIER}, test cross entropy {CROSS_ENTROPY}: {_told([end for end, _ in ends])} "
        f"after {EPOCHS} epochs; original {ORIGINAL_STEPS} × its step"
    )
    return Measurement("quality", case, seconds, baseline, "s")


def _classified(seed: int) -> tuple[float, float]:
    """Test cross entropy, and the seconds of training."""
    metrics = trained(classifier(), seed)
    return metrics["test_loss"], metrics["train_seconds"]


def _told(ends: list[float]) -> str:
    return f"ours ends at {', '.join(f'{end:.4f}' for end in ends)}"
