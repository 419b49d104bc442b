"""GANs of 8 × 8 digits, of which an epoch takes a tenth of a second."""

import copy
import json
from pathlib import Path
from typing import Any

from lnets.specs.gan import GanSpec
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.outcome import Outcome

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
FULLY_CONNECTED = {
    "type": "fully_connected",
    "layers": [8, 1],
    "activation": "maxmin",
    "linear": {"type": "orthogonal"},
}
FULLY_CONV = {
    "type": "fully_conv",
    "channels": [4, 1],
    "kernels": [3, 3],
    "activation": "maxmin",
    "conv": {"type": "bjorck_conv2d"},
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


def files_in(folder: Path) -> TrialFiles:
    return TrialFiles(NO_FILES.weights, folder / "checkpoint.safetensors", [folder])


def numbers(ended: Outcome) -> dict[str, float]:
    return {k: v for k, v in ended.metrics.items() if not k.endswith(TIMES)}
