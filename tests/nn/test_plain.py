"""What the plain twin of a network shares with it, and what not."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import nn

from lnets.nn import (
    BjorckConv2d,
    BjorckLinear,
    FullyConnected,
    GroupSort,
    LipschitzResidual,
    SpectralNormLinear,
    certify,
    to_plain,
)


def network() -> FullyConnected:
    return FullyConnected(
        4, [6, 6, 2], linear=BjorckLinear, activation=lambda _: GroupSort(2), l_constant=2.0
    ).eval()


def test_the_root_is_ordinary_too() -> None:
    model = network()
    plain = to_plain(model)
    assert type(plain) is nn.Sequential
    assert [name for name, _ in plain.named_children()] == [n for n, _ in model.named_children()]
    inside = to_plain(nn.Sequential(LipschitzResidual(network(), 0.5)).eval())
    assert type(inside.get_submodule("0.block")) is nn.Sequential
    assert type(to_plain(BjorckLinear(2, 2).eval())) is nn.Linear


def test_what_is_frozen_stays_frozen() -> None:
    model = network()
    model[1].weight.requires_grad_(False)
    model[4].bias.requires_grad_(False)
    plain = to_plain(model)
    for name, parameter in model.named_parameters():
        assert plain.get_parameter(name).requires_grad == parameter.requires_grad


def test_what_is_tied_stays_tied() -> None:
    first, second = BjorckLinear(3, 3), BjorckLinear(3, 3)
    second.weight, second.bias = first.weight, first.bias
    ordinary, again = nn.Linear(3, 3), nn.Linear(3, 3)
    again.weight, ordinary.bias = ordinary.weight, first.bias
    model = nn.Sequential(first, second, first, ordinary, again).eval()
    plain = to_plain(model, torch.randn(5, 3))
    assert plain[0] is plain[2] is not plain[1]
    assert plain[0].weight is plain[1].weight
    assert plain[0].bias is plain[1].bias is plain[3].bias
    assert plain[3].weight is plain[4].weight
    assert len(list(plain.parameters())) == len(list(model.parameters()))


def test_different_effective_weights_of_one_raw_weight_are_told_apart() -> None:
    first, second, third = BjorckLinear(3, 3), SpectralNormLinear(3, 3), nn.Linear(3, 3)
    second.weight = third.weight = first.weight
    with torch.no_grad():
        first.weight.normal_()
    model = nn.Sequential(first, second, third).eval()
    plain = to_plain(model, torch.randn(5, 3))
    assert len({id(layer.weight) for layer in plain}) == 3
    assert torch.equal(plain[2].weight, third.weight)


def test_nothing_is_shared_with_the_original_nor_drawn() -> None:
    model = nn.Sequential(network(), nn.ReLU()).eval()
    state = torch.get_rng_state()
    plain = to_plain(model)
    assert torch.equal(torch.get_rng_state(), state)
    plain[1].register_forward_hook(lambda module, inputs, output: 10 * output)
    assert not model[1]._forward_hooks
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "layer",
    [
        BjorckLinear(4, 3),
        BjorckConv2d(2, 3, (3, 2), stride=2, padding=(2, 1), padding_mode="circular"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_that_disagrees_is_named_without_an_example(layer: Any, dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Identity(), copy.deepcopy(layer)).to(dtype).eval()
    to_plain(model)
    model[1].register_forward_hook(lambda module, inputs, output: output * (1 + 1e-5))
    with pytest.raises(ArithmeticError, match=r"must agree .* in `1`. Remove hooks"):
        to_plain(model)


def test_a_whole_that_disagrees_is_not_handed_out() -> None:
    class Listening(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = BjorckLinear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if isinstance(self.layer, BjorckLinear) else self.layer(x)

    model = Listening().eval()
    with pytest.raises(ArithmeticError, match=re.escape("`(root)`")):
        to_plain(model, torch.randn(3, 2))
    with pytest.raises(ValueError, match="evaluation mode"):
        to_plain(model.train())


def test_hooks_of_a_sequence_are_kept_and_not_certified() -> None:
    model = network()
    model.register_forward_hook(lambda module, inputs, output: 10 * output)
    to_plain(model, torch.randn(3, 4))
    with pytest.raises(ValueError, match="which has hooks"):
        certify(model)
