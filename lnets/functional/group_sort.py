"""Activations that work on groups of units."""

from jaxtyping import Float
from torch import Tensor


def group_sort(
    x: Float[Tensor, "*shape"], group_size: int, *, axis: int = -1
) -> Float[Tensor, "*shape"]:
    """Sort ascending inside contiguous groups along one axis: permutes, so keeps every norm.

    Args:
        x: Any shape.
        group_size: Units per group; 2 is MaxMin, the whole axis is a full sort.
        axis: The axis of units.

    Raises:
        ValueError: If `group_size` does not divide the axis.

    Source:
        Anil, Lucas, Grosse (2019), arXiv:1811.05381.
    """
    grouped, within = _grouped(x, group_size, axis)
    return grouped.sort(dim=within).values.flatten(within - 1, within)


def maxout(
    x: Float[Tensor, "*shape"], group_size: int, *, axis: int = -1
) -> Float[Tensor, "*smaller"]:
    """Largest unit of each contiguous group along one axis, which shrinks by `group_size`.

    Args:
        x: Any shape.
        group_size: Units per group.
        axis: The axis of units.

    Raises:
        ValueError: If `group_size` does not divide the axis.

    Source:
        Goodfellow et al. (2013), arXiv:1302.4389.
    """
    grouped, within = _grouped(x, group_size, axis)
    return grouped.amax(dim=within)


def _grouped(x: Tensor, group_size: int, axis: int) -> tuple[Tensor, int]:
    """The axis split into groups, and the axis inside a group."""
    units = x.shape[axis]
    if group_size < 1 or units % group_size:
        raise ValueError(
            f"`group_size` must divide the units, got group_size={group_size} and units={units}."
        )
    axis %= x.ndim
    return x.unflatten(axis, (units // group_size, group_size)), axis + 1
