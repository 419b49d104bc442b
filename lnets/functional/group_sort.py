"""Activations that work on groups of units."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.tracing import is_tracing


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
    if is_tracing():
        return grouped.sort(dim=within).values.flatten(within - 1, within)
    function = _SortPairs if group_size == 2 else _Sort
    return function.apply(grouped, within).flatten(within - 1, within)


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
    """The axis split into groups, and the axis inside a group, counted from the last."""
    units = x.shape[axis]
    if group_size < 1 or units % group_size:
        raise ValueError(
            f"`group_size` must divide the units, got group_size={group_size} and units={units}."
        )
    if axis >= 0:
        axis -= x.ndim
    return x.unflatten(axis, (units // group_size, group_size)), axis


class _SortPairs(torch.autograd.Function):
    """Both units of each pair in ascending order: two passes, where a sort needs several."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.dim = dim
        result = torch.empty_like(x)
        first, second = x.unbind(dim)
        low, high = result.unbind(dim)
        torch.minimum(first, second, out=low)
        torch.maximum(first, second, out=high)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        first, second = ctx.saved_tensors[0].unbind(ctx.dim)
        return _SwapPairs.apply(gradient, first > second, ctx.dim), None


class _SwapPairs(torch.autograd.Function):
    """Pairs exchanged where a mask is true: the derivative of sorting them, and its own adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.dim = dim
        result = torch.empty_like(x)
        first, second = x.unbind(dim)
        low, high = result.unbind(dim)
        # Arithmetic with the mask is faster, but mixes large gradients into small ones.
        torch.where(mask, second, first, out=low)
        torch.where(mask, first, second, out=high)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _SwapPairs.apply(gradient, ctx.saved_tensors[0], ctx.dim), None, None


class _Sort(torch.autograd.Function):
    """Ascending order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        if x.device.type == "cpu" and x.dtype != torch.bfloat16:
            # NumPy's order is five times faster than torch's at 64 × 256.
            order = torch.from_numpy(np.argsort(x.numpy(), axis=dim))
        else:
            order = x.argsort(dim=dim)
        ctx.save_for_backward(order)
        ctx.dim = dim
        return x.gather(dim, order)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(gradient, ctx.saved_tensors[0], ctx.dim), None


class _Scatter(torch.autograd.Function):
    """Puts units back to where a sort has taken them from; its adjoint is to take them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(order)
        ctx.dim = dim
        return torch.empty_like(x).scatter_(dim, order, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.gather(ctx.dim, ctx.saved_tensors[0]), None, None
