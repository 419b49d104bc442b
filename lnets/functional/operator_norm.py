"""Upper bounds on operator norms, proven in float64 with slack for rounding."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_UNIT_ROUNDOFF = 2.0**-53


def gamma(operations: int) -> float:
    """Relative error bound of a sum or product of that many float64 operations.

    Source:
        Higham (2002), Accuracy and Stability of Numerical Algorithms, lemma 3.1.
    """
    return operations * _UNIT_ROUNDOFF / (1 - operations * _UNIT_ROUNDOFF)


def spectral_norm_upper_bound(weight: Float[Tensor, "out in"]) -> float:
    """A number that the largest singular value of a matrix does not exceed.

    The float64 singular value plus 2·n·γₙ·‖W‖_F, n the larger side: once for the backward error of
    LAPACK's singular value decomposition, once for the roundings of this formula itself.

    Args:
        weight: The matrix as it is used; float32 entries are exact in float64.

    Raises:
        ValueError: If an entry is not finite.

    Source:
        Higham (2002), Accuracy and Stability of Numerical Algorithms, chapter 19.
    """
    refuse_not_finite(weight)
    return float(spectral_norm_bounds(weight))


def spectral_norm_bounds(weights: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch"]:
    """`spectral_norm_upper_bound` of many matrices, without gradient.

    A tensor in float64, for use inside `vmap` and `compile`. Of entries that are not finite it is
    NaN or LAPACK's error.

    Args:
        weights: The matrices as they are used.
    """
    matrices = weights.detach().to(device="cpu", dtype=torch.float64)
    n = max(matrices.shape[-2:])
    frobenius = torch.linalg.matrix_norm(matrices)
    bounds = torch.linalg.matrix_norm(matrices, ord=2) + 2 * n * gamma(n) * frobenius
    return bounds.to(weights.device)


def linf_norm_upper_bound(weight: Float[Tensor, "out in"]) -> float:
    """A number that the L∞ → L∞ norm of a matrix, its largest absolute row sum, does not exceed.

    Args:
        weight: The matrix as it is used; float32 entries are exact in float64.

    Raises:
        ValueError: If an entry is not finite.
    """
    refuse_not_finite(weight)
    return float(linf_norm_bounds(weight))


def linf_norm_bounds(weights: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch"]:
    """`linf_norm_upper_bound` of many matrices, without gradient.

    A tensor in float64, for use inside `vmap` and `compile`; NaN or infinite where entries are.

    Args:
        weights: The matrices as they are used.
    """
    sums = weights.detach().double().abs().sum(dim=-1)
    return sums.amax(dim=-1) * (1 + gamma(weights.shape[-1] + 2))


def refuse_not_finite(weight: Float[Tensor, "*shape"]) -> None:
    """Nothing is proven of numbers that are none.

    Args:
        weight: Any tensor.

    Raises:
        ValueError: If an entry is not finite.
    """
    if not weight.isfinite().all():
        raise ValueError("A weight must be finite to have a bound, got NaN or infinite entries.")


def product_upper_bound(factors: list[float]) -> float:
    """The product of upper bounds, rounded up: the bound of a chain of layers.

    Args:
        factors: Bounds of the layers, 0 or larger.
    """
    product = 1.0
    for factor in factors:
        if factor != 1:
            product = math.nextafter(product * factor, math.inf)
    return product
