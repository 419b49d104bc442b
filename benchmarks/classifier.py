"""A classifier of Fashion-MNIST: our training of it, and its images.

There is no classification task yet, so this is the smallest training step of our layers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lnets.data.images import to_pixels
from lnets.data.readers import read_fashion_mnist
from lnets.nn import GroupSort, OrthogonalLinear, project_
from lnets.specs.data import data_folder

BATCH = 128
INPUTS = 784
LAYERS = (1024, 1024, 1024, 10)
STEPS = 1400
LR = 1e-3
DRIFT = 0.05
# The original trains on nine tenths, and keeps the rest for validation.
TRAINED_ON = 54_000


@dataclass(frozen=True)
class Images:
    """Pixels in [0, 1], a row per image, and labels."""

    pixels: Tensor
    labels: Tensor

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images drawn with replacement, and their labels."""
        picked = torch.randint(len(self.labels), (BATCH,), generator=generator)
        return self.pixels[picked], self.labels[picked]


def noise() -> Images:
    """As good as any images where only time counts."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1000, INPUTS, generator=generator)
    return Images(pixels, torch.randint(LAYERS[-1], (1000,), generator=generator))


def fashion_mnist() -> tuple[Images, Images]:
    """Images to train on and to test on.

    Raises:
        DataError: If they are not there.
    """
    halves = []
    for train in (True, False):
        source = read_fashion_mnist(data_folder(), train)
        index = torch.arange(TRAINED_ON if train else len(source.labels))
        pixels = to_pixels(source.read(index)).flatten(1)
        halves.append(Images(pixels, source.labels[index]))
    return halves[0], halves[1]


class Classifier:
    """Three hidden layers of 1,024 with MaxMin, weights kept orthonormal.

    Args:
        seed: Of weights.
        steps: After so many the learning rate, which falls linearly, is 0.
    """

    def __init__(self, seed: int, steps: int = STEPS) -> None:
        torch.manual_seed(seed)
        modules: list[nn.Module] = []
        for in_features, out_features in zip((INPUTS, *LAYERS), LAYERS, strict=False):
            modules += [OrthogonalLinear(in_features, out_features, drift=DRIFT), GroupSort(2)]
        self.model = nn.Sequential(*modules[:-1])
        self._optimizer = torch.optim.Adam(self.model.parameters(), LR, fused=True)
        self._schedule = torch.optim.lr_scheduler.LinearLR(
            self._optimizer, start_factor=1, end_factor=0, total_iters=steps
        )

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One training step."""
        self._optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(images), labels).backward()
        self._optimizer.step()
        self._schedule.step()
        project_(self.model)

    def test_cross_entropy(self, test: Images) -> float:
        """With weights whose norms are proven to be at most 1."""
        self.model.eval()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(self.model(test.pixels), test.labels).item()
        self.model.train()
        return loss
