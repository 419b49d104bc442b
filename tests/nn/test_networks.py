import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lnets.nn import (
    Abs,
    BjorckLinear,
    FullyConnected,
    GroupSort,
    Householder,
    ImageShape,
    LipschitzResidual,
    Maxout,
    NActivation,
    Scale,
    certify,
)


@pytest.mark.parametrize(
    ("input_dim", "layers", "parameters"),
    [(1, [128, 128, 1], 16_897), (2, [312, 312, 312, 1], 196_561), (128, [256] * 6 + [1], 362_241)],
)
def test_the_originals_critics_have_its_parameters(
    input_dim: int, layers: list[int], parameters: int
) -> None:
    model = FullyConnected(
        input_dim, layers, linear=BjorckLinear, activation=lambda _: GroupSort(2)
    )
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_constant_is_shared_among_the_layers() -> None:
    model = FullyConnected(
        3, [4, 4, 4, 2], linear=nn.Linear, activation=lambda _: nn.ReLU(), l_constant=1000.0
    )
    factors = [module.factor for module in model if isinstance(module, Scale)]
    assert factors == pytest.approx([5.623413251903491] * 4)


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_factors_that_are_not_finite_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="`factor` must be finite, got"):
        Scale(factor)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": []}, "`layers` must have one entry per linear layer, got none"),
        ({"layers": [2, 0, 1]}, r"`layers` must be whole and at least 1, got \[2, 0, 1\]"),
        ({"input_dim": 0}, "`input_dim` must be whole and at least 1, got 0"),
        ({"shrink": [0]}, r"`shrink` must be whole and at least 1, got \[0\]"),
        *(
            ({"l_constant": bad}, f"`l_constant` must be positive and finite, got {bad}")
            for bad in (-1.0, 0.0, math.nan, math.inf)
        ),
    ],
)
def test_networks_without_a_meaning_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments = {"input_dim": 3, "layers": [4, 1]} | changes
    with pytest.raises(ValueError, match=message):
        FullyConnected(**arguments, linear=nn.Linear, activation=lambda _: nn.ReLU())


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (GroupSort, "group_size"),
        (Maxout, "group_size"),
        (Householder, "num_pairs"),
        (NActivation, "num_units"),
        (ImageShape, "channels"),
    ],
)
def test_modules_of_nothing_are_refused(make: Callable[[int], nn.Module], name: str) -> None:
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"`{name}` must be whole and at least 1, got {size}"):
            make(size)


def test_maxout_narrows_the_next_layer() -> None:
    model = FullyConnected(
        3, [6, 8, 1], linear=nn.Linear, activation=lambda i: Maxout([3, 2][i]), shrink=[3, 2]
    )
    widths = [(m.in_features, m.out_features) for m in model if isinstance(m, nn.Linear)]
    assert widths == [(3, 6), (2, 8), (4, 1)]
    assert model(torch.randn(5, 3)).shape == (5, 1)


def test_layers_as_wide_as_their_inputs_are_blocks_of_sums() -> None:
    def make(alpha: float | None) -> FullyConnected:
        torch.manual_seed(0)
        return FullyConnected(
            3, [4, 4, 6, 6, 1], linear=BjorckLinear, activation=lambda _: GroupSort(2), alpha=alpha
        ).double()

    model, plain = make(0.5), make(None)
    assert [type(m) for m in model].count(LipschitzResidual) == 2
    linears = [m for m in plain if isinstance(m, BjorckLinear)]
    sort, x = GroupSort(2), torch.randn(7, 3, dtype=torch.float64)
    h = sort(linears[0](x))
    h = (h + sort(linears[1](h))) / 2
    h = sort(linears[2](h))
    h = (h + sort(linears[3](h))) / 2
    assert torch.allclose(model(x), linears[4](h))
    assert torch.allclose(make(1.0)(x), plain(x))
    assert certify(model.eval(), (3,)).lipschitz_upper_bound == pytest.approx(1)
    with pytest.raises(ValueError, match="`l_constant` must be 1 where there is an `alpha`"):
        FullyConnected(
            2, [2, 1], linear=nn.Linear, activation=lambda _: nn.ReLU(), alpha=0.5, l_constant=2.0
        )


def test_grids_are_flattened() -> None:
    model = FullyConnected(6, [2], linear=nn.Linear, activation=lambda _: Abs())
    assert model(torch.randn(5, 1, 2, 3)).shape == (5, 2)


def test_modules_say_what_they_are() -> None:
    shown = repr(
        nn.Sequential(
            GroupSort(2), Maxout(3, axis=1), Scale(2.0), BjorckLinear(2, 3, bjorck_iter=7)
        )
    )
    for part in ("GroupSort(2, axis=-1)", "Maxout(3, axis=1)", "Scale(2.0)", "bjorck_iter=7"):
        assert part in shown
