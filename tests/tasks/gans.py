"""GANs of 8 × 8 digits, of which an epoch takes a tenth of a second."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lnets.specs.gan import GanSpec
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.outcome import Outcome
from lnets.tasks.run import run_trials

TYPES = ("WGAN", "WGAN_GP", "LWGAN")
QUALITY: dict[str, Any] = {"steps": 5, "batch_size": 8, "test_sample_size": 20}
GAN: dict[str, Any] = {
    "task": "gan",
    "data": {"dataset": "digits"},
    "generator": {"noise_dim": 4, "widths": [16, 8, 4]},
    "optim": {"type": "adam", "lr": 1e-3, "betas": [0.5, 0.999]},
    "critic_steps": 3,
    "epochs": 2,
    "batch_size": 100,
    "quality": QUALITY,
}
STANDARD = {"conv": {"type": "standard_conv2d"}, "linear": {"type": "standard"}}
CRITIC: dict[str, Any] = {
    "type": "infogan_discriminator",
    "output_dim": 1,
    "widths": [4, 8, 16],
    "activation": "leaky_relu",
    **STANDARD,
}
LIPSCHITZ = CRITIC | {
    "activation": "maxmin",
    "conv": {"type": "bjorck_conv2d", "bjorck_iter": 5},
    "linear": {"type": "orthogonal"},
}
NORMALIZED = CRITIC | {"batch_norm": True}
TIMES = ("seconds", "per_second", "seconds_per_epoch", "peak_memory")


def data_of(gan_type: str, **changes: Any) -> dict[str, Any]:
    model = LIPSCHITZ if gan_type == "LWGAN" else CRITIC
    return copy.deepcopy(GAN) | {"gan_type": gan_type, "model": model} | changes


def spec(gan_type: str, **changes: Any) -> GanSpec:
    return GanSpec.model_validate_json(json.dumps(data_of(gan_type, **changes)))


def outcome(
    experiment: GanSpec,
    seed: int = 0,
    files: TrialFiles = NO_FILES,
    stop: Callable[[int, dict[str, float]], bool] = lambda *_: False,
) -> tuple[Outcome, list[tuple[int, dict[str, float]]]]:
    curve: list[tuple[int, dict[str, float]]] = []

    def report(_: int, step: int, metrics: Any) -> None:
        curve.append((step, dict(metrics)))
        if stop(step, metrics):
            raise InterruptedError

    (ended,) = run_trials([experiment], [seed], device="cpu", threads=1, report=report, files=files)
    return ended, curve


def files_in(folder: Path) -> TrialFiles:
    return TrialFiles(NO_FILES.weights, folder / "checkpoint.safetensors", [folder])


def numbers(ended: Outcome) -> dict[str, float]:
    return {k: v for k, v in ended.metrics.items() if not k.endswith(TIMES)}
