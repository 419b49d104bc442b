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
    """The product of x with a weight that is rotated to first order, W(I + S), or (I + S)W if tall.

    Its gradient in S is that of x·(V exp(½(R − Rᵀ)))ᵀ in R at R = 0, where V is the rotated weight:
    skew-symmetric up to rounding, with a diagonal of zeros, and computed from thin factors. So any
    optimizer that treats numbers alike by their size, as Adam and momentum do, moves W along the
    orthonormal matrices to first order, with a state that needs no transport. The gradient can be
    differentiated again along the inputs, as gradient penalties need it; along the rotation, the
    second derivative takes exp(R) for I + R. Under autocast the products are in its dtype.

    Args:
        x: Inputs; those of a stack of weights have its dimension in front.
        weight: W, orthonormal rows, or columns where there are fewer; a constant.
        rotation: S, skew-symmetric and as large as the longer side.

    Source:
        Lezcano-Casado (2019), arXiv:1909.09501.
    """
    if is_tracing():
        return _by_products(x, weight, rotation)
    return _RotationLinear.apply(x, weight, rotation)


def _by_products(x: Tensor, weight: Tensor, rotation: Tensor) -> Tensor:
    before = rotation.detach()
    zeros = rotation - before
    skew = 0.5 * (zeros - zeros.mT)
    if weight.shape[-2] <= weight.shape[-1]:
        x = x - x @ skew
        return (x - x @ before) @ weight.mT
    y = x @ weight.mT
    y = y - y @ before
    return y - y @ skew


class _RotationLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, rotation: Tensor) -> Tensor:
        # (I + S)ᵀ = I − S; thin products, where to rotate the weight would be a large one.
        if weight.shape[-2] > weight.shape[-1]:
            y = x @ weight.mT
            y = y - y @ rotation
        else:
            y = (x - x @ rotation) @ weight.mT
        ctx.save_for_backward(x, weight, rotation, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        x, weight, rotation, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, gradient, x, weight, rotation)
        # Autocast has decided on the dtype of y; autograd brings back that of the inputs.
        x, weight, rotation = (t.to(y.dtype) for t in (x, weight, rotation))
        replicas, tall = weight.shape[:-2], weight.shape[-2] > weight.shape[-1]
        g, xs, ys = gradient, x, y
        if x.ndim != weight.ndim:
            g, xs, ys = (t.reshape(*replicas, -1, t.shape[-1]) for t in (gradient, x, y))
        gx: Any = None
        if not tall:
            gx = g @ weight
            gx = gx + gx @ rotation
        elif ctx.needs_input_grad[0]:
            gx = (g + g @ rotation) @ weight
        # GVᵀ = gᵀy and VᵀG = (gV)ᵀx for the gradient G = gᵀx of V; its transpose as a product
        # too, which is cheaper than to transpose it.
        left, right = (g, ys) if tall else (gx, xs)
        skew = torch.cat((0.5 * left, -0.5 * right), -2).mT @ torch.cat((right, left), -2)
        # Adam would take roundings for gradients, and step as far as elsewhere.
        skew.diagonal(dim1=-2, dim2=-1).zero_()
        return (gx.view(x.shape) if ctx.needs_input_grad[0] else None), None, skew


def _differentiable_gradients(
    ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, rotation: Tensor
) -> tuple[Tensor | None, None, Tensor | None]:
    y = _by_products(x.to(weight.dtype), weight, rotation)
    needs = ctx.needs_input_grad[::2]
    needed = [t for t, need in zip((x, rotation), needs, strict=True) if need]
    found = iter(torch.autograd.grad(y, needed, gradient.to(y.dtype), create_graph=True))
    for_x, for_rotation = (next(found) if need else None for need in needs)
    return for_x, None, for_rotation
