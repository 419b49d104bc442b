"""Upper bounds on operator norms, proven in float64 with slack for rounding."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.tracing import is_tracing

_UNIT_ROUNDOFF = 2.0**-53
# Squares of singular values this close to 1 need no decomposition.
_ORTHONORMAL = 1e-9


def gamma(operations: int) -> float:
    """Relative error bound of a sum or product of that many float64 operations.

    Source:
        Higham (2002), Accuracy and Stability of Numerical Algorithms, lemma 3.1.
    """
    return operations * _UNIT_ROUNDOFF / (1 - operations * _UNIT_ROUNDOFF)


def spectral_norm_upper_bound(weight: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch"]:
    """A number that the largest singular value of a matrix does not exceed, of each matrix.

    The float64 singular value plus 2·n·γₙ·‖W‖_F, n the larger side: once for the backward error of
    LAPACK's singular value decomposition, once for the roundings of this formula itself. Where the
    smaller Gram matrix G is the identity up to 1e-9, 1 + d instead, with d = ‖G − I‖_F + γₙ·‖W‖_F²,
    the error of the entries of G: a product is cheaper, and its roundings are fewer.

    Args:
        weight: The matrices as they are used; float32 entries are exact in float64.

    Returns:
        In float64, on their device, without gradient.

    Raises:
        ValueError: As `boundable` does.

    Source:
        Higham (2002), Accuracy and Stability of Numerical Algorithms, chapter 19.
    """
    matrices = boundable(weight)
    n = max(matrices.shape[-2:])
    frobenius = torch.linalg.matrix_norm(matrices)
    if not is_tracing():
        defect = _gram_defect(matrices) + gamma(n) * frobenius.square()
        if (defect <= _ORTHONORMAL).all():
            # √(1 + d) ≤ 1 + d/2; the other half is for the roundings of d and of this sum.
            return (1 + defect).to(weight.device)
    bounds = torch.linalg.matrix_norm(matrices, ord=2) + 2 * n * gamma(n) * frobenius
    return bounds.to(weight.device)


def _gram_defect(matrices: Tensor) -> Tensor:
    """The Frobenius norm of the smaller Gram matrix less the identity, as computed."""
    wide = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mT
    gram = wide @ wide.mT
    gram.diagonal(dim1=-2, dim2=-1).sub_(1)
    return torch.linalg.matrix_norm(gram)


def linf_norm_upper_bound(weight: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch"]:
    """A number that the L∞ → L∞ norm of a matrix, its largest absolute row sum, does not exceed.

    Args:
        weight: The matrices as they are used; float32 entries are exact in float64.

    Returns:
        In float64, on their device, without gradient, of each matrix.

    Raises:
        ValueError: As `boundable` does.
    """
    sums = boundable(weight).abs().sum(dim=-1)
    return (sums.amax(dim=-1) * (1 + gamma(weight.shape[-1] + 2))).to(weight.device)


def boundable(weight: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch out in"]:
    """Matrices in float64 on the CPU, where norms are bounded, without gradient.

    Args:
        weight: The matrices as they are used; float32 entries are exact in float64.

    Raises:
        ValueError: If a matrix has no entry, or one that is not finite. What is traced cannot be
            looked at: there, the bound of such a matrix is NaN or LAPACK's error.
    """
    if 0 in weight.shape[-2:]:
        raise ValueError(f"A weight must have entries to have a bound, got {tuple(weight.shape)}.")
    if not is_tracing() and not weight.isfinite().all():
        raise ValueError("A weight must be finite to have a bound, got NaN or infinite entries.")
    return weight.detach().to(device="cpu", dtype=torch.float64)


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
