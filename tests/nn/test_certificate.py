import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lnets.nn import (
    Abs,
    BjorckLinear,
    FullyConnected,
    GroupSort,
    Maxout,
    Scale,
    certify,
)

ACTIVATIONS = {
    "maxmin": lambda: GroupSort(2),
    "full sort": lambda: GroupSort(6),
    "maxout": lambda: Maxout(3),
    "abs": Abs,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def network(linear: type[nn.Module], activation: str, l_constant: float = 1.0) -> nn.Module:
    shrink = [3, 3] if activation == "maxout" else None
    return FullyConnected(
        4,
        [6, 6, 2],
        linear=linear,
        activation=lambda _: ACTIVATIONS[activation](),
        shrink=shrink,
        l_constant=l_constant,
    ).double()


@given(
    linear=st.sampled_from([nn.Linear, BjorckLinear]),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    l_constant=st.sampled_from([0.5, 1.0, 7.0]),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=60)
def test_no_jacobian_is_steeper_than_the_certificate(
    linear: type[nn.Module], activation: str, l_constant: float, seed: int
) -> None:
    torch.manual_seed(seed)
    model = network(linear, activation, l_constant).eval()
    bound = certify(model).lipschitz_upper_bound
    points = torch.randn(20, 4, dtype=torch.float64) * 3
    for point in points:
        jacobian = torch.autograd.functional.jacobian(model, point[None])[0, :, 0]
        assert torch.linalg.matrix_norm(jacobian, ord=2) <= bound


@pytest.mark.parametrize("l_constant", [1.0, 10.0])
def test_orthonormal_layers_reach_their_constant(l_constant: float) -> None:
    bound = certify(network(BjorckLinear, "maxmin", l_constant).eval()).lipschitz_upper_bound
    assert l_constant * (1 - 1e-9) <= bound <= l_constant * 1.001


def test_every_layer_is_accounted_for() -> None:
    model = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(4, 4)), Scale(-3.0), nn.Sigmoid())
    layers = certify(model.eval()).layers
    assert [layer.name for layer in layers] == ["0.0", "0.1", "1", "2"]
    assert [layer.module for layer in layers] == ["Flatten", "Linear", "Scale", "Sigmoid"]
    assert [layer.bound for layer in layers if layer.module in ("Scale", "Sigmoid")] == [3.0, 0.25]


def test_a_module_without_a_proof_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.GELU()).eval()
    with pytest.raises(ValueError, match=r"`1`, a GELU.*lnets/nn/certificate.py"):
        certify(model)
    with pytest.raises(ValueError, match=r"`\(root\)`, a GELU"):
        certify(nn.GELU().eval())


def test_training_mode_and_broken_weights_are_refused() -> None:
    model = network(BjorckLinear, "maxmin")
    with pytest.raises(ValueError, match="evaluation mode"):
        certify(model)
    with torch.no_grad():
        model[1].weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="finite"):
        certify(model.eval())
