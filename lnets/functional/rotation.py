"""Moving an orthonormal matrix by rotating its rows or columns."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.tracing import is_tracing


def rotate(
    weight: Float[Tensor, "*batch out in"], rotation: Float[Tensor, "*batch n n"]
) -> Float[Tensor, "*batch out in"]:
    """W·exp(S), or exp(S)·W for a tall W, to first order in S.

    Of an orthonormal W the defect ‖WWᵀ − I‖ becomes ‖S‖² at most.

    Args:
        weight: Orthonormal rows, or columns where there are fewer.
        rotation: S, skew-symmetric and as large as the longer side.
    """
    tall = weight.shape[-2] > weight.shape[-1]
    factors = (rotation, weight) if tall else (weight, rotation)
    if weight.ndim == 2:
        return torch.addmm(weight, *factors)  # a pass over the matrix less than a sum
    return weight + factors[0] @ factors[1]


def rotation_linear(
    x: Float[Tensor, "*batch in"],
    weight: Float[Tensor, "*replicas out in"],
    rotation: Float[Tensor, "*replicas n n"],
) -> Float[Tensor, "*batch out"]:
    """The product x Wᵀ, with the gradient of a rotation of W that is still zero.

    That gradient is skew-symmetric up to rounding, and computed from thin factors. So any optimizer
    that treats numbers alike by their size, as Adam and momentum do, moves W along the orthonormal
    matrices to first order, with a state that needs no transport.

    Args:
        x: Inputs; those of a stack of weights have its dimension in front.
        weight: Orthonormal rows, or columns where there are fewer; a constant.
        rotation: Zeros, as large as the longer side.

    Source:
        Lezcano-Casado (2019), arXiv:1909.09501.
    """
    if is_tracing():
        return x @ rotate(weight, _skew(rotation)).mT
    return _RotationLinear.apply(x, weight, rotation)


class _RotationLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, rotation: Tensor) -> Tensor:
        y = x @ weight.mT
        ctx.save_for_backward(x, weight, rotation, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        x, weight, rotation, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, gradient, x, weight, rotation)
        # Autocast has decided on the dtype of y; autograd brings back that of the inputs.
        x, weight = x.to(y.dtype), weight.to(y.dtype)
        replicas, tall = weight.shape[:-2], weight.shape[-2] > weight.shape[-1]
        g, xs, ys = gradient, x, y
        if x.ndim != weight.ndim:
            g, xs, ys = (t.reshape(*replicas, -1, t.shape[-1]) for t in (gradient, x, y))
        gx: Any = g @ weight if ctx.needs_input_grad[0] or not tall else None
        # GWᵀ = gᵀy and WᵀG = (gW)ᵀx for the gradient G = gᵀx of W; its transpose as a product
        # too, which is cheaper than to transpose it.
        left, right = (g, ys) if tall else (gx, xs)
        skew = torch.cat((0.5 * left, -0.5 * right), -2).mT @ torch.cat((right, left), -2)
        return (gx.view(x.shape) if ctx.needs_input_grad[0] else None), None, skew


def _skew(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix - matrix.mT)


def _differentiable_gradients(
    ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, rotation: Tensor
) -> tuple[Tensor | None, None, Tensor | None]:
    y = x.to(weight.dtype) @ rotate(weight, _skew(rotation)).mT
    needs = ctx.needs_input_grad
    needed = [t for t, need in zip((x, weight, rotation), needs, strict=True) if need]
    found = iter(torch.autograd.grad(y, needed, gradient.to(weight.dtype), create_graph=True))
    for_x, _, for_rotation = (next(found) if need else None for need in needs)
    return for_x, None, for_rotation
