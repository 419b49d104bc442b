"""Critics evaluated on grids: lines, planes, and slices of more dimensions."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn

from lnets.data.distributions import Distribution
from lnets.nn import certify
from lnets.specs.figures import (
    LANDSCAPES,
    LandscapeSpec,
    LineSpec,
    PlaneSpec,
    SlicesSpec,
    num_points,
)
from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks.files import save_arrays
from lnets.tasks.streams import stream_seed

_SAMPLES = 200
_BEYOND = 0.25
# Rows of a batch, and numbers of its inputs: what layers make of them fits in memory.
_MOST_ROWS, _MOST_NUMBERS = 4096, 1 << 20


@dataclass(frozen=True)
class _View:
    """A part of the space: origin + coordinates · directions."""

    name: str
    origin: Tensor
    directions: Tensor
    """Orthonormal, one per axis."""
    axes: tuple[Tensor, ...]
    """Coordinates of the grid along each direction."""
    samples: tuple[Tensor, Tensor]
    """Coordinates of some samples of each distribution, one per row."""

    def points(self) -> Tensor:
        """The grid's, the first coordinate changing fastest."""
        grid = torch.cartesian_prod(*reversed(self.axes)).view(-1, len(self.axes)).flip(1)
        return self.origin + grid @ self.directions


class Landscapes:
    """Writes what trials' critics look like, divided by their proven Lipschitz constants.

    A file is `landscapes/<view>/step_<step>.npz` in the trial's folder: `x` and, of a plane, `y`;
    `values` with a row per `y`; `samples1` and `samples2`, coordinates of held-out samples of each
    distribution; `origin` and `directions`, which make inputs of coordinates; `step` and
    `lipschitz_upper_bound`, by which values have been divided.

    Args:
        spec: What every trial does.
        seeds: Of each trial. Samples depend on nothing else, so critics are compared on the same
            slices.
        distribs: Between which critics are trained.
        device: Where they are.
        folders: Of each trial; empty writes nothing.
    """

    def __init__(
        self,
        spec: WassersteinSpec,
        seeds: Sequence[int],
        distribs: tuple[Distribution, Distribution],
        device: torch.device,
        folders: Sequence[Path],
    ) -> None:
        self._landscape = spec.landscape if folders else None
        self._last, self._shape, self._folders = spec.steps, spec.distrib1.shape, folders
        self._views: list[list[_View]] = []
        if self._landscape is not None:
            for seed in seeds:
                generator = Generator(device).manual_seed(stream_seed(seed, "landscape"))
                self._views.append(_views(self._landscape, distribs, generator))

    def due(self, step: int) -> bool:
        """At every so manieth step from 0 on if that is asked for, and the last one."""
        if self._landscape is None:
            return False
        every = self._landscape.every
        return step == self._last or (every is not None and step % every == 0)

    def look(self, index: int, step: int, model: nn.Module) -> None:
        """Evaluate a critic in float64; one whose values overflow leaves nothing."""
        critic = copy.deepcopy(model).double()
        lipschitz = certify(critic, self._shape).lipschitz_upper_bound
        for view in self._views[index]:
            values = self._values(critic, view.points()) / lipschitz
            if math.isfinite(lipschitz) and values.isfinite().all():
                file = self._folders[index] / LANDSCAPES / view.name / f"step_{step:06}.npz"
                save_arrays(file, _arrays(view, values, step, lipschitz))

    def _values(self, critic: nn.Module, points: Tensor) -> Tensor:
        rows = max(1, min(_MOST_ROWS, _MOST_NUMBERS // points.shape[1]))
        with torch.no_grad():
            batches = [critic(batch.view(-1, *self._shape)) for batch in points.split(rows)]
        return torch.cat(batches).squeeze(1)


def _arrays(view: _View, values: Tensor, step: int, lipschitz: float) -> dict[str, np.ndarray]:
    tensors = dict(zip("xy", view.axes, strict=False))
    tensors |= dict(zip(("samples1", "samples2"), view.samples, strict=True))
    tensors |= {"origin": view.origin, "directions": view.directions}
    tensors["values"] = values.view([len(axis) for axis in reversed(view.axes)])
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    return arrays | {"step": np.array(step), "lipschitz_upper_bound": np.array(lipschitz)}


def _views(
    landscape: LandscapeSpec, distribs: Sequence[Distribution], generator: Generator
) -> list[_View]:
    samples = [distrib.held_out(_SAMPLES, generator).flatten(1) for distrib in distribs]
    match landscape:
        case LineSpec():
            return [_whole("line", (landscape.xrange,), landscape.step, samples)]
        case PlaneSpec():
            ranges = (landscape.xrange, landscape.yrange)
            return [_whole("plane", ranges, landscape.step, samples)]
        case SlicesSpec():
            cuts = [("plane", i, 2) for i in range(landscape.planes)]
            cuts += [("line", i, 1) for i in range(landscape.lines)]
            return [
                _slice(f"{kind}_{i}", i, dim, samples, landscape.resolution, generator)
                for kind, i, dim in cuts
            ]


def _whole(
    name: str,
    ranges: Sequence[tuple[float, float]],
    step: float,
    samples: Sequence[Tensor],
) -> _View:
    """All of a space of one or two dimensions."""
    first, second = samples
    axes = [
        low + step * torch.arange(num_points((low, high), step)).to(first) for low, high in ranges
    ]
    directions = torch.eye(len(ranges)).to(first)
    return _View(name, torch.zeros(len(ranges)).to(first), directions, tuple(axes), (first, second))


def _slice(
    name: str,
    number: int,
    dim: int,
    samples: Sequence[Tensor],
    resolution: int,
    generator: Generator,
) -> _View:
    """A line from a sample of the first distribution to one of the second, or with a third a plane.

    Args:
        name: Of the view.
        number: Which samples are taken.
        dim: 1 or 2.
        samples: Held out, of each distribution.
        resolution: Points along each axis.
        generator: Draws directions where samples coincide or lie on a line.
    """
    first, second = samples
    origin = first[number % len(first)]
    others = torch.stack([second[(dim * number + k) % len(second)] for k in range(dim)])
    directions = _orthonormal(others - origin, generator)
    spanning = torch.cat((origin.unsqueeze(0), others))
    coordinates = (spanning - origin) @ directions.mT
    low, high = coordinates.amin(dim=0), coordinates.amax(dim=0)
    # Samples that coincide leave an axis without a length.
    beyond = _BEYOND * torch.where(high - low > 0, high - low, (high - low).max())
    beyond = torch.where(beyond > 0, beyond, 1.0)
    shares = torch.linspace(0, 1, resolution, dtype=origin.dtype, device=origin.device)
    axes = [a + (b - a) * shares for a, b in zip(low - beyond, high + beyond, strict=True)]
    return _View(name, origin, directions, tuple(axes), (coordinates[:1], coordinates[1:]))


def _orthonormal(vectors: Tensor, generator: Generator) -> Tensor:
    """Directions that span vectors; random ones in the place of those that span nothing new."""
    found: list[Tensor] = []
    for vector in vectors:
        length = float(vector.norm())
        for direction in found:
            vector = vector - (vector @ direction) * direction
        if float(vector.norm()) <= 1e-9 * length:
            vector = torch.randn(
                len(vector), generator=generator, device=vector.device, dtype=vector.dtype
            )
            for direction in found:
                vector = vector - (vector @ direction) * direction
        found.append(vector / vector.norm())
    return torch.stack(found)
