from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lnets.functional.operator_norm import (
    gamma,
    linf_norm_upper_bound,
    product_upper_bound,
    spectral_norm_upper_bound,
)

Bound = Callable[[Tensor], Tensor]


@given(
    shape=st.sampled_from([(1, 1), (3, 3), (2, 7), (7, 2)]),
    exponent=st.integers(-8, 8),
    seed=st.integers(0, 1000),
)
def test_it_bounds_the_norm_of_known_matrices(
    shape: tuple[int, int], exponent: int, seed: int
) -> None:
    """Rank one: the norm ‖u‖·‖v‖ is known exactly, as a ratio of integers."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randint(-50, 50, (shape[0],), generator=generator, dtype=torch.float64)
    v = torch.randint(-50, 50, (shape[1],), generator=generator, dtype=torch.float64)
    scale = 2.0**exponent
    bound = Fraction(float(spectral_norm_upper_bound(torch.outer(u, v) * scale)))
    squared = Fraction(int(u @ u)) * Fraction(int(v @ v)) * Fraction(scale) ** 2
    assert bound**2 >= squared
    assert bound**2 <= squared * Fraction(1 + 1e-9) or squared == 0


@given(
    triple=st.sampled_from([(3, 4, 5), (5, 12, 13), (20, 21, 29)]),
    off=st.integers(-4, 4),
    columns=st.sampled_from([2, 3, 40]),
)
def test_it_bounds_what_is_orthonormal_but_for_roundings(
    triple: tuple[int, int, int], off: int, columns: int
) -> None:
    """A row is as long as its norm, whose square is a ratio of integers."""
    a, b, c = triple
    row = torch.zeros(1, columns, dtype=torch.float64)
    row[0, 0], row[0, 1] = a / c, b / c + off * 2.0**-53
    squared = sum((Fraction(float(x)) ** 2 for x in row[0]), Fraction(0))
    for weight in (row, row.mT):
        bound = Fraction(float(spectral_norm_upper_bound(weight)))
        assert squared <= bound**2 <= squared * Fraction(1 + 1e-13)


def test_float32_weights_are_taken_as_they_are() -> None:
    weight = torch.randn(20, 30)
    assert spectral_norm_upper_bound(weight) == spectral_norm_upper_bound(weight.double())


@pytest.mark.parametrize("bound", [spectral_norm_upper_bound, linf_norm_upper_bound])
class TestEitherBound:
    def test_it_is_that_of_each_matrix_of_a_stack(self, bound: Bound) -> None:
        stack = torch.randn(2, 3, 4, 5)
        expected = torch.stack([bound(one) for one in stack.flatten(0, 1)]).view(2, 3)
        assert torch.equal(bound(stack), expected)

    def test_a_weight_that_is_not_finite_or_empty_has_none(self, bound: Bound) -> None:
        for bad in (float("nan"), float("inf")):
            with pytest.raises(ValueError, match="finite"):
                bound(torch.tensor([[1.0, bad]]))
        for shape in ((0, 3), (3, 0)):
            with pytest.raises(ValueError, match=r"must have entries.*got \("):
                bound(torch.zeros(shape))


@given(st.lists(st.floats(0, 1e3), max_size=20))
def test_a_product_is_rounded_up(factors: list[float]) -> None:
    exact = Fraction(1)
    for factor in factors:
        exact *= Fraction(factor)
    assert Fraction(product_upper_bound(factors)) >= exact


def test_gamma_is_highams() -> None:
    assert gamma(1) == 2.0**-53 / (1 - 2.0**-53)
