"""Sizes of perturbations, as people write them."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from lnets.specs.spec import Broken, Matching, show

Norm = Literal["l2", "linf"]
Radius = Annotated[float, Field(gt=0, le=1e6)]
Fraction = Annotated[
    str,
    Matching(
        "[1-9][0-9]{0,5}/[1-9][0-9]{0,5}",
        "must be a number without quotes, or a fraction of whole numbers above 0 of up to six "
        "digits, such as 36/255",
    ),
]
Epsilon = Annotated[
    Annotated[Radius, Tag("number")] | Annotated[Fraction, Tag("fraction")],
    Discriminator(lambda value: "fraction" if isinstance(value, str) else "number"),
]


def epsilon_value(epsilon: float | str) -> float:
    """The number that an epsilon stands for."""
    if isinstance(epsilon, str):
        numerator, denominator = epsilon.split("/")
        return int(numerator) / int(denominator)
    return epsilon


def named_epsilons(epsilons: Sequence[float | str]) -> dict[str, float]:
    """Epsilons by the names that metrics have for them."""
    return {str(epsilon): epsilon_value(epsilon) for epsilon in epsilons}


def not_rising(epsilons: Sequence[float | str]) -> Iterator[Broken]:
    """Where epsilons do not rise, or two are the same."""
    values = [epsilon_value(epsilon) for epsilon in epsilons]
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        message = f"must rise, got {show(epsilons)}; sort them and leave out doubles"
        yield ("epsilons",), message


def too_large_ones(
    epsilons: Sequence[float | str], norm: Norm, numbers: int | None
) -> Iterator[Broken]:
    """Where `too_large` finds something."""
    for i, epsilon in enumerate(epsilons):
        wrong = too_large(epsilon, norm, numbers)
        if wrong is not None:
            yield ("epsilons", i), wrong


def too_large(epsilon: float | str, norm: Norm, numbers: int | None = None) -> str | None:
    """What is wrong with the size of a perturbation of pixels in [0, 1]; None if nothing is.

    Args:
        epsilon: The size.
        norm: In which it is.
        numbers: Of an image; None where they are not known.
    """
    if norm == "linf" and epsilon_value(epsilon) > 1:
        return (
            f"must be at most 1 in linf, because pixels are in [0, 1], got {epsilon}; choose a "
            "smaller value"
        )
    if norm == "l2" and numbers is not None and epsilon_value(epsilon) > math.sqrt(numbers):
        return (
            f"must be at most {math.sqrt(numbers):.4g} in l2, which is from black to white in "
            f"images of {numbers:,} numbers, got {epsilon}; a fraction is written as 36/255"
        )
    return None
