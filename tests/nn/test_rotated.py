"""What layers trained by rotations do beyond the contract in `test_layers.py`."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from lnets.functional.polar import polar
from lnets.nn import FullyConnected, GroupSort, RotatedLinear, certify, project_, to_plain
from lnets.nn.fused import Replicas

# Inputs by outputs: wide, tall, square weights.
SHAPES = [(6, 3), (3, 6), (5, 5), (32, 24), (16, 32)]
# Float32 sums of at most 32 products, and of batched products in another order.
FLOAT32 = 1e-5
BATCHED = 1e-4


def example(shape: tuple[int, int], dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    """A layer, and the loss of fitting another one."""
    torch.manual_seed(0)
    layer, target = (RotatedLinear(*shape, **options).to(dtype) for _ in range(2))
    x = torch.randn(16, shape[0], dtype=dtype)
    y = target(x).detach()
    return layer, lambda: (layer(x) - y).square().sum(dim=1).mean()


def step(layer: nn.Module, loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    value = loss()
    value.backward()
    optimizer.step()
    return value.item()


def skewness(matrix: Tensor) -> float:
    """0 for a skew-symmetric matrix."""
    return float((matrix + matrix.mT).norm() / matrix.norm())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_update_moves_along_the_orthonormal_matrices(shape: tuple[int, int]) -> None:
    for lr in (1e-2, 1e-3, 1e-4):
        layer, loss = example(shape, drift=1.0)  # so that nothing is brought back
        with torch.no_grad():
            layer.weight.copy_(polar(layer.weight, method="svd"))  # it was drawn in float32
        before = layer.weight.clone()
        step(layer, loss, torch.optim.SGD(layer.parameters(), lr=lr))
        skew = layer.rotation.detach().clone()
        size = torch.linalg.matrix_norm(skew, ord=2).item()
        assert size > 0.01 * lr
        project_(layer)
        assert torch.equal(layer.weight, before)  # so small a rotation waits
        after = layer.state_dict()["weight"]
        sigma = torch.linalg.svdvals(after)
        assert (sigma.square() - 1).abs().max() <= size**2 + 1e-12
        turn = torch.linalg.matrix_exp(skew)
        exact = turn @ before if shape[1] > shape[0] else before @ turn
        assert torch.linalg.matrix_norm(after - exact, ord=2) <= 0.51 * size**2 + 1e-12
        assert (after - before).norm() > 0


def test_a_rotation_counts_before_it_is_put_into_the_weight() -> None:
    layer, loss = example((6, 4), drift=0.5)
    before, x = layer.weight.clone(), torch.randn(3, 6, dtype=torch.float64)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    values = [step(layer, loss, optimizer) for _ in range(5)]
    assert values == sorted(values, reverse=True)
    project_(layer)
    assert torch.equal(layer.weight, before)
    plain = nn.Linear(6, 4, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    for mode, expected in ((True, plain(x)), (False, to_plain(copy.deepcopy(layer).eval())(x))):
        layer.train(mode)
        assert torch.allclose(layer(x), expected, atol=1e-12)
        traced = torch.func.vmap(lambda one: functional_call(layer, {}, (one,)))(x)
        assert torch.allclose(traced, expected, atol=1e-12)
    assert torch.allclose(layer(x), plain(x), atol=1e-3)
    with torch.no_grad():
        layer(x)  # keeps the weight
        layer.rotation.mul_(2)
    assert not torch.allclose(layer(x), expected, atol=1e-3)


@pytest.mark.parametrize("drift", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_adam_learns_and_stays_certified(
    shape: tuple[int, int], dtype: torch.dtype, drift: float
) -> None:
    layer, loss = example(shape, dtype, drift=drift)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    losses = []
    for _ in range(50):
        losses.append(step(layer, loss, optimizer))
        project_(layer)
        assert skewness(optimizer.state[layer.rotation]["exp_avg"]) <= FLOAT32
        worst = (torch.linalg.svdvals(layer.state_dict()["weight"].double()).square() - 1).abs()
        assert worst.square().mean().sqrt() <= 2 * drift + FLOAT32  # the drift is estimated
    assert losses[-1] < 0.7 * losses[0]
    bound = certify(layer.eval(), shape[:1]).lipschitz_upper_bound
    assert bound <= 1 + 1e-11
    sigma = torch.linalg.svdvals(layer.effective_weight().double())
    assert sigma.min() >= 1 - FLOAT32


@pytest.mark.parametrize("shape", [(32, 24), (16, 32), (24, 24)], ids=str)
def test_updates_of_adam_are_rotations_in_float32_too(shape: tuple[int, int]) -> None:
    layer, loss = example(shape, torch.float32)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    for _ in range(10):
        step(layer, loss, optimizer)
        assert skewness(layer.rotation.detach()) <= 1e-3
        project_(layer)


def test_the_state_of_an_optimizer_survives() -> None:
    layer, loss = example((16, 12), torch.float32)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    for _ in range(3):
        step(layer, loss, optimizer)
        project_(layer)
    state = optimizer.state[layer.rotation]
    assert int(state["step"]) == 3
    momentum = state["exp_avg"].clone()
    assert momentum.norm() > 0
    project_(layer)
    assert torch.equal(optimizer.state[layer.rotation]["exp_avg"], momentum)
    resumed, resumed_loss = example((16, 12), torch.float32)
    resumed.load_state_dict(layer.state_dict())
    again = torch.optim.Adam(resumed.parameters(), lr=0.01)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, f, o in ((layer, loss, optimizer), (resumed, resumed_loss, again)):
        step(one, f, o)
        project_(one)
    assert torch.equal(layer.weight, resumed.weight)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_weight_decay_does_no_harm(kind: type[torch.optim.Optimizer]) -> None:
    weights = []
    for weight_decay in (0.0, 10.0):
        layer, loss = example((6, 4), bias=False)
        options: Any = {"lr": 0.01, "weight_decay": weight_decay}
        optimizer = kind(layer.parameters(), **options)
        for _ in range(10):
            step(layer, loss, optimizer)
            project_(layer)
        weights.append(layer.weight.clone())
    assert torch.equal(*weights)


def networks(count: int = 3) -> list[nn.Module]:
    torch.manual_seed(0)
    return [
        FullyConnected(4, [6, 6, 3], linear=RotatedLinear, activation=lambda _: GroupSort(2))
        for _ in range(count)
    ]


def descend(replicas: Replicas, batches: Tensor, lr: float = 0.05) -> None:
    for x in batches:
        y = replicas(x)
        replicas.backward(y, y.sin())
        with torch.no_grad():
            replicas.rows.sub_(lr * replicas.gradients)
        replicas.project_()


def test_stacked_networks_are_trained_as_each_alone() -> None:
    models = networks()
    batches = torch.randn(10, 3, 8, 4)
    stack = Replicas(models)
    assert stack.num_kept_orthonormal == 3 * 6 * 6
    descend(stack, batches[:6])
    stack.keep([0, 2])
    descend(stack, batches[6:, [0, 2]])
    stack.network.eval()
    outputs = stack(batches[0, [0, 2]])
    for place, i in enumerate((0, 2)):
        alone = Replicas([models[i]])
        descend(alone, batches[:, i : i + 1])
        got, expected = stack.model(place), alone.model(0)
        for name, value in expected.state_dict().items():
            assert torch.allclose(got.state_dict()[name], value, atol=BATCHED)
            assert not torch.allclose(value, models[i].state_dict()[name], atol=1e-2)
        assert torch.allclose(outputs[place], expected.eval()(batches[0, i]), atol=BATCHED)
        assert certify(got.eval(), (4,)).lipschitz_upper_bound <= 1 + 1e-9


def test_its_state_is_that_of_a_plain_layer() -> None:
    layer, loss = example((6, 4), torch.float32)
    step(layer, loss, torch.optim.SGD(layer.parameters(), lr=0.1))
    assert layer.rotation.any()
    plain = nn.Linear(6, 4)
    state = layer.state_dict()
    plain.load_state_dict(state)
    assert list(state) == ["weight", "bias"]
    given = {f"0.{name}": value for name, value in plain.state_dict().items()}
    names = list(given)
    model = nn.Sequential(layer)
    model.load_state_dict(given)
    assert list(given) == names
    assert torch.equal(layer.weight, plain.weight)
    assert not layer.rotation.any()  # an update of the weight before
    with pytest.raises(RuntimeError, match=r"Missing key.*0\.weight"):
        model.load_state_dict({"0.bias": given["0.bias"]})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*0\.other"):
        model.load_state_dict(given | {"0.other": given["0.bias"]})


def test_it_can_be_built_on_meta_and_filled() -> None:
    source = RotatedLinear(6, 4)
    with torch.device("meta"):
        layer = RotatedLinear(6, 4)
    layer.load_state_dict(source.state_dict(), assign=True)
    x = torch.randn(3, 6)
    assert torch.equal(layer(x), source(x))
    layer(x).square().sum().backward()
    assert layer.rotation.grad is not None
    assert not layer.weight.requires_grad


def test_a_pending_rotation_is_copied_with_the_layer() -> None:
    layer, loss = example((6, 4))
    step(layer, loss, torch.optim.SGD(layer.parameters(), lr=0.1))
    twin = copy.deepcopy(layer)
    for one in (layer, twin):
        project_(one)
    assert torch.equal(layer.weight, twin.weight)


@pytest.mark.parametrize("frozen", [False, True])
def test_its_plain_twin_is_frozen_where_it_is(frozen: bool) -> None:
    layer = RotatedLinear(4, 4).eval()
    layer.rotation.requires_grad_(not frozen)
    plain = to_plain(layer)
    assert plain.get_parameter("weight").requires_grad == (not frozen)
    assert plain.get_parameter("bias").requires_grad
