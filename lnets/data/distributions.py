"""Distributions with known properties, and what is known of distances between them."""

import itertools
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lnets.data.images import ImageData


@runtime_checkable
class Distribution(Protocol):
    """What Wasserstein distances are estimated between."""

    diameter: float
    """Upper bound on the distance of two samples."""

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

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Independent samples, float32."""
        return self._draw(n, generator, torch.float32)

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Independent samples, float64."""
        return self._draw(n, generator, torch.float64)

    def _draw(self, n: int, generator: Generator, dtype: torch.dtype) -> Tensor:
        device = generator.device
        direction = torch.randn(n, self.dim, generator=generator, device=device, dtype=dtype)
        points = torch.zeros(n, self.dim + self.empty_dim, device=device, dtype=dtype)
        points[:, : self.dim] = self.radius * torch.nn.functional.normalize(direction)
        centers = torch.tensor(self.center_x, device=device, dtype=dtype)
        picked = torch.randint(len(centers), (n,), generator=generator, device=device)
        points[:, 0] += centers[picked]
        return points.view(n, *self.shape)


class ImageSamples:
    """Real images, pixels in [0, 1].

    Args:
        train: What is trained on.
        held_out: What is held out, on the same device.
        flatten: Whether samples are vectors; else they are channels × height × width.
    """

    def __init__(self, train: ImageData, held_out: ImageData, *, flatten: bool = True) -> None:
        self.train, self._held_out, self._flatten = train, held_out, flatten
        self.diameter = train.images[0].numel() ** 0.5

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Images to train on, drawn with replacement."""
        picked = torch.randint(len(self.train), (n,), generator=generator, device=generator.device)
        return self._pixels(self.train, picked)

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "m *shape"]:
        """At most n different images that are held out."""
        picked = torch.randperm(len(self._held_out), generator=generator, device=generator.device)[
            :n
        ]
        return self._pixels(self._held_out, picked).double()

    def _pixels(self, data: ImageData, picked: Tensor) -> Tensor:
        pixels = data.pixels(picked)
        return pixels.flatten(1) if self._flatten else pixels


def known_wasserstein(first: Distribution, second: Distribution) -> float | None:
    """Exact Wasserstein-1 distance of two distributions where a formula is known.

    Spheres around the same centres, the centres at least twice the larger radius apart: the
    distance is the difference of the radii. Moving along the rays costs that much, and the critic
    −minᵢ‖x − cᵢ‖ reaches it.

    Args:
        first: One distribution.
        second: The other.

    Returns:
        In input units; None where no formula is known.
    """
    if not (isinstance(first, MultiSphericalShell) and isinstance(second, MultiSphericalShell)):
        return None
    if (first.dim, first.shape) != (second.dim, second.shape):
        return None
    if sorted(first.center_x) != sorted(second.center_x):
        return None
    centers = sorted(set(first.center_x))
    gap = min((b - a for a, b in itertools.pairwise(centers)), default=float("inf"))
    if gap < 2 * max(first.radius, second.radius):
        return None
    return abs(first.radius - second.radius)
