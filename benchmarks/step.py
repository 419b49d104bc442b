"""Milliseconds of a training step on one core, ours beside the original's."""

import statistics
from collections.abc import Sequence

import torch

from benchmarks.measurement import Measurement
from benchmarks.workloads import Turn, original_turn, our_turn

TURNS = 5
# A turn of ours is as long as this, one of the original's at least a step.
SECONDS = 1.0


def measure(workloads: Sequence[str]) -> list[Measurement]:
    """Medians over turns that alternate, of ours as a whole: sampling, schedule and curve too."""
    torch.set_num_threads(1)
    found = []
    for name in workloads:
        ours, original = alternately((our_turn(name), original_turn(name)))
        found.append(Measurement("step", name, ours * 1e3, original * 1e3, "ms"))
        print(f"  {found[-1]}", flush=True)
    return found


def alternately(candidates: Sequence[Turn]) -> list[float]:
    """Median seconds per step of each candidate, taking turns."""
    steps = [_steps_in_a_turn(turn) for turn in candidates]
    seconds: list[list[float]] = [[] for _ in candidates]
    for _ in range(TURNS):
        for turn, count, times in zip(candidates, steps, seconds, strict=True):
            times.append(turn(count) / count)
    return [statistics.median(times) for times in seconds]


def _steps_in_a_turn(turn: Turn) -> int:
    steps, seconds = 1, turn(1)  # the first step is slower than others
    while seconds < SECONDS / 4:
        steps *= 4
        seconds = turn(steps)
    return max(1, round(steps * SECONDS / seconds))
