"""Wasserstein-1 distances: the dual value, exact references, confidence widths."""

import math

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist
from torch import Tensor

from lnets.functional.memory import free_memory

# Relative gap between primal and dual beyond which the linear program has not been solved.
_MAX_DUALITY_GAP = 1e-6
_MAX_ITERATIONS = 100_000_000
# Of the linear program, per pair of points: the costs, and what the solver keeps (measured: 41).
_BYTES_PER_PAIR = 48


def dual_value(
    critic1: Float[Tensor, "n *one"], critic2: Float[Tensor, "m *one"]
) -> Float[Tensor, ""]:
    """Kantorovich-Rubinstein dual value of a critic: its mean on one sample minus the other.

    Args:
        critic1: Critic's output on samples of the first distribution.
        critic2: Critic's output on samples of the second.

    Returns:
        In output units. Divided by the critic's Lipschitz constant it is at most the Wasserstein-1
        distance of the two samples, in input units.

    Source:
        Villani (2009), Optimal Transport, theorem 5.10.
    """
    return critic1.mean() - critic2.mean()


def check_memory(num_points1: int, num_points2: int) -> None:
    """Refuse a linear program that does not fit into memory, before anything is allocated.

    Args:
        num_points1: Points of the first sample.
        num_points2: Points of the second.

    Raises:
        MemoryError: If it does not fit; says how many points would.
    """
    needed, free = num_points1 * num_points2 * _BYTES_PER_PAIR, free_memory()
    if needed > free:
        raise MemoryError(
            f"The exact distance of {num_points1:,} and {num_points2:,} points takes "
            f"{needed / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are free: at most "
            f"{math.isqrt(free // _BYTES_PER_PAIR):,} of each can be compared here; ask for fewer"
        )


def exact_wasserstein(x: Float[Tensor, "n *shape"], y: Float[Tensor, "m *shape"]) -> float:
    """Exact Wasserstein-1 distance of two finite samples, by the network simplex.

    Args:
        x: Samples of equal weight; seconds at n = m = 2,000, minutes at 10,000.
        y: Samples of equal weight and of the same shape.

    Returns:
        In input units, Euclidean ground distance. It is the primal value, which rounding aside is
        never below the optimum.

    Raises:
        MemoryError: If there are more points than memory has room for.
        ArithmeticError: If the solver's own dual solution does not confirm its optimum.

    Source:
        Bonneel et al. (2011), doi:10.1145/2070781.2024192, as implemented by POT.
    """
    check_memory(len(x), len(y))
    import ot  # half a second, and only needed once per trial

    cost = cdist(*(s.detach().cpu().double().flatten(1).numpy() for s in (x, y)))
    masses = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    distance, log = ot.emd2(*masses, cost, numItermax=_MAX_ITERATIONS, log=True)
    # Shifted so that the first is feasible for any second, the duals prove a lower bound.
    second = np.asarray(log["v"])
    first = (cost - second).min(axis=1)
    confirmed = float(masses[0] @ first + masses[1] @ second)
    if not float(distance) - confirmed <= _MAX_DUALITY_GAP * max(float(distance), 1e-300):
        raise ArithmeticError(
            f"Primal and dual value of the linear program must agree, got {distance} and "
            f"{confirmed}."
        )
    return float(distance)


def confidence_width(
    critic1: Float[Tensor, " n"],
    critic2: Float[Tensor, " m"],
    *,
    ranges: tuple[float, float],
    deviations: tuple[float, float],
    delta: float,
) -> float:
    """How far the dual value of two samples may lie above that of the two distributions.

    The smaller of the sub-Gaussian and the empirical Bernstein width, each at δ/2 so that both hold
    together. The samples must be independent of the critic and of each other.

    Args:
        critic1: Critic's output on n ≥ 2 samples of the first distribution.
        critic2: Critic's output on m ≥ 2 samples of the second.
        ranges: Largest minus smallest value that the critic can take on either distribution, in
            output units; may be infinite.
        deviations: Sub-Gaussian parameter σ of the critic's output on either distribution, in
            output units: E exp(s(f − E f)) ≤ exp(s²σ²/2) for every s. Half of the range is always
            one (Hoeffding); infinite where none is known.
        delta: Probability with which the width may fail.

    Returns:
        In output units; infinite where neither a range nor a deviation is known.

    Source:
        Hoeffding (1963), theorem 2; Boucheron, Lugosi and Massart (2013), Concentration
        Inequalities, section 2.3; Maurer and Pontil (2009), arXiv:0907.3740, theorem 4.
    """
    samples = (critic1, critic2)
    sub_gaussian = math.sqrt(
        math.log(2 / delta)
        * 2
        * sum(sigma**2 / len(f) for f, sigma in zip(samples, deviations, strict=True))
    )
    # δ/2 shared by the two one-sided bounds, each of which costs another factor 2 in its logarithm.
    log_term = math.log(8 / delta)
    bernstein = sum(
        math.sqrt(2 * float(f.var()) * log_term / len(f))
        + 7 * width * log_term / (3 * (len(f) - 1))
        for f, width in zip(samples, ranges, strict=True)
    )
    return min(sub_gaussian, bernstein)
