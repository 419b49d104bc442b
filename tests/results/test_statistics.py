import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lnets.results.statistics import (
    Interval,
    Test,
    compare_with,
    difference,
    holm,
    mean_interval,
    seeds_needed,
    shared_seeds,
    signed_p,
)
from lnets.results.student import student

# Of a proportion of that many simulated intervals, around 0.95.
SIMULATED = 4000
COVERAGE = (0.93, 0.97)
# Two p values that are both from 9,999 random permutations differ by less, ten times their error.
SAMPLING = 0.05


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_the_interval_is_scipys(values: list[float]) -> None:
    interval = mean_interval(values)
    mean, error = stats.tmean(values), stats.sem(values)
    assert interval.n == len(values)
    if error > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, mean, error)
        assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 9, 30, 999, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_students_t_is_scipys(freedom: int, confidence: float) -> None:
    expected = stats.t.ppf((1 + confidence) / 2, freedom)
    assert student(freedom, confidence) == pytest.approx(expected, rel=1e-12)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_interval([2.0]) == Interval(2.0, None, None, 1)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


@pytest.mark.parametrize("n", [5, 10, 20])
def test_intervals_cover_the_mean_of_normal_data(n: int) -> None:
    values = np.random.default_rng(n).normal(3.0, 2.0, (SIMULATED, n))
    intervals = [mean_interval(list(map(float, row))) for row in values]
    covered = sum(i.low <= 3.0 <= i.high for i in intervals if i.low is not None)
    assert COVERAGE[0] <= covered / SIMULATED <= COVERAGE[1]


def test_many_values_have_the_bootstraps_interval() -> None:
    """The same bootstrap by scipy: the quantile of |t| over its own resamples."""
    values = np.random.default_rng(0).exponential(size=30)

    def t(sample: np.ndarray, axis: int) -> np.ndarray:
        return (sample.mean(axis) - values.mean()) / stats.sem(sample, axis=axis)

    found = stats.bootstrap((values,), t, n_resamples=20_000, rng=1, method="percentile")
    expected = np.quantile(np.abs(found.bootstrap_distribution), 0.95)
    interval = mean_interval(list(values))
    assert interval.low is not None
    assert interval.high is not None
    half = (interval.high - interval.low) / 2
    assert half / stats.sem(values) == pytest.approx(expected, rel=0.03)
    assert mean_interval(list(values)) == interval


def test_a_bootstrap_without_spread_falls_back_to_student() -> None:
    values = [1.0] * 9 + [0.5]
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, 9, np.mean(values), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert mean_interval([2.0] * 12) == Interval(2.0, 2.0, 2.0, 12)


@pytest.mark.parametrize("n", [5, 9, 14, 20, 60])
def test_signed_ranks_are_scipys(n: int) -> None:
    rows = np.random.default_rng(n).normal(0.3, 1.0, (20, n))
    expected = stats.wilcoxon(rows, axis=1).pvalue
    assert signed_p(rows, "wilcoxon") == pytest.approx(expected, abs=1e-12)


def test_signed_ranks_with_ties_and_zeros_are_exact() -> None:
    rows = np.array([[0, 1, 1, 2, -1, 3, 0, 2], [0, 0, 0, 0, 0, 0, 0, 1.0]])
    exact = [
        stats.wilcoxon(row, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue
        for row in rows
    ]
    assert signed_p(rows, "wilcoxon") == pytest.approx(exact)
    assert signed_p(np.zeros((1, 30)), "wilcoxon") == [1.0]
    nearly = 0.1 * np.array([[1, -1, 1, 1, 1, 1, 1]]) + 1e-17
    assert signed_p(nearly, "wilcoxon") == pytest.approx(2 * 8 / 128)


@pytest.mark.parametrize("n", [2, 5, 10, 20])
def test_permutations_of_signs_are_scipys(n: int) -> None:
    rows = np.random.default_rng(n).normal(0.3, 1.0, (5, n))
    for row, p in zip(rows, signed_p(rows, "permutation"), strict=True):
        found = stats.permutation_test(
            (row,), np.mean, permutation_type="samples", n_resamples=9999, rng=0
        )
        sampled = 0.0 if n < 15 else SAMPLING
        assert p == pytest.approx(found.pvalue, abs=1e-12 + sampled)


@pytest.mark.parametrize("sizes", [(3, 4), (5, 7), (12, 15)])
def test_other_seeds_are_compared_as_scipy_compares_groups(sizes: tuple[int, int]) -> None:
    chance = np.random.default_rng(sizes[0])
    a = dict(enumerate(chance.normal(0, 1, sizes[0])))
    b = {100 + i: value for i, value in enumerate(chance.normal(1, 1, sizes[1]))}
    x, y = list(a.values()), list(b.values())
    [ranks] = compare_with(a, [b], "wilcoxon")
    [values] = compare_with(a, [b], "permutation")
    assert ranks is not None
    assert values is not None
    assert not ranks.paired
    assert ranks.p_value == pytest.approx(stats.mannwhitneyu(x, y).pvalue)

    def shift(p: np.ndarray, q: np.ndarray, axis: int) -> np.ndarray:
        return p.mean(axis) - q.mean(axis)

    found = stats.permutation_test((x, y), shift, n_resamples=9999, rng=0, vectorized=True)
    sampled = 0.0 if sum(sizes) < 15 else SAMPLING
    assert values.p_value == pytest.approx(found.pvalue, abs=1e-12 + sampled)
    welch = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    shown = difference(a, b)
    assert (shown.low, shown.high) == pytest.approx((welch.low, welch.high))


@pytest.mark.parametrize("test", ["wilcoxon", "permutation"])
@pytest.mark.parametrize("n", [2, 5, 8])
def test_the_smallest_p_value_is_that_of_differences_of_one_sign(n: int, test: Test) -> None:
    a = {seed: 10.0 + seed for seed in range(n)}
    b = {seed: 0.1 * seed**2 for seed in range(n)}
    [comparison] = compare_with(a, [b], test)
    assert comparison is not None
    assert comparison.paired
    assert comparison.p_value == comparison.least_p_value == pytest.approx(2 / 2**n)


def test_seeds_of_both_are_paired_if_they_are_many() -> None:
    a = dict.fromkeys(range(5), 1.0)
    assert shared_seeds(a, dict.fromkeys(range(1, 5), 0.0)) == (1, 2, 3, 4)
    assert shared_seeds(a, dict.fromkeys(range(4, 9), 0.0)) == ()
    shifted = {seed: float(seed) for seed in range(1, 5)}
    assert difference(a, shifted).mean == pytest.approx(1.0 - 2.5)
    assert difference(a, shifted).n == 4


def test_one_seed_is_not_tested() -> None:
    assert compare_with({0: 1.0}, [{0: 2.0}, {1: 2.0}], "wilcoxon") == [None, None]
    assert difference({0: 1.0}, {1: 3.0}) == Interval(-2.0, None, None, 1)
    assert difference({0: 1.0, 1: 1.0}, {2: 3.0, 3: 3.0}) == Interval(-2.0, -2.0, -2.0, 2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_step_by_step(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    rejected: set[int] = set()
    for done, i in enumerate(order):
        if (len(p_values) - done) * p_values[i] >= 0.05:
            break
        rejected.add(int(i))
    assert {i for i, p in enumerate(adjusted) if p < 0.05} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))


@pytest.mark.parametrize("comparisons", [1, 2, 7, 100])
def test_so_many_seeds_are_needed(comparisons: int) -> None:
    needed = seeds_needed(comparisons)
    assert comparisons * 2 / 2**needed < 0.05 <= comparisons * 2 / 2 ** (needed - 1)


def test_many_seeds_cost_seconds_at_most() -> None:
    assert math.isfinite(mean_interval(list(np.random.default_rng(0).normal(size=3000))).mean)
