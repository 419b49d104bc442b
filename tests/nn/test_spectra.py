import pytest
import torch
from torch import nn

from lnets.nn import (
    BCOPConv2d,
    BjorckLinear,
    FullyConnected,
    GroupSort,
    OrthogonalLinear,
    orthonormality_error,
    singular_values,
)

# Of orthonormal weights in float32.
ROUNDING = 1e-5


def test_every_layer_is_there_by_its_name() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.Sequential(nn.ReLU(), BCOPConv2d(4, 6, 3, padding=1)),
        nn.Flatten(),
        BjorckLinear(96, 10),
    ).eval()
    found = singular_values(model)
    assert list(found) == ["0", "1.1", "3"]
    assert [len(values) for values in found.values()] == [64, 4 * 64, 10]
    for values in found.values():
        assert (values[:-1] >= values[1:]).all()
    torch.testing.assert_close(found["1.1"], torch.ones(4 * 64), rtol=0, atol=ROUNDING)
    torch.testing.assert_close(found["3"], torch.ones(10), rtol=0, atol=ROUNDING)


def test_they_are_of_effective_weights() -> None:
    model = FullyConnected(
        3, [8, 1], linear=BjorckLinear, activation=lambda _: GroupSort(2), l_constant=5.0
    ).eval()
    with torch.no_grad():
        model[1].weight.mul_(7)  # type: ignore[union-attr, operator]
    for values in singular_values(model).values():
        torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=ROUNDING)


def test_a_network_of_one_layer_has_a_name_too() -> None:
    assert list(singular_values(nn.Linear(2, 3))) == ["(root)"]
    assert singular_values(nn.Conv2d(4, 4, 3, groups=2)) == {}


def test_orthonormality_error_is_of_layers_that_are_made_orthonormal() -> None:
    free = nn.Linear(4, 4)
    short = BjorckLinear(64, 64, bjorck_iter=1)
    with torch.no_grad():
        free.weight.fill_(9.0)
        short.weight.copy_(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))
    model = nn.Sequential(free, BjorckLinear(4, 64), short, OrthogonalLinear(64, 8)).eval()
    error = orthonormality_error(model)
    values = torch.linalg.svdvals(short.effective_weight().detach())
    assert error == pytest.approx(float((values - 1).abs().max()), abs=1e-6)
    assert error > 0.1
    assert orthonormality_error(nn.Sequential(model[1], model[3])) < ROUNDING
    assert orthonormality_error(free) is None
