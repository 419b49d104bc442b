"""Orthonormal matrices without iterations, and staying orthonormal while training."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.orthonormalize import bjorck_iteration

# Order-1 iterations converge from singular values below √3; a bound above this is divided out.
_SAFE = 1.5


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
    weight: Float[Tensor, "*batch out in"], *, steps: int = 2
) -> Float[Tensor, "*batch out in"]:
    """Bring a nearly orthonormal matrix back: cubic steps towards the nearest orthonormal one.

    An update of size δ leaves singular values within δ of 1; one step leaves about ¾·δ², two about
    δ⁴. Far from orthonormal, a proven scale keeps the step from diverging.

    Args:
        weight: Matrices, whose gradient is not needed.
        steps: Cubic steps.
    """
    wide = weight.shape[-2] <= weight.shape[-1]
    w = weight if wide else weight.mT
    if steps > 0:
        gram = w @ w.mT
        bound = torch.linalg.matrix_norm(gram, ord=torch.inf, keepdim=True)
        scale = torch.where(bound > _SAFE**2, bound, 1.0)
        w = (1.5 * w - (gram * (0.5 / scale)) @ w) / scale.sqrt()
    for _ in range(steps - 1):
        w = bjorck_iteration(w)
    return w if wide else w.mT


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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight, y = ctx.saved_tensors
        back = gradient @ weight
        g, gx, xs, ys = (t.reshape(-1, t.shape[-1]) for t in (gradient, back, x, y))
        out, in_ = weight.shape[-2:]
        if out == in_:
            return back, torch.addmm(g.mT @ xs, ys.mT, gx, beta=0.5, alpha=-0.5)
        if out < in_:
            thin = g.mT @ torch.addmm(xs, ys, weight, alpha=-0.5)
        else:
            thin = torch.addmm(g, gx, weight.mT, alpha=-0.5).mT @ xs
        return back, torch.addmm(thin, ys.mT, gx, alpha=-0.5)
