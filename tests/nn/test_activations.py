import math

import pytest
import torch
from torch import nn

from lnets.nn import Abs, GroupSort, Householder, Maxout, NActivation

ACTIVATIONS = {
    "group_sort": lambda axis: GroupSort(3, axis),
    "maxmin": lambda axis: GroupSort(2, axis),
    "maxout": lambda axis: Maxout(2, axis),
    "householder": lambda axis: Householder(3, axis),
    "n_activation": lambda axis: NActivation(6, axis),
    "abs": lambda axis: Abs(),
}
NORM_PRESERVING = ["group_sort", "maxmin", "householder", "n_activation", "abs"]


def jacobian(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.autograd.functional.jacobian(lambda z: module(z[None])[0], x)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_jacobian_is_steeper_than_one(name: str) -> None:
    torch.manual_seed(0)
    module = ACTIVATIONS[name](-1).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
    for x in torch.randn(50, 6, dtype=torch.float64):
        sigma = torch.linalg.svdvals(jacobian(module, x))
        assert sigma.max() <= 1 + 1e-12
        if name in NORM_PRESERVING:
            assert sigma.min() >= 1 - 1e-12


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_any_axis_will_do(name: str) -> None:
    x = torch.randn(2, 6, 5, 4)
    along = ACTIVATIONS[name](1)(x)
    last = ACTIVATIONS[name](-1)(x.movedim(1, -1))
    assert torch.equal(along.movedim(1, -1), last)


def test_householder_starts_as_maxmin_and_is_continuous() -> None:
    module = Householder(3)
    x = torch.randn(20, 6)
    assert torch.allclose(
        module(x).sort(dim=-1).values, GroupSort(2)(x).sort(dim=-1).values, atol=1e-6
    )
    with torch.no_grad():
        module.angle.copy_(torch.tensor([0.3, 1.0, 2.0]))
    on_line = torch.stack(((module.angle / 2).cos(), (module.angle / 2).sin()), dim=-1).flatten()
    for side in (-1e-6, 1e-6):
        assert torch.allclose(module(on_line + side), on_line, atol=1e-5)


def test_n_activation_has_its_shape() -> None:
    module = NActivation(1)
    x = torch.tensor([[-2.0], [-0.5], [0.0], [0.5], [2.0]])
    assert module(x).flatten().tolist() == [-2.0, -0.5, -1.0, -1.5, 0.0]


def test_the_square_root_of_two_bounds_a_reflection_in_linf() -> None:
    module = Householder(1).double()
    worst = 0.0
    for angle in torch.linspace(0, math.pi, 50, dtype=torch.float64):
        with torch.no_grad():
            module.angle.fill_(angle)
        for x in torch.randn(10, 2, dtype=torch.float64):
            worst = max(worst, float(jacobian(module, x).abs().sum(dim=1).max().detach()))
    assert 1.4 < worst <= math.sqrt(2) + 1e-12
