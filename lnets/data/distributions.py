"""Distributions that Wasserstein distances are estimated between."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lnets.data.images import ImageData
from lnets.data.splits import halves


@runtime_checkable
class Distribution(Protocol):
    """What Wasserstein distances are estimated between."""

    diameter: float
    """Upper bound on the distance of two samples; infinite where there is none."""
    deviation: float
    """Sub-Gaussian parameter of every 1-Lipschitz function of a sample: half of the diameter, or
    less where less is proven; infinite where none is known."""

    available: float
    """Samples that can be held out; infinite where as many can be drawn as are asked for."""

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Independent samples to train on, on the generator's device, float32."""

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "m *shape"]:
        """At most n samples, float64, that no call of `sample` can influence."""


class MultiSphericalShell:
    """Uniform on spheres of equal radius whose centres lie on the first axis.

    Args:
        dim: Dimension of the space that the spheres are in; on a line a sphere is two points.
        radius: Of every sphere; 0 gives the centres.
        center_x: First coordinate of each centre; a sample picks one of them at random.
        empty_dim: Further dimensions that are always 0.
        reshape_to_grid: Height and width when samples are to be one-channel grids.
    """

    available = math.inf

    def __init__(
        self,
        *,
        dim: int,
        radius: float,
        center_x: Sequence[float] = (0.0,),
        empty_dim: int = 0,
        reshape_to_grid: tuple[int, int] | None = None,
    ) -> None:
        self.dim = dim
        self.radius = radius
        self.center_x = tuple(center_x)
        self.empty_dim = empty_dim
        self.shape = (1, *reshape_to_grid) if reshape_to_grid else (dim + empty_dim,)
        self.diameter = max(center_x) - min(center_x) + 2 * radius
        self.deviation = self.diameter / 2

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Independent samples, float32."""
        return self._draw(n, generator, torch.float32)

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Independent samples, float64."""
        return self._draw(n, generator, torch.float64)

    def rays(
        self, n: int, generator: Generator, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, "n *shape"]]:
        """Centres, and unit vectors from them to independent samples."""
        device = generator.device
        directions = torch.randn(n, self.dim, generator=generator, device=device, dtype=dtype)
        rays = torch.zeros(2, n, self.dim + self.empty_dim, device=device, dtype=dtype)
        rays[1, :, : self.dim] = torch.nn.functional.normalize(directions)
        picked = torch.randint(len(self.center_x), (n,), generator=generator, device=device)
        rays[0, :, 0] = torch.tensor(self.center_x, device=device, dtype=dtype)[picked]
        centers, directions = rays.view(2, n, *self.shape)
        return centers, directions

    def _draw(self, n: int, generator: Generator, dtype: torch.dtype) -> Tensor:
        centers, directions = self.rays(n, generator, dtype)
        return centers + self.radius * directions


class Gaussian:
    """A normal distribution with independent coordinates.

    Args:
        dim: Dimension.
        mean: Of each coordinate, or one number for all of them.
        std: Standard deviation of each coordinate, or one number for all of them.
        device: Where samples are drawn.
    """

    diameter = math.inf
    available = math.inf

    def __init__(
        self, *, dim: int, mean: Sequence[float], std: Sequence[float], device: torch.device
    ) -> None:
        self.mean, self.std = (
            torch.tensor(values, dtype=torch.float64, device=device).expand(dim)
            for values in (mean, std)
        )
        # Source: Boucheron, Lugosi and Massart (2013), Concentration Inequalities, theorem 5.6.
        self.deviation = max(std)

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n dim"]:
        """Independent samples, float32."""
        return self._draw(n, generator, torch.float32)

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "n dim"]:
        """Independent samples, float64."""
        return self._draw(n, generator, torch.float64)

    def _draw(self, n: int, generator: Generator, dtype: torch.dtype) -> Tensor:
        noise = torch.randn(
            n, len(self.mean), generator=generator, device=generator.device, dtype=dtype
        )
        return noise.mul_(self.std.to(dtype)).add_(self.mean.to(dtype))


class ImageSamples:
    """Real images, pixels in [0, 1].

    Args:
        train: What is trained on.
        held_out: What is held out, on the same device.
        flatten: Whether samples are vectors; else they are channels × height × width.
    """

    def __init__(self, train: ImageData, held_out: ImageData, *, flatten: bool = True) -> None:
        self._train, self._held_out, self._flatten = train, held_out, flatten
        self.diameter = train.images[0].numel() ** 0.5
        self.deviation = self.diameter / 2
        self.available = float(len(held_out))

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Images to train on, drawn with replacement."""
        picked = torch.randint(len(self._train), (n,), generator=generator, device=generator.device)
        return self._pixels(self._train, picked)

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "m *shape"]:
        """At most n different images that are held out."""
        picked = _some(len(self._held_out), n, generator)
        return self._pixels(self._held_out, picked).double()

    def _pixels(self, data: ImageData, picked: Tensor) -> Tensor:
        pixels = data.pixels(picked)
        return pixels.flatten(1) if self._flatten else pixels


class PointCloud:
    """Given points, of which always the same half is trained on.

    Args:
        points: Independent samples of one distribution, at least 4.
        support: Smallest and largest coordinate that the distribution can have; None if unknown.
        device: Where the points are kept.
    """

    def __init__(
        self,
        points: Float[Tensor, "n dim"],
        *,
        support: tuple[float, float] | None,
        device: torch.device,
    ) -> None:
        first, second = halves(len(points))
        self._train = points[first].to(device, torch.float32)
        self._held_out = points[second].to(device, torch.float64)
        width = math.inf if support is None else support[1] - support[0]
        self.diameter = width * points.shape[1] ** 0.5
        self.deviation = self.diameter / 2
        self.available = float(len(second))

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n dim"]:
        """Points of the training half, drawn with replacement."""
        picked = torch.randint(len(self._train), (n,), generator=generator, device=generator.device)
        return self._train[picked]

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "m dim"]:
        """At most n different points of the other half."""
        return self._held_out[_some(len(self._held_out), n, generator)]


def _some(size: int, n: int, generator: Generator) -> Tensor:
    """At most n different indices below the size."""
    return torch.randperm(size, generator=generator, device=generator.device)[:n]
