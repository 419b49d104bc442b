"""Orthonormal matrices without iterations, and staying orthonormal while training."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# Order-1 iterations converge from singular values below √3, whose Gram matrix errs by 2. An error
# above this is taken for far away.
_NEAR = 1.25
_MOST_STEPS = 12


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
        steps: Cubic steps; None takes as many as bring the defect down to roundings, at most 12.
            To know, it waits for the device at each.
    """
    wide = weight.shape[-2] <= weight.shape[-1]
    w = weight if wide else weight.mT
    if steps is None:
        w = _retracted(w)
    else:
        for i in range(steps):
            w = _cubic_step(w, _gram_error(w), scaled=i == 0)
    return w if wide else w.mT


def _retracted(w: Tensor) -> Tensor:
    enough = 4 * torch.finfo(w.dtype).eps * max(25.0, math.sqrt(w.shape[-2]))
    for _ in range(_MOST_STEPS):
        error = _gram_error(w)
        defect = float(torch.linalg.matrix_norm(error).max())
        if not defect > enough:  # or it is NaN
            break
        w = _cubic_step(w, error, scaled=defect > _NEAR)
        if defect <= min(_NEAR, math.sqrt(enough)):
            break
    return w


def _gram_error(w: Tensor) -> Tensor:
    gram = w @ w.mT
    gram.diagonal(dim1=-2, dim2=-1).sub_(1)
    return gram


def _cubic_step(w: Tensor, error: Tensor, *, scaled: bool) -> Tensor:
    """(I − E/2)·W for the error E of the Gram matrix, which it overwrites."""
    diagonal = error.diagonal(dim1=-2, dim2=-1)
    if not scaled:
        error.mul_(-0.5)
        diagonal.add_(1)
        return error @ w
    # The same of W/√s, with s a bound on the norm of its Gram matrix where that is large.
    bound = 1 + torch.linalg.matrix_norm(error, ord=torch.inf, keepdim=True)
    scale = torch.where(bound > 1 + _NEAR, bound, 1.0)
    diagonal.add_(1)
    error.mul_(-0.5 / scale)
    diagonal.add_(1.5)
    return (error @ w) / scale.sqrt()


def tangent_linear(
    x: Float[Tensor, "*batch in"], weight: Float[Tensor, "out in"]
) -> Float[Tensor, "*batch out"]:
    """The product x Wᵀ of an orthonormal W, with the gradient that W's polar factor would have.

    That is the gradient's part along the orthonormal matrices. It is computed from the two thin
    factors of the gradient, without any product of two weight-sized matrices.

    Args:
        x: Inputs.
        weight: Orthonormal rows, or columns where there are fewer.

    Source:
        Edelman, Arias, Smith (1998), arXiv:physics/9806030, section 2.4.
    """
    return _TangentLinear.apply(x, weight)


class _TangentLinear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight, y = ctx.saved_tensors
        g, xs, ys = (t.reshape(-1, t.shape[-1]) for t in (gradient, x, y))
        rows, (out, in_) = len(xs), weight.shape
        short, long = sorted((out, in_))
        # The gradient is G = gᵀx without its normal part, ½(GWᵀ + WGᵀ)W for a wide W. The products
        # with W are thin as well: GWᵀ = gᵀy and WᵀG = (gW)ᵀx. What is cheaper depends on the rows.
        inner = out != in_ and rows * (2 * long - short) > short * long
        gx: Any = g @ weight if ctx.needs_input_grad[0] or not inner or out > in_ else None
        if inner:
            inside = g.mT @ ys if gx is None or out < in_ else gx.mT @ xs
            inside = inside + inside.mT
            factors = (inside, weight) if out < in_ else (weight, inside)
            result = torch.addmm(g.mT @ xs, *factors, alpha=-0.5)
        elif out == in_:
            result = torch.addmm(g.mT @ xs, ys.mT, gx, beta=0.5, alpha=-0.5)
        elif out < in_:
            thin = g.mT @ torch.addmm(xs, ys, weight, alpha=-0.5)
            result = torch.addmm(thin, ys.mT, gx, alpha=-0.5)
        else:
            thin = torch.addmm(g, gx, weight.mT, alpha=-0.5).mT @ xs
            result = torch.addmm(thin, ys.mT, gx, alpha=-0.5)
        return (None if gx is None else gx.reshape(x.shape)), result
