"""A pair of distributions whose distance and optimal critic are known: funnels in a cube."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

_HALF_WIDTH = 2.5
"""Of the cube."""
_OFFSET_STD = 0.1
_NUMBERS_AT_ONCE = 1 << 18


class Rays(NamedTuple):
    """Where points are on the rays of u."""

    start: Float[Tensor, "n dim"]
    """Centre of the funnel that is the lowest at each point."""
    direction: Float[Tensor, "n dim"]
    """Unit vector from there to the point; it is the gradient of u."""
    length: Float[Tensor, "n 1"]
    """Distance of the point from the centre."""
    reach: Float[Tensor, "n 1"]
    """How far the ray goes until another funnel is lower, or the cube ends."""


class MinFunnels:
    """One side of a pair; u(x) = minₙ(‖x − aₙ‖ + bₙ) is an optimal critic, high on the target.

    The target is uniform on the cube [−2.5, 2.5]^dim; aₙ are uniform there, bₙ normal with standard
    deviation 0.1. The source is the target moved by T: along the ray from the centre through a
    point, to the share t^degree of the ray's reach where the point was at the share t.

    u rises with slope 1 along the segment from a centre to any point where that funnel is the
    lowest, because a step towards the centre lowers its funnel by the whole step and no other by
    more. So u(x) − u(T(x)) = ‖x − T(x)‖, and the coupling of x and T(x) costs what the critic u
    gains: neither can be improved.

    Args:
        side: `target` or `source`.
        dim: Dimension of the cube.
        num_funnels: Funnels of u.
        degree: Above 1.
        funnel_seed: Of the funnels' places and heights.
        device: Where samples are drawn.

    Source:
        Korotin, Kolesov and Burnaev (2022), arXiv:2206.07767.
    """

    available = math.inf

    def __init__(
        self,
        *,
        side: Literal["source", "target"],
        dim: int,
        num_funnels: int,
        degree: float = 8.0,
        funnel_seed: int = 0,
        device: torch.device,
    ) -> None:
        self.side = side
        self.dim, self.degree = dim, degree
        self.parameters = (dim, num_funnels, degree, funnel_seed)
        self.diameter = 2 * _HALF_WIDTH * dim**0.5
        # The target is the image of a standard normal distribution under a map with this Lipschitz
        # constant, the normal distribution function in each coordinate.
        uniform = _HALF_WIDTH * math.sqrt(2 / math.pi)
        self.deviation = uniform if side == "target" else self.diameter / 2
        generator = Generator().manual_seed(funnel_seed)
        centers = torch.rand(num_funnels, dim, generator=generator, dtype=torch.float64)
        centers = _HALF_WIDTH * (2 * centers - 1)
        offsets = _OFFSET_STD * torch.randn(num_funnels, generator=generator, dtype=torch.float64)
        distances = _distances(centers, centers)
        # A funnel that is not the lowest at its own centre is the lowest nowhere.
        lowest = (distances + offsets).min(dim=1).values >= offsets
        self.centers = centers[lowest].to(device)
        self.offsets = offsets[lowest].to(device)
        gaps = self.offsets.unsqueeze(1) - self.offsets
        squares = distances[lowest][:, lowest].to(device).square() - gaps.square()
        halves = (squares / 2).fill_diagonal_(math.inf)
        tables = (self.centers, self.offsets, gaps, halves)
        self._tables = {
            dtype: [table.to(dtype) for table in tables] for dtype in (torch.float32, torch.float64)
        }

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n dim"]:
        """Independent samples, float32."""
        return self._draw(n, generator, torch.float32)

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "n dim"]:
        """Independent samples, float64."""
        return self._draw(n, generator, torch.float64)

    def target_rays(self, n: int, generator: Generator, dtype: torch.dtype) -> Rays:
        """Of independent samples of the target."""
        x = self._uniform(n, generator, dtype)
        centers, offsets, gaps, halves = self._tables[dtype]
        funnel = (torch.cdist(x, centers) + offsets).argmin(dim=1)
        start = centers[funnel]
        difference = x - start
        length = difference.norm(dim=1, keepdim=True)
        direction = difference / length.clamp_min(torch.finfo(dtype).tiny)
        to_wall = (_HALF_WIDTH - start * direction.sign()) / direction.abs()
        # Another funnel is as low where s + bₙ = ‖aₙ + s·direction − aₘ‖ + bₘ.
        along = (start * direction).sum(dim=1, keepdim=True) - direction @ centers.mT
        nearing = gaps[funnel] - along
        to_funnel = torch.where(nearing > 0, halves[funnel] / nearing, math.inf)
        reach = torch.minimum(to_wall.amin(dim=1), to_funnel.amin(dim=1)).unsqueeze(1)
        # A point may round to beyond its reach, and a centre itself has no direction.
        reach = torch.maximum(reach, length).clamp_max(self.diameter)
        return Rays(start, direction, length, reach)

    def moved(self, rays: Rays) -> Float[Tensor, "n dim"]:
        """Samples of the source, which T makes of those of the target."""
        share = rays.length / rays.reach
        return rays.start + rays.direction * (rays.reach * share**self.degree)

    def chunks(self, n: int) -> Iterator[int]:
        """Numbers of points, n in all, whose distances to all funnels fit into a cache."""
        rows = max(1, _NUMBERS_AT_ONCE // len(self.offsets))
        yield from (min(rows, n - done) for done in range(0, n, rows))

    def _draw(self, n: int, generator: Generator, dtype: torch.dtype) -> Tensor:
        if self.side == "target":
            return self._uniform(n, generator, dtype)
        rays = (self.target_rays(rows, generator, dtype) for rows in self.chunks(n))
        return torch.cat([self.moved(some) for some in rays])

    def _uniform(self, n: int, generator: Generator, dtype: torch.dtype) -> Tensor:
        share = torch.rand(n, self.dim, generator=generator, device=generator.device, dtype=dtype)
        return share.mul_(2 * _HALF_WIDTH).sub_(_HALF_WIDTH)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
