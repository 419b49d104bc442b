"""Activations that torch does not have."""

from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.group_sort import group_sort, maxout


class GroupSort(nn.Module):
    """Sort ascending inside contiguous groups of units; `GroupSort(2)` is MaxMin.

    Args:
        group_size: Units per group; must divide the units.
        axis: The axis of units: −1 for vectors, 1 for images.
    """

    def __init__(self, group_size: int, axis: int = -1) -> None:
        super().__init__()
        self.group_size = group_size
        self.axis = axis

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The input, permuted."""
        return group_sort(x, self.group_size, axis=self.axis)

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{self.group_size}, axis={self.axis}"


class Maxout(nn.Module):
    """Largest unit of each contiguous group; the axis shrinks by `group_size`.

    Args:
        group_size: Units per group; must divide the units.
        axis: The axis of units: −1 for vectors, 1 for images.
    """

    def __init__(self, group_size: int, axis: int = -1) -> None:
        super().__init__()
        self.group_size = group_size
        self.axis = axis

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*smaller"]:
        """One unit per group."""
        return maxout(x, self.group_size, axis=self.axis)

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{self.group_size}, axis={self.axis}"


class Abs(nn.Module):
    """Absolute value, which keeps the norm of gradients."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """|x|."""
        return x.abs()
