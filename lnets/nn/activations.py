"""Activations that torch does not have."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.group_sort import group_sort, maxout
from lnets.nn.arguments import refuse_below


class _Grouped(nn.Module):
    """What acts on contiguous groups of units.

    Args:
        group_size: Units per group; must divide the units.
        axis: The axis of units: −1 for vectors, 1 for images.
    """

    def __init__(self, group_size: int, axis: int = -1) -> None:
        super().__init__()
        refuse_below(1, group_size=group_size)
        self.group_size = group_size
        self.axis = axis

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{self.group_size}, axis={self.axis}"


class GroupSort(_Grouped):
    """Sort ascending inside contiguous groups of units; `GroupSort(2)` is MaxMin.

    Args:
        group_size: Units per group; must divide the units.
        axis: The axis of units: −1 for vectors, 1 for images.

    Raises:
        ValueError: If `group_size` is not positive.
    """

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The input, permuted."""
        return group_sort(x, self.group_size, axis=self.axis)


class Maxout(_Grouped):
    """Largest unit of each contiguous group; the axis shrinks by `group_size`.

    Args:
        group_size: Units per group; must divide the units.
        axis: The axis of units: −1 for vectors, 1 for images.

    Raises:
        ValueError: If `group_size` is not positive.
    """

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*smaller"]:
        """One unit per group."""
        return maxout(x, self.group_size, axis=self.axis)


class Householder(nn.Module):
    """Reflect each pair of units, where it lies on one side of a learned line through the origin.

    A pair z keeps its place if it lies on v's side, else it is reflected at v: continuous, and
    orthogonal everywhere, so it keeps the norm of gradients.

    Args:
        num_pairs: Pairs of units along the axis, one angle each.
        axis: The axis of units.

    Raises:
        ValueError: If there is no pair.

    Source:
        Singla, Singla, Feizi (2021), arXiv:2108.04062.
    """

    def __init__(self, num_pairs: int, axis: int = -1) -> None:
        super().__init__()
        refuse_below(1, num_pairs=num_pairs)
        self.axis = axis
        self.angle = nn.Parameter(torch.full((num_pairs,), math.pi / 2))

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The input, some pairs of it reflected."""
        first, second = x.movedim(self.axis, -1).unflatten(-1, (-1, 2)).unbind(-1)
        half = self.angle / 2
        # Distance of the pair from the line at half the angle; its sign tells the side.
        distance = first * half.sin() - second * half.cos()
        away = 2 * distance.clamp_max(0)
        pairs = torch.stack((first - away * half.sin(), second + away * half.cos()), dim=-1)
        return pairs.flatten(-2).movedim(-1, self.axis)

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"num_pairs={len(self.angle)}, axis={self.axis}"


class NActivation(nn.Module):
    """Slope 1 outside two learned points, −1 between them: one channel can bend twice.

    Args:
        num_units: Units along the axis, two points each.
        axis: The axis of units.

    Raises:
        ValueError: If there is no unit.

    Source:
        Prach and Lampert (2023), arXiv:2311.06103.
    """

    def __init__(self, num_units: int, axis: int = -1) -> None:
        super().__init__()
        refuse_below(1, num_units=num_units)
        self.axis = axis
        self.points = nn.Parameter(torch.tensor([-0.5, 0.5]).repeat(num_units, 1))

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The bent input."""
        last = x.movedim(self.axis, -1)
        low, high = self.points.amin(dim=-1), self.points.amax(dim=-1)
        bent = last - 2 * (last - low).clamp_min(0) + 2 * (last - high).clamp_min(0)
        return bent.movedim(-1, self.axis)

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"num_units={len(self.points)}, axis={self.axis}"


class Abs(nn.Module):
    """Absolute value, which keeps the norm of gradients."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """|x|."""
        return x.abs()
