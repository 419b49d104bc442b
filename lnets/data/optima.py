"""What is known of the distance between two distributions, and of the critics that reach it."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lnets.data.distributions import Distribution, Gaussian, MultiSphericalShell
from lnets.data.min_funnels import MinFunnels

_NUM_REACHES = 1 << 18


Rays: TypeAlias = tuple[Float[Tensor, "n *shape"], Float[Tensor, "n *shape"]]


@dataclass(frozen=True)
class Optimum:
    """A Wasserstein-1 distance, and the gradient of every critic that reaches it.

    On the segments along which an optimal coupling moves its mass, every optimal critic falls with
    slope 1: there, and only there, its gradient is known.
    """

    distance: float
    """In input units."""
    standard_error: float | None
    """Of the distance, where it is a mean over random points; None where it is a formula."""
    gradients: Callable[[int, Generator], Rays]
    """Independent points on those segments, float64, and the gradients there. Of a distance of 0
    any constant is an optimal critic, and none is known."""


def known_optimum(first: Distribution, second: Distribution) -> Optimum | None:
    """What is known of two distributions.

    Spheres around the same centres, which are at least twice the larger radius apart: the distance
    is the difference of the radii. Moving along the rays costs that much, and the critic
    −minᵢ‖x − cᵢ‖ reaches it.

    Normal distributions of equal covariance: the distance of the means, by a shift and a linear
    critic. Of one mean and isotropic: the difference of the standard deviations times the mean norm
    of a standard normal vector, by moves along the rays from the mean and ‖x − mean‖.

    The two sides of `MinFunnels`.

    Args:
        first: Where the critic is high.
        second: Where the critic is low.

    Returns:
        None where nothing is known.
    """
    match first, second:
        case MultiSphericalShell(), MultiSphericalShell():
            distance = _shells_distance(first, second)
            couple = partial(_couple_shells, first, second)
        case Gaussian(), Gaussian():
            distance = _gaussian_distance(first, second)
            couple = partial(_couple_gaussians, first, second)
        case MinFunnels(), MinFunnels():
            return _min_funnels_optimum(first, second)
        case _:
            return None
    return None if distance is None else Optimum(distance, None, couple)


def _shells_distance(first: MultiSphericalShell, second: MultiSphericalShell) -> float | None:
    if (first.dim, first.shape) != (second.dim, second.shape):
        return None
    if sorted(first.center_x) != sorted(second.center_x):
        return None
    centers = sorted(set(first.center_x))
    gap = min((b - a for a, b in itertools.pairwise(centers)), default=float("inf"))
    if gap < 2 * max(first.radius, second.radius):
        return None
    return abs(first.radius - second.radius)


def _couple_shells(
    first: MultiSphericalShell, second: MultiSphericalShell, n: int, generator: Generator
) -> Rays:
    centers, directions = first.rays(n, generator, torch.float64)
    start, end = (centers + shell.radius * directions for shell in (first, second))
    return _between(start, end, generator)


def _gaussian_distance(first: Gaussian, second: Gaussian) -> float | None:
    if len(first.mean) != len(second.mean):
        return None
    if torch.equal(first.std, second.std):
        return float((first.mean - second.mean).norm())
    isotropic = all(bool((one.std == one.std[0]).all()) for one in (first, second))
    if not (isotropic and torch.equal(first.mean, second.mean)):
        return None
    dim = len(first.mean)
    mean_norm = math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
    return abs(float(first.std[0] - second.std[0])) * mean_norm


def _couple_gaussians(first: Gaussian, second: Gaussian, n: int, generator: Generator) -> Rays:
    shape, device = (n, len(first.mean)), generator.device
    noise = torch.randn(shape, generator=generator, device=device, dtype=torch.float64)
    start, end = (one.mean + one.std * noise for one in (first, second))
    return _between(start, end, generator)


def _between(start: Tensor, end: Tensor, generator: Generator) -> Rays:
    """Points between coupled samples of the first and second distribution, and the gradients."""
    move = start - end
    length = move.flatten(1).norm(dim=1).view(-1, *(1,) * (move.ndim - 1))
    share = torch.empty_like(length).uniform_(generator=generator)
    return end + share * move, move / length


def _min_funnels_optimum(first: MinFunnels, second: MinFunnels) -> Optimum | None:
    if first.parameters != second.parameters:
        return None

    def gradients(n: int, generator: Generator) -> Rays:
        rays = first.target_rays(n, generator, torch.float64)
        sign = 1 if first.side == "target" else -1
        # Where the source is, the gradients are judged in the paper too.
        return first.moved(rays), sign * rays.direction

    if first.side == second.side:
        return Optimum(0.0, None, gradients)
    return Optimum(*_min_funnels_distance(*first.parameters), gradients)


@lru_cache(maxsize=1024)
def _min_funnels_distance(
    dim: int, num_funnels: int, degree: float, funnel_seed: int
) -> tuple[float, float]:
    """E‖x − T(x)‖ and its standard error, the same on every device.

    Given its ray, a uniform point is at a share t of the reach with density dim·t^(dim−1), so only
    the reach is left to chance.
    """
    cpu = torch.device("cpu")
    side = MinFunnels(
        side="target",
        dim=dim,
        num_funnels=num_funnels,
        degree=degree,
        funnel_seed=funnel_seed,
        device=cpu,
    )
    generator = Generator(cpu).manual_seed(2**31 + funnel_seed)  # not that of the funnels
    parts = (side.target_rays(n, generator, torch.float64) for n in side.chunks(_NUM_REACHES))
    reaches = torch.cat([rays.reach for rays in parts])
    moved = dim / (dim + 1) - dim / (dim + degree)
    error = float(reaches.std()) / math.sqrt(len(reaches))
    return moved * float(reaches.mean()), moved * error
