"""Maps from a matrix to one with orthonormal rows or columns."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Coefficients of W, WA, WA², … with A the Gram matrix: the Taylor polynomials of s^(-1/2) at s = 1.
_COEFFICIENTS = {
    2: (15 / 8, -5 / 4, 3 / 8),
    3: (35 / 16, -35 / 16, 21 / 16, -5 / 16),
    4: (315 / 128, -105 / 32, 189 / 64, -45 / 32, 35 / 128),
}


def bjorck(
    weight: Float[Tensor, "*batch out in"],
    *,
    iterations: int = 20,
    order: int = 1,
    beta: float = 0.5,
    safe_scaling: bool = False,
) -> Float[Tensor, "*batch out in"]:
    """Move every singular value towards 1 by Björck's iteration, from a proven scale.

    The weight is first divided by an upper bound on its spectral norm, so every order converges
    and, singular values being at most 1, no number of iterations with β ≤ 0.5 overshoots 1 by more
    than rounding. The gradient is that of exactly the iterations taken.

    Args:
        weight: Any matrices; a zero matrix stays zero.
        iterations: Number of iterations.
        order: 1 to 4, the degree of the Taylor polynomial in the Gram matrix.
        beta: Step size; orders above 1 are defined for 0.5 only.
        safe_scaling: Divide by √(out·in) instead, as the original code does: so far that 20
            iterations of order 1 do not converge at width 1024, and no bound once an entry
            exceeds 1. For comparison only.

    Returns:
        Matrices with the singular vectors of `weight`. Their singular values are 1 where the
        iteration has converged, below 1 where it has not.

    Raises:
        ValueError: If `order` is unknown, or `beta` is not 0.5 with an order above 1.

    Source:
        Björck and Bowie (1971), doi:10.1137/0708036; Anil, Lucas, Grosse (2019), arXiv:1811.05381.
    """
    wide = weight.shape[-2] <= weight.shape[-1]
    w = weight if wide else weight.mT
    w = w / (math.sqrt(w.shape[-2] * w.shape[-1]) if safe_scaling else spectral_scale(w))
    w = iterate_bjorck(w, iterations=iterations, order=order, beta=beta)
    return w if wide else w.mT


def iterate_bjorck(
    weight: Float[Tensor, "*batch out in"], *, iterations: int, order: int = 1, beta: float = 0.5
) -> Float[Tensor, "*batch out in"]:
    """Björck's iterations without any scale, whichever side is the longer one.

    Args:
        weight: Any matrices.
        iterations: Number of iterations.
        order: As for `bjorck_iteration`.
        beta: As for `bjorck_iteration`.

    Raises:
        ValueError: As `bjorck_iteration` does.
    """
    wide = weight.shape[-2] <= weight.shape[-1]
    w = weight if wide else weight.mT
    for _ in range(iterations):
        w = bjorck_iteration(w, order=order, beta=beta)
    return w if wide else w.mT


def bjorck_iteration(
    weight: Float[Tensor, "*batch out in"], *, order: int = 1, beta: float = 0.5
) -> Float[Tensor, "*batch out in"]:
    """One iteration of Björck's, without any scale; cheapest with `out` ≤ `in`.

    Singular values in (0, √3) move towards 1 in order 1; the higher orders converge on (0, 1.49)
    at least and come from above where a singular value is above 1.

    Args:
        weight: Any matrices.
        order: 1 to 4.
        beta: Step size; orders above 1 are defined for 0.5 only.

    Raises:
        ValueError: If `order` is unknown, or `beta` is not 0.5 with an order above 1.
    """
    if order == 1:
        coefficients: tuple[float, ...] = (1 + beta, -beta)
    elif order not in _COEFFICIENTS:
        raise ValueError(f"`order` must be 1, 2, 3 or 4, got {order}.")
    elif beta != 0.5:
        raise ValueError(f"`beta` must be 0.5 for order {order}, got {beta}.")
    else:
        coefficients = _COEFFICIENTS[order]
    gram = weight @ weight.mT
    if order == 1 and weight.ndim == 2:
        return torch.addmm(weight, gram, weight, beta=1 + beta, alpha=-beta)  # one pass, not three
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    polynomial = coefficients[-1] * gram + coefficients[-2] * identity
    for coefficient in reversed(coefficients[:-2]):
        polynomial = polynomial @ gram + coefficient * identity
    return polynomial @ weight


def spectral_scale(weight: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch 1 1"]:
    """Upper bound on the spectral norm that is cheap, differentiable and close.

    ‖W‖₂⁴ = ‖(WWᵀ)²‖₂, which is at most the largest absolute row sum of (WWᵀ)². For
    orthonormal rows the bound is 1, the norm itself.

    Args:
        weight: Any matrices; cheapest with `out` ≤ `in`.

    Returns:
        The bound, exact up to rounding in the dtype of `weight`; above 0 also for zero matrices.
    """
    # The bound is homogeneous, so a constant factor keeps the fourth power inside the dtype's range
    # and changes neither value nor gradient. With a largest entry of 1, the row sum is at least 1.
    tiny = torch.finfo(weight.dtype).tiny
    largest = weight.detach().abs().amax(dim=(-2, -1), keepdim=True).clamp_min(tiny)
    w = weight / largest
    gram = w @ w.mT
    fourth = (gram @ gram).abs().sum(dim=-1, keepdim=True).amax(dim=-2, keepdim=True)
    return largest * fourth.clamp_min(1).sqrt().sqrt()
