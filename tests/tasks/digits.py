"""Classifiers of 8 × 8 digits, which are trained in a fifth of a second."""

import copy
import json
from collections.abc import Callable
from typing import Any

import torch

from lnets.specs.classification import ClassificationSpec
from lnets.specs.experiments import AnyExperiment
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.outcome import Outcome
from lnets.tasks.run import run_trials
from tests.conftest import CLASSIFIER

TIMES = ("train_seconds", "steps_per_second", "images_per_second", "peak_memory")
ONE_STEP = {"split": {"type": "per_class", "train": 7, "validation": 1}}
FEW = {"split": {"type": "per_class", "train": 20, "validation": 10}}
BJORCK = {"type": "bjorck", "bjorck_iter": 3}
RESNET = {
    "type": "lipschitz_resnet",
    "output_dim": 10,
    "channels": [4, 4, 8],
    "blocks": [1, 1, 1],
    "activation": "maxmin",
    "conv": {"type": "bjorck_conv2d", "bjorck_iter": 5},
    "linear": {"type": "bjorck", "bjorck_iter": 5},
}
Curve = list[tuple[int, dict[str, float]]]


def spec(**changes: Any) -> ClassificationSpec:
    data = copy.deepcopy(CLASSIFIER)
    for section in ("model", "data", "optim"):
        given = changes.pop(section, {})
        data[section] = given if "type" in given else {**data[section], **given}
    return ClassificationSpec.model_validate_json(json.dumps({**data, **changes}))


def outcome(
    experiment: AnyExperiment,
    seed: int = 0,
    files: TrialFiles = NO_FILES,
    stop: Callable[[int, dict[str, float]], bool] = lambda *_: False,
) -> tuple[Outcome, Curve]:
    curve: Curve = []

    def report(_: int, step: int, metrics: Any) -> None:
        curve.append((step, dict(metrics)))
        if stop(step, metrics):
            raise InterruptedError

    (ended,) = run_trials([experiment], [seed], device="cpu", threads=1, report=report, files=files)
    return ended, curve


def numbers(ended: Outcome) -> dict[str, float]:
    return {k: v for k, v in ended.metrics.items() if k not in TIMES}


def weights(ended: Outcome) -> list[torch.Tensor]:
    return list(ended.model.state_dict().values())


def equal(first: Outcome, second: Outcome) -> bool:
    same = zip(weights(first), weights(second), strict=True)
    return numbers(first) == numbers(second) and all(torch.equal(a, b) for a, b in same)


def figures(curve: Curve, name: str) -> list[float]:
    return [metrics[name] for _, metrics in curve if name in metrics]
