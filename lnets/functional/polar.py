"""Polar factors by converged methods, all with the one exact gradient."""

import functools
import math
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.orthonormalize import bjorck_iteration, spectral_scale

Coefficients: TypeAlias = tuple[tuple[float, float, float], ...]

# Below this ratio of the interval's ends the minimax quintic loses too many digits to rounding.
_NARROWEST = 0.02407327424182761
_CONVERGED = 1e-9
_PADE = (15 / 8, -10 / 8, 3 / 8)


def polar(
    weight: Float[Tensor, "*batch out in"], *, method: str = "eigh"
) -> Float[Tensor, "*batch out in"]:
    """The nearest matrix with orthonormal rows (or columns, where there are fewer).

    Args:
        weight: Matrices of full rank; a singular value of 0 stays 0.
        method: `eigh`, of the Gram matrix on the smaller side: fast, and right while the singular
            values spread by less than 1/√ε of the dtype (3,000 in float32); `svd`: always right.

    Returns:
        Singular values 1 up to rounding. The gradient is exact; there is no second derivative.

    Raises:
        ValueError: If `method` is unknown.

    Source:
        Higham (1986), doi:10.1137/0907079; the adjoint from differentiating W = S Q.
    """
    wide = weight.shape[-2] <= weight.shape[-1]
    w = weight if wide else weight.mT
    with torch.no_grad():
        if method == "eigh":
            squares, u = _eigh(w @ w.mT)
            sigma = squares.clamp_min(0).sqrt()
        elif method == "svd":
            u, sigma, _ = torch.linalg.svd(w, full_matrices=False)
        else:
            raise ValueError(f"`method` must be 'eigh' or 'svd', got {method!r}.")
        smallest = sigma.amax(dim=-1, keepdim=True) * torch.finfo(sigma.dtype).eps
        smallest = smallest.clamp_min(torch.finfo(sigma.dtype).tiny)
        q = (u / sigma.clamp_min(smallest).unsqueeze(-2)) @ (u.mT @ w)
        if method == "eigh":
            q = bjorck_iteration(q)  # squares the error that the Gram matrix's digits have left
    result = _PolarGradient.apply(w, q, u, sigma.clamp_min(smallest))
    return result if wide else result.mT


def polar_express(
    weight: Float[Tensor, "*batch out in"],
    *,
    lower: float = 1e-3,
    coefficients: Coefficients | None = None,
) -> Float[Tensor, "*batch out in"]:
    """The polar factor by matrix products only: the fastest-converging odd quintics.

    Args:
        weight: Matrices whose smallest singular value is at least `lower` times a bound on the
            largest; smaller ones end below 1.
        lower: In (0, 1); the smaller it is, the more steps are taken.
        coefficients: Those of `lower`, where a caller keeps them.

    Returns:
        Singular values 1 up to rounding. The gradient is that of the exact polar factor; there is
        no second derivative.

    Raises:
        ValueError: If `lower` is not in (0, 1).

    Source:
        Amsel et al. (2025), arXiv:2505.16932.
    """
    if coefficients is None:
        coefficients = polar_express_coefficients(lower)
    wide = weight.shape[-2] <= weight.shape[-1]
    w = weight if wide else weight.mT
    with torch.no_grad():
        q = w / spectral_scale(w)
        identity = torch.eye(w.shape[-2], dtype=w.dtype, device=w.device)
        for a, b, c in coefficients:
            gram = q @ q.mT
            q = (a * identity + (b * identity + c * gram) @ gram) @ q
        symmetric = w @ q.mT
        sigma, u = _eigh((symmetric + symmetric.mT) / 2)
        smallest = sigma.amax(dim=-1, keepdim=True) * torch.finfo(sigma.dtype).eps
        sigma = sigma.clamp_min(smallest).clamp_min(torch.finfo(sigma.dtype).tiny)
    result = _PolarGradient.apply(w, q, u, sigma)
    return result if wide else result.mT


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors, of 0 in place of entries that are not finite.

    LAPACK would refuse these, and the finite matrices of a stack with them. Products with the
    weight are not finite all the same, by which training loops see which network has diverged.
    """
    return torch.linalg.eigh(matrix.nan_to_num(0, 0, 0))


@functools.cache
def polar_express_coefficients(lower: float) -> Coefficients:
    """Odd quintics a·x + b·x³ + c·x⁵ whose composition is minimax on [lower, 1].

    Args:
        lower: In (0, 1).

    Returns:
        As many as bring the interval to within 1e-9 of 1.

    Raises:
        ValueError: If `lower` is not in (0, 1).

    Source:
        Amsel et al. (2025), arXiv:2505.16932, theorem 4.3.
    """
    if not 0 < lower < 1:
        raise ValueError(f"`lower` must be in (0, 1), got {lower}.")
    low, high = lower, 1.0
    steps = []
    while 1 - low > _CONVERGED:
        a, b, c = _minimax_quintic(max(low, _NARROWEST * high), high)
        ends = [a * x + b * x**3 + c * x**5 for x in (low, high)]
        centred = 2 / (ends[0] + ends[1])
        steps.append((a * centred, b * centred, c * centred))
        low = ends[0] * centred
        high = 2 - low
    return tuple(steps)


def _minimax_quintic(low: float, high: float) -> tuple[float, float, float]:
    """The odd quintic nearest to 1 on an interval: it errs by ±E at four points in turn."""
    # On so short an interval the Taylor polynomial errs by 1e-9 at most, and the system of
    # equations below is singular to rounding.
    if low / high >= 1 - 1e-3:
        return _PADE[0] / high, _PADE[1] / high**3, _PADE[2] / high**5
    q, r = (3 * low + high) / 4, (low + 3 * high) / 4
    error, before = math.inf, 0.0
    a = b = c = 0.0
    while abs(error - before) > 1e-15:
        before = error
        rows = [
            [x, x**3, x**5, sign] for x, sign in zip((low, q, r, high), (1, -1, 1, -1), strict=True)
        ]
        a, b, c, error = (float(value) for value in np.linalg.solve(rows, np.ones(4)))
        root = math.sqrt(9 * b * b - 20 * a * c)
        q, r = (math.sqrt((-3 * b + sign * root) / (10 * c)) for sign in (-1, 1))
    return a, b, c


class _PolarGradient(torch.autograd.Function):
    """Passes on a polar factor Q = U diag(1/σ) Uᵀ W, with the gradient that it has in W."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor, q: Tensor, u: Tensor, sigma: Tensor) -> Tensor:
        return q.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _, q, u, sigma = inputs
        ctx.save_for_backward(q, u, sigma)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        q, u, sigma = ctx.saved_tensors
        # dQ = U [(K − Kᵀ) / (σᵢ + σⱼ)] Uᵀ Q + S⁻¹ (dW − dW QᵀQ), K = Uᵀ dW QᵀU; its adjoint has
        # the same form.
        rotated = u.mT @ gradient
        k = rotated @ (q.mT @ u)
        sums = sigma.unsqueeze(-1) + sigma.unsqueeze(-2)
        inside = (k - k.mT) / sums - k / sigma.unsqueeze(-1)
        result = u @ (inside @ (u.mT @ q) + rotated / sigma.unsqueeze(-1))
        # In this formula Q, U and σ are numbers: its own derivative would be another.
        return _Once.apply(result) if torch.is_grad_enabled() else result, None, None, None


class _Once(torch.autograd.Function):
    """Passes on a gradient that must not be differentiated again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise NotImplementedError(
            "The gradient of a polar factor cannot be differentiated again; use Björck's iteration "
            "(`bjorck`, `BjorckLinear`), which has every derivative."
        )
