"""Every member of every union builds, and learns."""

import json
import math
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from lnets.build import (
    build_critic,
    build_model,
    build_optimizer,
    build_projection,
    build_projections,
    build_schedule,
)
from lnets.build.layers import build_linear
from lnets.nn import OrthogonalLinear, RotatedLinear, certify, project_
from lnets.nn.fused import Replicas
from lnets.specs.layers import LinearSpec
from lnets.specs.model import FullyConnectedSpec, ModelSpec
from lnets.specs.network import Activation
from lnets.specs.optim import OptimSpec
from lnets.specs.projections import EpochProjectionSpec, UpdateProjectionSpec
from tests.tasks import digits

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
    ("sizes", "rotated"),
    [((5, 5), True), ((4, 8), True), ((8, 4), True), ((4, 9), False), ((9, 4), False)],
)
def test_rotations_are_for_layers_that_are_not_lopsided(
    sizes: tuple[int, int], rotated: bool
) -> None:
    data = {"type": "orthogonal", "mode": "rotate", "drift": 0.2, "bias": False}
    layer = build_linear(TypeAdapter(LinearSpec).validate_python(data), *sizes)
    assert isinstance(layer, OrthogonalLinear)
    assert type(layer) is (RotatedLinear if rotated else OrthogonalLinear)
    assert (layer.mode, layer.drift, layer.bias) == ("retract", 0.2, None)
    assert (layer.in_features, layer.out_features) == sizes


def test_a_network_of_rotations_learns_and_is_certified() -> None:
    linear = {"type": "orthogonal", "mode": "rotate"}
    model = build_model(model_spec(linear=linear), (4,))
    assert [type(m) for m in model.modules() if isinstance(m, OrthogonalLinear)] == [
        RotatedLinear,
        RotatedLinear,
        OrthogonalLinear,  # from 6 units to 1
    ]
    model(torch.randn(3, 4)).sum().backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)
    torch.optim.Adam(trained, lr=0.1).step()
    project_(model)
    assert 0.99 < certify(model.eval(), (4,)).lipschitz_upper_bound <= 1 + 1e-9


LAYERS = {
    "activation": "maxmin",
    "conv": {"type": "bjorck_conv2d", "bjorck_iter": 3},
    "linear": {"type": "bjorck", "bjorck_iter": 3},
}
FULLY_CONV = {
    "type": "fully_conv",
    "channels": [4, 6, 1],
    "kernels": [3, 2, 1],
    "activation": "maxmin",
    "conv": LAYERS["conv"],
}
SMALL_STAGES = {"channels": [4, 8, 16], "blocks": [1, 0, 2]}
NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "vectors": (model_spec().model_dump(mode="json"), (4,)),
    "flattened images": (model_spec().model_dump(mode="json"), (2, 3, 5)),
    "fully_conv": (FULLY_CONV, (2, 7, 5)),
    "fully_conv with strides": (
        {
            **FULLY_CONV,
            "kernels": [3, 2, 2],
            "strides": [2, 1, 1],
            "padding": 1,
            "l_constant": 2.0,
        },
        (2, 7, 5),
    ),
    "circular": (
        {**FULLY_CONV, "kernels": [3, 3, 3], "padding": 1, "padding_mode": "circular"},
        (1, 4, 4),
    ),
    "lenet": ({"type": "lenet", "output_dim": 1, "dropout": 0.1, **LAYERS}, (3, 28, 28)),
    "resnet32": ({"type": "resnet32", "output_dim": 1}, (1, 8, 6)),
    "wide_resnet32": ({"type": "wide_resnet32", "output_dim": 1, "widen": 2}, (3, 8, 8)),
    "infogan": ({"type": "infogan_discriminator", "output_dim": 1, **LAYERS}, (1, 4, 4)),
    "lipschitz_resnet": (
        {"type": "lipschitz_resnet", "output_dim": 1, **SMALL_STAGES, **LAYERS},
        (1, 8, 8),
    ),
    "circular lipschitz_resnet": (
        {"type": "lipschitz_resnet", "output_dim": 1, **SMALL_STAGES, **LAYERS}
        | {"padding_mode": "circular", "conv": {"type": "bcop_conv2d"}},
        (1, 12, 12),
    ),
}
MODEL: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
CONV_TYPES = ["standard_conv2d", "bjorck_conv2d", "l_inf_projected_conv2d", "bcop_conv2d"]


def network(data: dict[str, Any]) -> ModelSpec:
    return MODEL.validate_json(json.dumps(data))


def test_every_kind_of_network_is_tried() -> None:
    kinds = {kind.model_fields["type"].annotation for kind in get_args(get_args(ModelSpec)[0])}
    tried = {data["type"] for data, _ in NETWORKS.values()}
    assert tried == {name for kind in kinds for name in get_args(kind)}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_what_its_spec_says(name: str) -> None:
    data, shape = NETWORKS[name]
    spec = network(data)
    assert MODEL.validate_json(spec.model_dump_json()) == spec
    assert MODEL.validate_python(spec.model_dump()) == spec
    assert spec.misfits(shape) == []
    x = torch.randn(3, *shape)
    assert build_model(spec, shape)(x).shape == (3, *spec.output_shape(shape))
    critic = build_critic(spec, shape)
    critic(x).sum().backward()
    assert all(p.grad is not None for p in critic.parameters())
    critic.eval()
    assert critic(x).shape == (3, 1)
    assert math.isfinite(certify(critic, shape).lipschitz_upper_bound)


@pytest.mark.parametrize("conv", CONV_TYPES)
@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_convolution_and_activation_builds(activation: str, conv: str) -> None:
    data = {**FULLY_CONV, "activation": activation, "conv": {"type": conv}}
    critic = build_critic(network(data), (2, 6, 5))
    critic(torch.randn(3, 2, 6, 5)).sum().backward()
    assert all(p.grad is not None for p in critic.parameters())


def test_the_originals_networks_have_its_parameters() -> None:
    standard = {
        "activation": "relu",
        "conv": {"type": "standard_conv2d"},
        "linear": {"type": "standard"},
    }
    for data, shape, count in (
        ({"type": "lenet", "output_dim": 10, **standard}, (1, 28, 28), 21_840),
        ({"type": "resnet32", "output_dim": 10}, (3, 32, 32), 466_906),
        ({"type": "infogan_discriminator", "output_dim": 1, **standard}, (1, 28, 28), 6_556_865),
    ):
        with torch.device("meta"):
            model = build_model(network(data), shape)
        assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize(
    ("data", "shape", "sizes"),
    [
        ({**FULLY_CONV, "groupings": [4, 3], "activation": "group_sort"}, (1, 9, 9), [4, 3]),
        ({**FULLY_CONV, "groupings": "full", "activation": "maxout"}, (1, 9, 9), [4, 6]),
        (NETWORKS["lenet"][0] | {"groupings": [5, 4, 10], "activation": "group_sort"},
         (1, 28, 28), [5, 4, 10]),
        (NETWORKS["infogan"][0] | {"groupings": "full", "activation": "group_sort"},
         (1, 4, 4), [64, 128, 1024]),
        (NETWORKS["lipschitz_resnet"][0] | {"groupings": [4, 2, 8], "activation": "group_sort"},
         (1, 8, 8), [4, 4, 4, 2, 8, 8, 8, 8, 8]),
    ],
)  # fmt: skip
def test_groupings_of_image_networks_are_group_sizes_of_channels(
    data: dict[str, Any], shape: tuple[int, ...], sizes: list[int]
) -> None:
    model = build_model(network(data), shape)
    grouped = [module for module in model.modules() if hasattr(module, "group_size")]
    assert [module.group_size for module in grouped] == sizes
    assert {module.axis for module in grouped} == {1}
    model(torch.zeros(2, *shape))


@pytest.mark.parametrize("kind", ["l_2", "l_inf_projected", "l_inf_scaled"])
def test_every_projection_builds(kind: str) -> None:
    weight = 3 * torch.randn(4, 6)
    update = TypeAdapter(UpdateProjectionSpec).validate_python({"type": kind})
    epoch = TypeAdapter(EpochProjectionSpec).validate_python(
        {"type": kind, "every_n_epochs": 2, "reset_optimizer": True}
    )
    projected = build_projection(update)(weight)
    assert torch.equal(projected, build_projection(epoch)(weight))
    norms = projected.norm(dim=1) if kind == "l_2" else projected.abs().sum(dim=1)
    assert torch.allclose(norms, torch.ones(4), atol=1e-3)
    spec = digits.spec()
    both = spec.model_copy(update={"per_update_proj": update, "per_epoch_proj": epoch})
    schedule = build_projections(both)
    assert schedule.per_update is not None
    assert (schedule.every_n_epochs, schedule.reset_optimizer) == (2, True)
    assert build_projections(spec).per_epoch is None


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
    replicas = Replicas([nn.Linear(2, 1)])
    weights = replicas.rows
    optimizer = build_optimizer([optim(type=name, lr=0.02, weight_decay=0.01)], replicas)
    assert optimizer.param_groups[0]["weight_decay"] == 0.01
    assert name not in OPTIMIZERS or isinstance(optimizer, OPTIMIZERS[name])
    assert optimizer.param_groups[0].get("nesterov", False) == (name == "nesterov")
    before = weights.square().sum()
    for _ in range(40):
        replicas.gradients.copy_(2 * weights)
        optimizer.step()
    assert weights.square().sum() < 0.5 * before


def test_schedules_drop_the_rate_when_they_say() -> None:
    rates: dict[str, list[float]] = {}
    for name, schedule in {
        "none": None,
        "step": {"type": "step", "milestones": (2, 3), "decay": 0.1},
        "exp": {"type": "exp", "decay": 0.5, "every_n_steps": 2},
        "linear": {"type": "linear", "end": 4},
        "linear to the end": {"type": "linear"},
    }.items():
        spec = optim(type="sgd", lr=1.0, schedule=schedule)
        optimizer = build_optimizer([spec], Replicas([nn.Linear(1, 1)]))
        built = build_schedule(spec.schedule, optimizer, steps=5)
        rates[name] = []
        for _ in range(5):
            rates[name].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if built is not None:
                built.step()
    assert rates["none"] == [1.0] * 5
    assert rates["step"] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert rates["exp"] == pytest.approx([1, 1, 0.5, 0.5, 0.25])
    assert rates["linear"] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert rates["linear to the end"] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
