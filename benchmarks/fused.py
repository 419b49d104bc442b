"""Training steps per second and trial of replicas trained together, beside one by one."""

import statistics

import torch

from benchmarks.measurement import Measurement
from benchmarks.workloads import shipped
from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks.run import run_trials

WIDTHS = (32, 64, 128, 192, 256)
REPLICAS = (1, 4, 16, 64)
ROUNDS = 3
# Steps in a round: whole draws of samples, which come for 64 steps at once.
STEPS = 128


def measure() -> list[Measurement]:
    """Medians over rounds in turn, one thread; on CUDA too where there is a device.

    The baseline is a trial alone, which is trained by the same code without a stack.
    """
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    if "cuda" not in devices:
        print("  on a GPU: not measured, because torch finds none here")
    return [row for device in devices for width in WIDTHS for row in _of_width(width, device)]


def _of_width(width: int, device: str) -> list[Measurement]:
    experiment = shipped("absolute_value")
    model = experiment.model.model_copy(update={"layers": (width, width, 1)})
    seconds: dict[int, list[float]] = {count: [] for count in REPLICAS}
    for _ in range(ROUNDS):
        for count, times in seconds.items():
            short = {"model": model, "steps": STEPS, "test_sample_size": 2, "log_every": STEPS}
            times.append(_seconds_per_trial(experiment.model_copy(update=short), count, device))
    alone = statistics.median(seconds[1])
    rows = []
    for count in REPLICAS[1:]:
        case = f"{device}, width {width}, R = {count}"
        rows.append(Measurement("fused", case, statistics.median(seconds[count]), alone, "s/step"))
        print(f"  {rows[-1]}", flush=True)
    return rows


def _seconds_per_trial(experiment: WassersteinSpec, count: int, device: str) -> float:
    """Of a step."""
    outcomes = run_trials(
        [experiment] * count,
        list(range(count)),
        device=device,
        threads=1,
        report=lambda trial, step, metrics: None,
    )
    trained = sum(outcome.metrics["train_seconds"] for outcome in outcomes)
    return trained / count / experiment.steps
