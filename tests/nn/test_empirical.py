"""What a search for steep places finds: known constants, and never more."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lnets.nn import BjorckLinear, GroupSort, certify, empirical_lipschitz
from lnets.nn.certificate import Norm

# Relative, for the rounding of float64 norms.
FLOAT64 = 1e-12
NORMS: list[Norm] = ["l2", "linf"]


def linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    layer.weight.data = weight.double()
    return layer


def bent(d: int) -> nn.Module:
    """Slope 1 along the first axis, 6 beyond 1."""
    first, second = nn.Linear(d, 2), nn.Linear(2, 1)
    with torch.no_grad():
        first.weight.zero_()[:, 0] = 1
        first.bias.copy_(torch.tensor([100.0, -1.0]))
        second.weight.copy_(torch.tensor([[1.0, 5.0]]))
    return nn.Sequential(first, nn.ReLU(), second)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_slopes_that_are_no_numbers(outputs: int, norm: Norm) -> None:
    weight = torch.full((outputs, outputs), 1e200, dtype=torch.float64)
    weight[1:] *= -1  # where there are several, the product is no infinity either
    steep = [linear(weight), linear(weight)]
    assert math.isnan(empirical_lipschitz(nn.Sequential(*steep), torch.ones(4, outputs), norm=norm))


@given(
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 6),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    norm=st.sampled_from(NORMS),
    steps=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50)
def test_the_constant_of_a_linear_map_is_found_and_never_exceeded(
    inputs: int, outputs: int, scale: float, norm: Norm, steps: int, seed: int
) -> None:
    torch.manual_seed(seed)
    weight = scale * torch.randn(outputs, inputs, dtype=torch.float64)
    order = 2 if norm == "l2" else float("inf")
    constant = torch.linalg.matrix_norm(weight, ord=order).item()
    found = empirical_lipschitz(linear(weight), torch.randn(3, inputs), norm=norm, steps=steps)
    assert found == pytest.approx(constant, rel=FLOAT64)
    assert found <= certify(linear(weight).eval(), norm=norm).lipschitz_upper_bound


@pytest.mark.parametrize("norm", NORMS)
def test_a_diagonal_map_is_as_steep_as_its_largest_entry(norm: Norm) -> None:
    model = linear(torch.diag(torch.tensor([0.5, -7.0, 2.0])))
    found = empirical_lipschitz(model, torch.randn(5, 3), norm=norm, chunk=2)
    assert found == pytest.approx(7, rel=FLOAT64)


@pytest.mark.parametrize("norm", NORMS)
def test_a_steep_piece_is_found_from_a_flat_one(norm: Norm) -> None:
    """Where the norm of the Jacobian has no gradient that could lead there."""
    torch.manual_seed(0)
    starts = torch.randn(10, 20) / 20
    found = empirical_lipschitz(bent(20), starts, norm=norm, steps=20)
    assert found == pytest.approx(6, rel=FLOAT64)


def test_a_smooth_summit_is_climbed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(linear(3 * torch.eye(4)), nn.Tanh())
    found = empirical_lipschitz(model, torch.full((10, 4), 0.6))
    assert 2.97 < found <= 3 * (1 + FLOAT64)


@pytest.mark.parametrize("norm", NORMS)
def test_the_search_meets_the_weights_that_the_certificate_speaks_of(norm: Norm) -> None:
    """Float32 weights made orthonormal once more in float64 would be others."""
    torch.manual_seed(0)
    model = nn.Sequential(BjorckLinear(9, 6), GroupSort(2), BjorckLinear(6, 6)).train()
    before = copy.deepcopy(model.state_dict())
    found = empirical_lipschitz(model, torch.randn(20, 9), norm=norm, steps=5)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    bound = certify(model.eval(), norm=norm).lipschitz_upper_bound
    assert found <= bound
    if norm == "l2":
        assert bound <= found * 1.001
