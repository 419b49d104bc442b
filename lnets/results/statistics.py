"""Statistics of a comparison: intervals of means, and tests of differences."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lnets.results.student import student

Test = Literal["wilcoxon", "permutation"]
Floats: TypeAlias = NDArray[np.float64]

SIGNIFICANT = 0.05
"""A difference whose p value is below it counts as one."""

BOOTSTRAP_FROM = 10
"""Values from which on intervals are the bootstrap's."""

_RESAMPLES = 4999
# All flips of signs, or splits into two groups, are tried where there are no more; else a sample.
_EXACT = 1 << 14
_SAMPLED = 9999
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """The mean of a metric over seeds, with its 95% confidence interval."""

    mean: float
    low: float | None
    """None where one seed gives no interval."""
    high: float | None
    n: int
    """Seeds."""


@dataclass(frozen=True)
class Comparison:
    """Whether two metrics of some seeds each differ."""

    p_value: float
    """Two-sided."""
    least_p_value: float
    """Below which no numbers could bring it with so few seeds."""
    paired: bool
    """Whether by seed; where too few seeds are in both, all values are compared with all."""
    n: int
    """Pairs, or values of the smaller side."""


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Mean and confidence interval: Student's t, of 10 values or more the bootstrap's.

    The bootstrap is that of |t|, symmetric around the mean, with resamples that are the same in
    every run. Where resamples without any spread decide it, Student's t stays.

    Args:
        values: One per seed, at least one, all finite.
        confidence: Coverage of the interval for normal data.

    Raises:
        ValueError: If there are no values.

    Source:
        Student (1908), doi:10.1093/biomet/6.1.1; Hall (1988), doi:10.1214/aos/1176350933.
    """
    if not values:
        raise ValueError("A mean needs at least one value, got none.")
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, None, None, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    quantile = student(n - 1, confidence)
    if n >= BOOTSTRAP_FROM and deviation > 0:
        quantile = _bootstrapped(np.asarray(values) - mean, confidence) or quantile
    half = quantile * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def difference(a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
    """Mean of a − b with its 95% interval: of paired differences, or Welch's.

    Args:
        a: A value per seed.
        b: A value per seed.

    Source:
        Welch (1947), doi:10.1093/biomet/34.1-2.28.
    """
    shared = shared_seeds(a, b)
    if shared:
        return mean_interval([a[seed] - b[seed] for seed in shared])
    n = min(len(a), len(b))
    x, y = np.array(list(a.values())), np.array(list(b.values()))
    mean = float(x.mean() - y.mean())
    if n < 2:
        return Interval(mean, None, None, n)
    if not (x.var() or y.var()):
        return Interval(mean, mean, mean, n)
    from scipy import stats  # takes half a second, which most tables can do without

    low, high = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    return Interval(mean, float(low), float(high), n)


def shared_seeds(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[int, ...]:
    """Seeds by which two sides are paired: those of both, if they are half of either's at least."""
    shared = tuple(seed for seed in a if seed in b)
    return shared if 2 * len(shared) >= max(len(a), len(b)) else ()


def compare_with(
    reference: Mapping[int, float], others: Sequence[Mapping[int, float]], test: Test
) -> list[Comparison | None]:
    """Test each of some metrics against one, two-sided.

    Paired by seed: Wilcoxon's signed-rank test, or the permutation of signs. Not paired: Wilcoxon's
    rank-sum test, or the permutation of groups. All are exact for few seeds, ties or not; of many
    seeds the rank tests are scipy's, and permutations are sampled.

    Args:
        reference: A value per seed.
        others: Each a value per seed.
        test: Of ranks or of the values themselves.

    Returns:
        None where there are too few seeds for any test.

    Source:
        Wilcoxon (1945), doi:10.2307/3001968; Fisher (1935), The Design of Experiments.
    """
    found: list[Comparison | None] = [None] * len(others)
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, other in enumerate(others):
        shared = shared_seeds(reference, other)
        if shared:
            alike.setdefault(shared, []).append(i)
        else:
            found[i] = _unpaired(list(reference.values()), list(other.values()), test)
    for seeds, indices in alike.items():
        base = [reference[seed] for seed in seeds]
        rows = np.array([[others[i][seed] for seed in seeds] for i in indices]) - base
        n = len(seeds)
        if n > 1:
            least = _least(2.0 ** (n - 1), test)
            for i, p in zip(indices, signed_p(rows, test), strict=True):
                found[i] = Comparison(float(p), least, True, n)
    return found


def signed_p(differences: Floats, test: Test) -> Floats:
    """Two-sided p values of paired differences: how rarely random signs are as one-sided.

    Args:
        differences: (comparisons, pairs).
        test: Of ranks or of the differences themselves.
    """
    n = differences.shape[1]
    if 2 ** (n - 1) > _EXACT and test == "wilcoxon":
        return _scipy_signed_ranks(differences)
    weights = _signed_ranks(differences) if test == "wilcoxon" else differences
    observed = np.abs(weights.sum(axis=1))
    sampled = 2 ** (n - 1) > _EXACT
    signs = _sampled_signs(n) if sampled else _all_signs(n)
    slack = 1e-12 * np.abs(weights).sum(axis=1)
    counts = [
        (np.abs(weights[i : i + step] @ signs.T) >= (observed - slack)[i : i + step, None]).sum(1)
        for step in [max(1, _CHUNK // len(signs))]
        for i in range(0, len(weights), step)
    ]
    return (np.concatenate(counts) + sampled) / (len(signs) + sampled)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted so that all rejections hold together.

    Source:
        Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for done, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - done) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def seeds_needed(comparisons: int) -> int:
    """Pairs with which the first of so many comparisons could be significant after Holm."""
    return math.floor(1 + math.log2(comparisons / SIGNIFICANT)) + 1


def _bootstrapped(centred: Floats, confidence: float) -> float | None:
    """The quantile of |t| over resamples; None if it is not finite."""
    shares = _resamples(len(centred))
    means = shares @ centred
    variances = np.maximum(shares @ centred**2 - means**2, 0) / (len(centred) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(means) / np.sqrt(variances)
    t[np.isnan(t)] = 0
    quantile = float(np.quantile(t, confidence, method="higher"))
    return quantile if quantile < 1e6 else None


@functools.lru_cache(maxsize=4)
def _resamples(n: int) -> Floats:
    """(resamples, n): of each value, which share of a resample it is."""
    many = max(999, min(_RESAMPLES, _CHUNK // n))
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=many) / n


def _signed_ranks(differences: Floats) -> Floats:
    sizes = np.abs(differences)
    largest = sizes.max(axis=1, keepdims=True)
    # Equal but for rounding counts as a tie.
    sizes = np.round(sizes / np.where(largest > 0, largest, 1), 12)
    zeros = (sizes == 0).sum(axis=1, keepdims=True)
    ranks = _ranks(sizes) - zeros
    return np.where(sizes == 0, 0.0, np.sign(differences) * ranks)


def _ranks(values: Floats) -> Floats:
    """From 1 along the last axis, equal values with their mean rank."""
    rows, columns = values[..., :, None], values[..., None, :]
    return (rows > columns).sum(-1) + ((rows == columns).sum(-1) + 1) / 2


def _scipy_signed_ranks(differences: Floats) -> Floats:
    from scipy import stats

    some = differences.any(axis=1)
    p_values = np.ones(len(differences))
    if some.any():
        p_values[some] = stats.wilcoxon(differences[some], axis=1).pvalue
    return p_values


@functools.cache
def _all_signs(n: int) -> Floats:
    """(2^(n − 1), n): every choice of signs whose first is +, because the test is two-sided."""
    rows = [(1.0, *signs) for signs in itertools.product((1.0, -1.0), repeat=n - 1)]
    return np.array(rows)


@functools.lru_cache(maxsize=4)
def _sampled_signs(n: int) -> Floats:
    return np.random.default_rng(n).choice([-1.0, 1.0], size=(_SAMPLED, n))


def _unpaired(a: Sequence[float], b: Sequence[float], test: Test) -> Comparison | None:
    n = min(len(a), len(b))
    splits = math.comb(len(a) + len(b), n)
    if splits < 3:
        return None
    values = np.array([*b, *a] if len(b) == n else [*a, *b])
    least = _least(splits / 2, test)
    if splits > _EXACT and test == "wilcoxon":
        from scipy import stats

        return Comparison(float(stats.mannwhitneyu(a, b).pvalue), least, False, n)
    weights = _ranks(values) if test == "wilcoxon" else values
    if splits <= _EXACT:
        chosen = np.array(list(itertools.combinations(range(len(values)), n)))
        added = 0
    else:
        shuffled = np.random.default_rng(n).random((_SAMPLED, len(values)))
        chosen, added = shuffled.argsort(axis=1)[:, :n], 1
    sums, observed = weights[chosen].sum(axis=1), weights[:n].sum()
    slack = 1e-12 * np.abs(weights).sum()
    tails = [(sums >= observed - slack).sum(), (sums <= observed + slack).sum()]
    p = 2 * (min(tails) + added) / (len(sums) + added)
    return Comparison(min(1.0, float(p)), least, False, n)


def _least(choices: float, test: Test) -> float:
    """The smallest p value of so many equally likely choices."""
    sampled = choices > _EXACT and test == "permutation"
    return 1 / (_SAMPLED + 1) if sampled else 1 / choices
