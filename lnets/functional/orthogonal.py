"""Orthonormal matrices without iterations, and staying orthonormal while training."""

import functools
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.orthonormalize import bjorck_iteration
from lnets.functional.tracing import is_tracing

# Order-1 iterations converge from singular values below √3, whose Gram matrix errs by 2. An error
# above this is taken for far away.
_NEAR = 1.25
_MOST_STEPS = 12
_PROBES = 4


def qr(weight: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch out in"]:
    """The orthonormal factor of the QR decomposition with a positive diagonal in R.

    Args:
        weight: Matrices of full rank; the decomposition is of the tall one of W and Wᵀ.

    Source:
        Golub and Van Loan (2013), Matrix Computations, section 5.2.
    """
    tall = weight.shape[-2] >= weight.shape[-1]
    q, r = torch.linalg.qr(weight if tall else weight.mT)
    signs = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(q.dtype)
    q = q * signs.unsqueeze(-2)
    return q if tall else q.mT


def cayley(weight: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch out in"]:
    """The Cayley transform of a skew-symmetric matrix made from the weight.

    For a tall W with square top U and rest V: A = U − Uᵀ + VᵀV, and the result stacks
    (I + A)⁻¹(I − A) on −2V(I + A)⁻¹. It never reaches the eigenvalue −1.

    Args:
        weight: Any matrices.

    Source:
        Trockman and Kolter (2021), arXiv:2104.07167.
    """
    tall = weight.shape[-2] >= weight.shape[-1]
    w = weight if tall else weight.mT
    side = w.shape[-1]
    top, rest = w[..., :side, :], w[..., side:, :]
    a = top - top.mT + rest.mT @ rest
    identity = torch.eye(side, dtype=w.dtype, device=w.device)
    inverse = torch.linalg.solve(identity + a, identity.expand_as(a))
    q = torch.cat((inverse @ (identity - a), -2 * rest @ inverse), dim=-2)
    return q if tall else q.mT


def retract(
    weight: Float[Tensor, "*batch out in"], *, steps: int | None = None
) -> Float[Tensor, "*batch out in"]:
    """Bring a nearly orthonormal matrix back: cubic steps towards the nearest orthonormal one.

    Of a defect d = ‖WWᵀ − I‖ a step leaves at most ¾·d² + ¼·d³. An update of size δ along the
    orthonormal matrices has the defect δ², any other one of at most 2·δ + δ². Far from orthonormal,
    a proven scale keeps the step from diverging.

    Args:
        weight: Matrices, whose gradient is not needed.
        steps: Cubic steps; None takes as many as bring the defect down to roundings, at most 12,
            for each matrix whatever the others need. To know, it waits for the device at each.
    """
    wide = weight.shape[-2] <= weight.shape[-1]
    w = weight if wide else weight.mT
    if w.shape[-2] == 1:
        w = torch.nn.functional.normalize(w, dim=-1)
    elif steps is None:
        w = _retracted(w)
    else:
        for i in range(steps):
            error = _gram_error(w)
            w = _cubic_step(w, error, torch.linalg.matrix_norm(error) > _NEAR if i == 0 else None)
    return w if wide else w.mT


def orthonormality_defect(weight: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch"]:
    """An estimate of ‖WWᵀ − I‖_F (of WᵀW where there are fewer columns) from two thin products.

    It is the root mean square of ‖(WWᵀ − I)z‖ over four fixed normal vectors z. A defect of rank
    one is seen at less than a tenth of its size with a probability of 2e-4.

    Args:
        weight: Any matrices.

    Source:
        Hutchinson (1990), doi:10.1080/03610919008812866.
    """
    w = weight if weight.shape[-2] <= weight.shape[-1] else weight.mT
    z = _probes(w.shape[-2], w.dtype, w.device)
    return torch.linalg.matrix_norm(w @ (w.mT @ z) - z) / math.sqrt(_PROBES)


@functools.cache
def _probes(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randn(size, _PROBES, generator=generator, dtype=dtype).to(device)


def _retracted(w: Tensor) -> Tensor:
    enough = 4 * torch.finfo(w.dtype).eps * max(25.0, math.sqrt(w.shape[-2]))
    for _ in range(_MOST_STEPS):
        error = _gram_error(w)
        defects = torch.linalg.vector_norm(error, dim=(-2, -1))
        # What is not finite cannot be brought back, and must not keep the others from it.
        each = [defects.item()] if w.ndim == 2 else defects.flatten().tolist()
        finite = [defect for defect in each if math.isfinite(defect)]
        worst = max(finite, default=0.0)
        if worst <= enough:
            break
        if min(finite) <= enough:
            error.mul_((defects > enough)[..., None, None])
        w = _cubic_step(w, error, defects > _NEAR if worst > _NEAR else None)
        if worst <= min(_NEAR, math.sqrt(enough)):
            break
    return w


def _gram_error(w: Tensor) -> Tensor:
    gram = w @ w.mT
    gram.diagonal(dim1=-2, dim2=-1).sub_(1)
    return gram


def _cubic_step(w: Tensor, error: Tensor, far: Tensor | None) -> Tensor:
    """(I − E/2)·W for the error E of the Gram matrix, which it overwrites."""
    diagonal = error.diagonal(dim1=-2, dim2=-1)
    if far is None:
        error.mul_(-0.5)
        diagonal.add_(1)
        return error @ w
    # The same of W/√s, with s a bound on the norm of its Gram matrix where that is large.
    bound = 1 + torch.linalg.matrix_norm(error, ord=torch.inf)
    scale = torch.where(far & (bound > 1 + _NEAR), bound, 1.0)[..., None, None]
    diagonal.add_(1)
    error.mul_(-0.5 / scale)
    diagonal.add_(1.5)
    return (error @ w) / scale.sqrt()


def tangent_linear(
    x: Float[Tensor, "*batch in"], weight: Float[Tensor, "*replicas out in"]
) -> Float[Tensor, "*batch out"]:
    """The product x Wᵀ of an orthonormal W, with the gradient that W's polar factor would have.

    That is the gradient's part along the orthonormal matrices. It is computed from the two thin
    factors of the gradient, without any product of two weight-sized matrices.

    Args:
        x: Inputs; those of a stack of weights have its dimension in front.
        weight: Orthonormal rows, or columns where there are fewer; one matrix or a stack of them.

    Source:
        Edelman, Arias, Smith (1998), arXiv:physics/9806030, section 2.4.
    """
    if is_tracing():
        # A cubic step has the same derivative where W is orthonormal.
        return x @ bjorck_iteration(weight).mT
    return _TangentLinear.apply(x, weight)


class _TangentLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        y = x @ weight.mT
        ctx.save_for_backward(x, weight, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight, y = ctx.saved_tensors
        # Autocast has decided on the dtype of y; autograd brings back that of the inputs.
        x, weight = x.to(y.dtype), weight.to(y.dtype)
        replicas, (out, in_) = weight.shape[:-2], weight.shape[-2:]
        g, xs, ys = gradient, x, y
        if x.ndim != weight.ndim:
            g, xs, ys = (t.reshape(*replicas, -1, t.shape[-1]) for t in (gradient, x, y))
        add = torch.baddbmm if replicas else torch.addmm
        # The gradient is G = gᵀx without its normal part, ½(GWᵀ + WGᵀ)W for a wide W. The products
        # with W are thin as well: GWᵀ = gᵀy and WᵀG = (gW)ᵀx. What is cheaper depends on the rows.
        short, long = sorted((out, in_))
        inner = short < long and xs.shape[-2] * (2 * long - short) > short * long
        needed = ctx.needs_input_grad[0] or not inner or out > in_
        gx: Any = g @ weight if needed else None
        if inner:
            inside = g.mT @ ys if out < in_ else gx.mT @ xs
            inside = inside + inside.mT
            factors = (inside, weight) if out < in_ else (weight, inside)
            result = add(g.mT @ xs, *factors, alpha=-0.5)
        elif out == in_:
            result = add(g.mT @ xs, ys.mT, gx, beta=0.5, alpha=-0.5)
        else:
            if out < in_:
                thin = g.mT @ add(xs, ys, weight, alpha=-0.5)
            else:
                thin = add(g, gx, weight.mT, alpha=-0.5).mT @ xs
            result = add(thin, ys.mT, gx, alpha=-0.5)
        return (None if gx is None else gx.view(x.shape)), result
