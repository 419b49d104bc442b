"""The workloads that ours and the original are compared on, and how ours trains."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.classifier import BATCH, classifier, noise, trained
from benchmarks.original import (
    ABSOLUTE_VALUE,
    HIGH_DIMENSIONAL_CONE,
    THREE_CONES,
    OriginalClassifier,
    OriginalConfig,
    OriginalTraining,
)
from lnets.specs.load import load_sweep
from lnets.specs.optim import LinearScheduleSpec
from lnets.specs.wasserstein import WassersteinSpec

SWEEPS = Path(__file__).parents[1] / "sweeps"


@dataclass(frozen=True)
class Critic:
    """A critic to train: ours as the sweep of the same name ships it, and the original's."""

    original: OriginalConfig
    figure: float
    """The tightness that the original ends at, measured once with its own code."""
    cap: float
    """Seconds after which the original is given up."""
    steps: int | None = None
    """Steps that our training takes to that figure, where the shipped one goes on beyond it."""


CRITICS = {
    "absolute_value": Critic(ABSOLUTE_VALUE, 0.9955, 150),
    "high_dimensional_cone": Critic(HIGH_DIMENSIONAL_CONE, 0.9975, 500),
    "three_cones": Critic(THREE_CONES, 0.852, 600, steps=500),
}
CLASSIFIER = "fc_maxmin"
WORKLOADS = (*CRITICS, CLASSIFIER)

Turn = Callable[[int], float]
"""Trains some steps, and returns the seconds that they took."""


def shipped(name: str) -> WassersteinSpec:
    """The experiment of a sweep that the project ships."""
    experiment = load_sweep(SWEEPS / f"{name}.yaml").experiment
    assert isinstance(experiment, WassersteinSpec)
    return experiment


def to_the_figure(name: str) -> WassersteinSpec:
    """The shipped experiment, with no more steps than the original's figure takes."""
    experiment, steps = shipped(name), CRITICS[name].steps
    if steps is None:
        return experiment
    schedule = LinearScheduleSpec(type="linear", end=steps)
    optim = experiment.optim.model_copy(update={"schedule": schedule})
    return experiment.model_copy(update={"steps": steps, "optim": optim})


def our_turn(name: str) -> Turn:
    """Our training, from the start in each turn; a classifier takes epochs of digits."""
    if name == CLASSIFIER:
        return _our_classifier_turn
    experiment = shipped(name)

    def turn(steps: int) -> float:
        short = experiment.model_copy(update={"steps": steps, "test_sample_size": 2})
        return trained(short, seed=0)["train_seconds"]

    return turn


def _our_classifier_turn(steps: int) -> float:
    split = {"type": "per_class", "train": 320, "validation": 0}
    epochs = math.ceil(steps / (3200 // BATCH))
    experiment = classifier(data={"dataset": "mnist_5k", "split": split}, epochs=epochs)
    return steps / trained(experiment, seed=0)["steps_per_second"]


def original_turn(name: str) -> Turn:
    """The original's training, which goes on from turn to turn."""
    if name == CLASSIFIER:
        batches, original = noise(), OriginalClassifier(seed=0)
        return lambda steps: _timed(lambda: original.step(*next(batches)), steps)
    training = OriginalTraining(CRITICS[name].original, seed=0)
    return lambda steps: _timed(training.step, steps)


def _timed(step: Callable[[], object], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - start
