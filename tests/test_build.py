"""Every member of every union builds, and learns."""

from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from lnets.build import build_model, build_optimizer, build_schedule
from lnets.specs.model import FullyConnectedSpec
from lnets.specs.network import Activation
from lnets.specs.optim import OptimSpec

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "nesterov": torch.optim.SGD,
    "adam": torch.optim.Adam,
}


def model_spec(**changes: Any) -> FullyConnectedSpec:
    return FullyConnectedSpec.model_validate(
        {
            "type": "fully_connected",
            "layers": (6, 6, 1),
            "activation": "maxmin",
            "linear": {"type": "bjorck"},
            **changes,
        }
    )


def optim(**fields: Any) -> OptimSpec:
    return TypeAdapter(OptimSpec).validate_python({"lr": 0.1, **fields})


LINEAR_TYPES = [
    "standard",
    "bjorck",
    "orthogonal",
    "l_inf_projected",
    "spectral_normal",
    "parseval_l2",
]


@pytest.mark.parametrize("linear", LINEAR_TYPES)
@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_network_builds_and_has_gradients(activation: str, linear: str) -> None:
    model = build_model(model_spec(activation=activation, linear={"type": linear}), (4,))
    model(torch.randn(3, 4)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("activation", "groupings", "sizes"),
    [
        ("group_sort", "full", [6, 6]),
        ("group_sort", 3, [3, 3]),
        ("group_sort", (2, 3), [2, 3]),
        ("group_sort", (2, 3, 1), [2, 3]),
        ("maxout", (3, 2), [3, 2]),
        ("maxmin", 2, [2, 2]),
    ],
)
def test_groupings_are_group_sizes(activation: str, groupings: Any, sizes: list[int]) -> None:
    model = build_model(model_spec(activation=activation, groupings=groupings), (4,))
    built = [module.group_size for module in model.modules() if hasattr(module, "group_size")]
    assert built == sizes
    assert model(torch.randn(2, 4)).shape == (2, 1)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "aggmo"])
def test_every_optimizer_lowers_a_loss(name: str) -> None:
    weight = nn.Parameter(torch.tensor([1.0, -1.0]))
    optimizer = build_optimizer(optim(type=name, lr=0.02, weight_decay=0.01), [weight])
    assert optimizer.param_groups[0]["weight_decay"] == 0.01
    assert name not in OPTIMIZERS or isinstance(optimizer, OPTIMIZERS[name])
    assert optimizer.param_groups[0].get("nesterov", False) == (name == "nesterov")
    for _ in range(40):
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        optimizer.step()
    assert loss < 1


def test_schedules_drop_the_rate_when_they_say() -> None:
    rates: dict[str, list[float]] = {}
    for name, schedule in {
        "none": None,
        "step": {"type": "step", "milestones": (2, 3), "decay": 0.1},
        "exp": {"type": "exp", "decay": 0.5, "every_n_steps": 2},
    }.items():
        spec = optim(type="sgd", lr=1.0, schedule=schedule)
        optimizer = build_optimizer(spec, [nn.Parameter(torch.zeros(1))])
        built = build_schedule(spec.schedule, optimizer)
        rates[name] = []
        for _ in range(5):
            rates[name].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if built is not None:
                built.step()
    assert rates["none"] == [1.0] * 5
    assert rates["step"] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert rates["exp"] == pytest.approx([1, 1, 0.5, 0.5, 0.25])
