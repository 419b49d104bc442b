"""Against what a classifier is certified."""

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from lnets.specs.epsilons import Epsilon, Norm, not_rising, too_large_ones
from lnets.specs.spec import Broken, Spec, rule_broken


class CertificateSpec(Spec):
    """Which perturbations a classifier is certified against."""

    norm: Norm = "l2"
    """Of perturbations."""
    epsilons: tuple[Epsilon, ...] = Field(
        ("36/255", "72/255", "108/255", 0.5, 1.0, 1.58), min_length=1, max_length=64
    )
    """Their sizes, in pixels of [0, 1]: numbers, or fractions such as 36/255."""

    def misfits(self, numbers: int) -> Iterator[Broken]:
        """What is wrong with it for images of so many numbers."""
        # A sweep may certify in both norms at the same ones, of which L-infinity certifies some.
        if self.norm == "l2":
            yield from too_large_ones(self.epsilons, self.norm, numbers)

    @model_validator(mode="after")
    def _epsilons_rise(self) -> Self:
        problems = list(not_rising(self.epsilons))
        if problems:
            raise rule_broken(*problems)
        return self
