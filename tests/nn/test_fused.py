import copy
import functools

import pytest
import torch
from torch import nn

from lnets.nn import (
    Abs,
    BCOPConv2d,
    FullyConnected,
    GroupSort,
    Householder,
    Maxout,
    NActivation,
    OrthogonalLinear,
    Scale,
)
from lnets.nn.fused import Replicas, why_not_stacked
from tests.nn.layers import LINEAR, trained

# Batched products sum in another order.
FLOAT32 = 1e-4
ACTIVATIONS = {
    "maxmin": lambda: GroupSort(2),
    "full sort": lambda: GroupSort(6),
    "maxout": lambda: Maxout(3),
    "householder": lambda: Householder(3),
    "n_activation": lambda: NActivation(6),
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "abs": Abs,
    "scale": lambda: Scale(3.0),
}


def networks(linear: str, activation: str, count: int = 3) -> list[nn.Module]:
    make = nn.Linear if linear == "standard" else LINEAR[linear]
    torch.manual_seed(0)
    return [
        FullyConnected(
            4,
            [6, 6, 1],
            linear=make,
            activation=lambda i: ACTIVATIONS[activation](),
            shrink=[3, 3] if activation == "maxout" else None,
            l_constant=2.0,
        )
        for _ in range(count)
    ]


CASES = [(linear, "maxmin") for linear in ("standard", *LINEAR)] + [
    ("retract", activation) for activation in ACTIVATIONS if activation != "maxmin"
]


@pytest.mark.parametrize(("linear", "activation"), CASES)
def test_a_stack_does_what_each_network_does(linear: str, activation: str) -> None:
    models = networks(linear, activation)
    replicas = Replicas(models)
    x, upstream = torch.randn(3, 5, 2, 2), torch.randn(3, 5, 1)
    y = replicas(x)
    replicas.backward(y, upstream)
    gradients = []
    for i, model in enumerate(models):
        alone = model(x[i])
        assert torch.allclose(y[i], alone, atol=FLOAT32)
        alone.backward(upstream[i])
        kept = [m for m in model.modules() if isinstance(m, OrthogonalLinear)]
        first = [trained(m)[1] for m in kept if m.mode == "retract"]
        ordered = first + [p for p in model.parameters() if all(p is not q for q in first)]
        gradients.append(torch.cat([p.grad.flatten() for p in ordered if p.grad is not None]))
    assert torch.allclose(replicas.gradients, torch.stack(gradients), atol=FLOAT32)


@pytest.mark.parametrize(("linear", "activation"), CASES)
def test_weights_go_in_and_out_unchanged(linear: str, activation: str) -> None:
    models = networks(linear, activation)
    replicas = Replicas(models)
    for i, model in enumerate(models):
        state = replicas.model(i).state_dict()
        assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    replicas.keep([0, 2])
    assert len(replicas) == 2
    x = torch.randn(2, 5, 4)
    assert torch.allclose(replicas(x)[1], models[2](x[1]), atol=FLOAT32)


@pytest.mark.parametrize(("linear", "activation"), CASES)
def test_a_stack_is_evaluated_with_its_weights_of_now(linear: str, activation: str) -> None:
    replicas = Replicas(networks(linear, activation))
    replicas.network.eval()
    x = torch.randn(3, 5, 4)

    def matches(indices: list[int]) -> bool:
        alone = [replicas.model(i).eval()(x[k]) for i, k in enumerate(indices)]
        return torch.allclose(replicas(x[indices]), torch.stack(alone), atol=FLOAT32)

    with torch.no_grad():
        before = replicas(x)
        assert matches([0, 1, 2])
        replicas.rows[0].mul_(-1.5)  # some need a division, some do not
        assert not torch.allclose(replicas(x)[0], before[0], atol=FLOAT32)
        assert torch.equal(replicas(x)[1], before[1])
        assert matches([0, 1, 2])
        replicas.keep([0, 2])
        assert matches([0, 2])


@pytest.mark.parametrize("linear", LINEAR)
def test_updates_and_projections_are_each_networks_own(linear: str) -> None:
    models = networks(linear, "maxmin")
    replicas = Replicas(models)
    lost = Replicas([copy.deepcopy(model) for model in models])
    with torch.no_grad():
        lost.rows[1] = torch.nan
        x = torch.randn(3, 5, 4)
        assert torch.equal(replicas(x)[::2], lost(x)[::2])
        for stack in (replicas, lost):
            stack.rows[0].mul_(1.01)
            stack.rows[2].mul_(2)
            stack.project_()
    for i, factor in ((0, 1.01), (2, 2.0)):
        alone = Replicas([models[i]])
        with torch.no_grad():
            alone.rows.mul_(factor)
        alone.project_()
        assert torch.allclose(replicas.rows[i], alone.rows[0], atol=FLOAT32)
        assert torch.equal(replicas.rows[i], lost.rows[i])


def test_one_network_needs_no_stack() -> None:
    model = nn.Sequential(BCOPConv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    assert why_not_stacked(model) == "`0`: a BCOPConv2d works on one network at a time"
    replicas = Replicas([model])
    x = torch.randn(1, 4, 1, 6, 6)
    y = replicas(x)
    replicas.backward(y, torch.ones_like(y))
    assert replicas.gradients.abs().sum() > 0
    trained = replicas.model(0).state_dict()
    assert trained["1.num_batches_tracked"] == 1
    with pytest.raises(ValueError, match="cannot be stacked, `0`: a BCOPConv2d works on one"):
        Replicas([model, copy.deepcopy(model)])


def test_layers_may_share_a_weight_in_a_single_network_only() -> None:
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.ReLU(), nn.Linear(3, 3))
    model[2].weight = layer.weight
    replicas = Replicas([model])
    with torch.no_grad():
        replicas.rows.mul_(2)
    shared = replicas.network
    assert shared[0].weight is shared[2].weight
    assert torch.equal(shared[2].weight, 2 * layer.weight)
    with pytest.raises(ValueError, match="layers that share a weight"):
        Replicas([model, model])


def test_only_equal_networks_are_stacked() -> None:
    first = networks("bjorck", "maxmin", 1)
    others = (
        networks("bjorck order 3", "maxmin", 1),
        networks("polar", "maxmin", 1),
        networks("bjorck", "full sort", 1),
        [nn.Sequential(nn.Linear(4, 2))],
    )
    for other in others:
        with pytest.raises(ValueError, match="same layers, shapes and options"):
            Replicas(first + other)
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="cannot be stacked, layers that share a weight"):
        Replicas([nn.Sequential(shared, nn.ReLU(), shared) for _ in range(2)])
    assert why_not_stacked(nn.Sequential(nn.Dropout(0.1))) is not None
    assert why_not_stacked(nn.Sequential(GroupSort(2, axis=1))) is not None


@pytest.mark.parametrize("count", [1, 3])
def test_layers_that_drift_come_back_in_time(count: int) -> None:
    make = functools.partial(OrthogonalLinear, drift=0.1)
    torch.manual_seed(0)
    replicas = Replicas([nn.Sequential(make(6, 6), make(6, 3)) for _ in range(count)])
    before = replicas.rows.clone()
    with torch.no_grad():
        replicas.rows[0].mul_(1.001)
        replicas.project_()
    assert torch.equal(replicas.rows[0], 1.001 * before[0])
    with torch.no_grad():
        replicas.rows[0].mul_(1.5)
        replicas.project_()
    assert torch.allclose(replicas.rows[0, :54], before[0, :54], atol=1e-5)
    assert torch.equal(replicas.rows[1:], before[1:])
    weight = replicas.model(0).eval().get_submodule("0").effective_weight()  # type: ignore[operator]
    assert torch.allclose(torch.linalg.svdvals(weight), torch.ones(6), atol=1e-5)
