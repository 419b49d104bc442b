"""Our classifier of Fashion-MNIST, an experiment as people write it, and images for the others."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lnets.data.images import ImageData
from lnets.specs.classification import ClassificationSpec
from lnets.specs.experiments import AnyExperiment
from lnets.tasks.run import run_trials

BATCH = 128
INPUTS = 784
LAYERS = (1024, 1024, 1024, 10)
EPOCHS = 3
ORTHOGONAL = {"type": "orthogonal", "mode": "rotate", "drift": 0.003}


def classifier(**changes: Any) -> ClassificationSpec:
    """Three hidden layers of 1,024 with MaxMin, trained by rotations; or changes of it."""
    model = {
        "type": "fully_connected",
        "layers": LAYERS,
        "activation": "maxmin",
        "linear": ORTHOGONAL,
    }
    return ClassificationSpec.model_validate(
        {
            "task": "classification",
            # The original trains on nine tenths, and keeps the rest for validation.
            "data": {"dataset": "fashion_mnist"},
            "model": model | changes.pop("model", {}),
            "optim": {"type": "adam", "lr": 0.002, "schedule": {"type": "linear"}},
            "epochs": EPOCHS,
            "batch_size": BATCH,
            **changes,
        }
    )


def trained(experiment: AnyExperiment, seed: int, threads: int = 1) -> dict[str, float]:
    """Metrics of one trial of any task, trained as any trial is.

    Raises:
        RuntimeError: If it diverges.
    """
    (outcome,) = run_trials(
        [experiment],
        [seed],
        device="cpu",
        threads=threads,
        report=lambda trial, step, metrics: None,
    )
    if outcome.status != "completed":
        raise RuntimeError(f"A trial must not diverge, got {outcome} of seed {seed}.")
    return outcome.metrics


@dataclass(frozen=True)
class Batches:
    """Batches of images drawn with replacement, a row per image."""

    images: ImageData
    generator: torch.Generator

    def __next__(self) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.images), (BATCH,), generator=self.generator)
        return self.images.pixels(index).flatten(1), self.images.labels[index]


def noise() -> Batches:
    """As good as any images where only time counts."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1000, 1, 28, 28, generator=generator)
    labels = torch.randint(LAYERS[-1], (1000,), generator=generator)
    return Batches(ImageData("noise", pixels, labels, LAYERS[-1]), generator)
