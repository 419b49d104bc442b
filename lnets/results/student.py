"""Student's t. Scipy has it too, but its import takes longer than all of a table's statistics."""

import functools
import math


@functools.cache
def student(freedom: int, confidence: float) -> float:
    """What |t| exceeds with a probability of 1 − confidence.

    Args:
        freedom: Degrees of freedom, at least 1.
        confidence: Between 0 and 1.
    """
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _probability(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _probability(angle: float, freedom: int) -> float:
    """That |t| is less than √freedom · tan(angle).

    Source:
        Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    inside = math.sin(angle) * total
    return (angle + inside) * 2 / math.pi if odd else inside
