"""Statistics of a comparison."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """The mean of a metric over seeds, with its 95% confidence interval."""

    mean: float
    low: float | None
    """None where one seed gives no interval."""
    high: float | None
    n: int
    """Seeds."""


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Mean and Student's t interval.

    Args:
        values: One per seed, at least one.
        confidence: Coverage of the interval for normal data.

    Raises:
        ValueError: If there are no values.

    Source:
        Student (1908), doi:10.1093/biomet/6.1.1.
    """
    if not values:
        raise ValueError("A mean needs at least one value, got none.")
    mean = float(np.mean(values))
    n = len(values)
    if n == 1:
        return Interval(mean, None, None, 1)
    standard_error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half = standard_error * float(stats.t.ppf((1 + confidence) / 2, df=n - 1))
    return Interval(mean, mean - half, mean + half, n)
