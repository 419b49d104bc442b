"""Distances between two sets of feature vectors, by which samples of generators are judged."""

import torch
from jaxtyping import Float
from torch import Tensor

# Of a matrix of kernels that are computed at once.
_ROWS = 1024


def kernel_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Squared maximum mean discrepancy of two samples, unbiased, for the kernel (x·y/d + 1)³.

    Args:
        x: At least two vectors.
        y: At least two others.

    Returns:
        0 on average where both are from one distribution, then also below 0; without a unit.

    Source:
        Bińkowski et al. (2018), arXiv:1801.01401, section 4.
    """
    within = sum(_sum_of_others(sample) / (len(sample) * (len(sample) - 1)) for sample in (x, y))
    return within - 2 * _kernel_sum(x, y) / (len(x) * len(y))


def frechet_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Squared Wasserstein-2 distance of normal distributions with two samples' moments.

    Biased: fewer samples give larger values, so compare such of equal sizes only.

    Args:
        x: At least two vectors.
        y: At least two others.

    Returns:
        In squared units of the vectors; 0 where both have the same mean and covariance.

    Source:
        Dowson and Landau (1982), doi:10.1016/0047-259X(82)90077-X; Heusel et al. (2017),
        arXiv:1706.08500.
    """
    first, second = (torch.cov(sample.mT).view(x.shape[1], x.shape[1]) for sample in (x, y))
    root = _root(first)
    # The trace of (C₁C₂)^½ is that of (C₁^½ C₂ C₁^½)^½, whose argument is symmetric.
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    shift = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    return (shift + first.trace() + second.trace() - 2 * cross).clamp_min(0)


def _sum_of_others(x: Tensor) -> Tensor:
    """Kernel of each vector with every other one."""
    own = (x.square().sum(dim=1) / x.shape[1] + 1) ** 3
    return _kernel_sum(x, x) - own.sum()


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    parts = [((part @ y.mT / x.shape[1] + 1) ** 3).sum() for part in x.split(_ROWS)]
    return torch.stack(parts).sum()


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.mT
