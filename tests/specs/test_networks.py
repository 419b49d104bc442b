"""What a network cannot be, or cannot be fed, is found in its spec, before torch would refuse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lnets.build import build_model
from lnets.errors import SpecError
from lnets.nn import certify
from lnets.specs.load import load_experiment, load_sweep
from lnets.specs.model import ModelSpec

Write = Callable[..., Path]

MODEL: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
DIGITS = {"type": "image_samples", "dataset": "digits", "flatten": False}
BCOP = {"type": "bcop_conv2d"}
LAYERS = {
    "activation": "maxmin",
    "conv": {"type": "bjorck_conv2d"},
    "linear": {"type": "bjorck"},
}
FULLY_CONV = {
    "type": "fully_conv",
    "channels": [4, 1],
    "kernels": [3, 3],
    "activation": "maxmin",
    "conv": LAYERS["conv"],
}
LENET = {"type": "lenet", "output_dim": 1, **LAYERS}
INFOGAN = {"type": "infogan_discriminator", "output_dim": 1, **LAYERS}
RESNET = {"type": "lipschitz_resnet", "output_dim": 1, **LAYERS}
UNCONSTRAINED = {"type": "resnet32", "output_dim": 1}
FULLY_CONNECTED = {
    "type": "fully_connected",
    "layers": [4, 1],
    "activation": "maxmin",
    "linear": LAYERS["linear"],
}


def experiment(tiny: dict[str, Any], size: tuple[int, int] | None = None) -> dict[str, Any]:
    """On digits, or on shells in grids of another size."""
    data: dict[str, Any] = tiny["experiment"]
    if size is None:
        return data | {
            "distrib1": {**DIGITS, "classes": [3]},
            "distrib2": {**DIGITS, "classes": [8]},
        }
    height, width = size
    shell = {"type": "multi_spherical_shell", "dim": height * width}
    shell |= {"reshape_to_grid": [height, width]}
    return data | {"distrib1": {**shell, "radius": 0}, "distrib2": {**shell, "radius": 1}}


@pytest.mark.parametrize(
    ("model", "size", "path", "parts"),
    [
        ({**FULLY_CONV, "channels": [4, 2]}, None, "channels", ["end in 1", "[4, 2]"]),
        ({**UNCONSTRAINED, "output_dim": 10}, None, "output_dim", ["must be 1", "got 10"]),
        ({**FULLY_CONV, "kernels": [3]}, None, "kernels", ["one entry per", "1 entries for 2"]),
        ({**FULLY_CONV, "strides": [1]}, None, "strides", ["one entry per", "1 entries for 2"]),
        ({**FULLY_CONV, "kernels": [3, 7]}, None, "kernels.1",
         ["kernel 7", "image 6 × 6 at convolution 1", "smaller kernels"]),
        ({**FULLY_CONV, "kernels": [9, 3]}, None, "kernels.0", ["kernel 9", "image 8 × 8"]),
        ({**FULLY_CONV, "kernels": [3, 9], "padding": 1, "padding_mode": "circular"}, None,
         "kernels.1", ["circular", "kernel 9"]),
        *(({**FULLY_CONV, "kernels": [5, 3], "padding": 3, "padding_mode": mode}, None, "padding",
           ["smaller than every kernel", "padding=3 and kernel 3", "lower the padding"])
          for mode in ("zeros", "circular")),
        ({**FULLY_CONV, "padding": 2, "padding_mode": "circular", "conv": BCOP}, None, "padding",
         ["(kernel − 1) / 2", "padding=2", "kernel 3"]),
        ({**FULLY_CONV, "strides": [1, 2], "conv": BCOP}, None, "strides",
         ["must be 1 for bcop_conv2d", "[1, 2]", "bjorck_conv2d"]),
        ({**FULLY_CONV, "groupings": 3, "activation": "group_sort"}, None, "groupings",
         ["must divide its layer", "groupings=3", "layer=4"]),
        ({**FULLY_CONV, "groupings": [2, 1, 1]}, None, "groupings", ["3 entries for 2"]),
        ({**FULLY_CONV, "channels": [3, 1], "activation": "householder"}, None, "channels",
         ["even", "got 3"]),
        ({**FULLY_CONV, "conv": {**BCOP, "bjorck_order": 2, "bjorck_beta": 0.4}}, None,
         "conv.bjorck_beta", ["bjorck_order=2", "leave bjorck_beta out"]),
        ({**FULLY_CONNECTED, "alpha": 0.5, "l_constant": 2.0}, None, "l_constant",
         ["must be 1", "alpha", "got 2"]),
        ({**FULLY_CONNECTED, "alpha": 1.5}, None, "alpha", ["less than or equal to 1"]),
        (LENET, None, "type", ["28 × 28", "got 8 × 8", "fully_conv"]),
        ({**LENET, "groupings": 4, "activation": "group_sort"}, (28, 28), "groupings",
         ["groupings=4", "layer=10"]),
        *(({**network, "activation": "maxout"}, None, "activation", ["maxout", "group_sort"])
          for network in (LENET, INFOGAN, RESNET)),
        *((network, (6, 6), "type", ["multiple of 4", "got 6 × 6"])
          for network in (INFOGAN, RESNET)),
        (RESNET, (4, 8), "type", ["squares", "got 4 × 8"]),
        ({**INFOGAN, "conv": BCOP}, None, "conv.type", ["stride 2", "bjorck_conv2d"]),
        ({**RESNET, "channels": [32, 64, 5]}, None, "groupings", ["groupings=2", "layer=5"]),
        ({**RESNET, "channels": [32, 64]}, None, "channels.2", ["more entries", "[32, 64]"]),
        ({**RESNET, "groupings": [2, 2]}, None, "groupings", ["2 entries"]),
        ({**RESNET, "padding_mode": "circular"}, None, "padding_mode", ["12 × 12", "8 × 8"]),
        ({**RESNET, "alpha": 1.5}, None, "alpha", ["less than or equal to 1"]),
        ({"type": "wide_resnet32", "output_dim": 1, "widen": 0}, None, "widen", ["got 0"]),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_at_its_field(
    write: Write,
    tiny: dict[str, Any],
    model: dict[str, Any],
    size: tuple[int, int] | None,
    path: str,
    parts: list[str],
) -> None:
    data = experiment(tiny, size) | {"model": model}
    with pytest.raises(SpecError) as caught:
        load_experiment(write(data))
    [message] = str(caught.value).splitlines()
    assert f": model.{path}: " in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("model", [FULLY_CONV, LENET, INFOGAN, RESNET, UNCONSTRAINED])
def test_networks_for_images_need_images(
    write: Write, tiny: dict[str, Any], model: dict[str, Any]
) -> None:
    data = tiny["experiment"] | {"model": model}
    with pytest.raises(SpecError, match=r"model\.type: .*\(channels, height, width\).*reshape_to"):
        load_experiment(write(data))


def test_epochs_need_a_length(write: Write, tiny: dict[str, Any]) -> None:
    data = tiny["experiment"] | {"per_epoch_proj": {"type": "l_2", "every_n_epochs": 2}}
    with pytest.raises(SpecError, match="epoch_steps: is required with per_epoch_proj"):
        load_experiment(write(data))
    loaded = load_experiment(write({**data, "epoch_steps": 5}))
    again = type(loaded).model_validate_json(loaded.model_dump_json())
    assert again == loaded
    assert load_experiment(write(tiny["experiment"] | {"epoch_steps": 5})).per_epoch_proj is None


def test_searches_reach_into_the_network_that_is_there(write: Write, tiny: dict[str, Any]) -> None:
    tiny["experiment"] = experiment(tiny) | {"model": FULLY_CONV}
    tiny["search"] = {"model.conv.bjorck_iter": [2, 3], "per_update_proj": [None, {"type": "l_2"}]}
    assert load_sweep(write(tiny)).experiment.model.type == "fully_conv"
    for search, message in (
        ({"model.linear.bjorck_iter": [2]}, "did you mean `model.conv.bjorck_iter`"),
        ({"model.type": ["lenet"]}, "search `model` with whole sections"),
        ({"model.kernels": [[3, 3], [9, 3]]}, "search.model.kernels: with .*kernel 9"),
        ({"model": [FULLY_CONV, {**FULLY_CONV, "kernel": [3]}]}, "did you mean `kernels`"),
        ({"model": [FULLY_CONV, LENET]}, "with .*28 × 28"),
        ({"per_update_proj": [{"type": "l_3"}]}, "did you mean `l_2`"),
    ):
        with pytest.raises(SpecError, match=message):
            load_sweep(write(tiny | {"search": search}))
    tiny["search"] = {"model": [FULLY_CONV, UNCONSTRAINED, FULLY_CONNECTED]}
    assert load_sweep(write(tiny)).table_layout().rows == ("model",)


@st.composite
def _convolutions(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, int, int]]:
    count = draw(st.integers(1, 3))
    several = st.lists(st.integers(1, 4), min_size=count, max_size=count)
    kernels = draw(several)
    model = FULLY_CONV | {
        "channels": [2] * count,
        "kernels": kernels,
        "strides": draw(several) if draw(st.booleans()) else None,
        "padding": draw(st.integers(0, min(kernels) - 1)),
        "padding_mode": draw(st.sampled_from(["zeros", "circular"])),
        "conv": {"type": draw(st.sampled_from(["bjorck_conv2d", "bcop_conv2d"]))},
    }
    return model, (1, draw(st.integers(1, 9)), draw(st.integers(1, 9)))


@given(_convolutions())
@settings(max_examples=150)
def test_a_spec_refuses_exactly_what_torch_refuses(
    case: tuple[dict[str, Any], tuple[int, int, int]],
) -> None:
    data, shape = case
    try:
        spec = MODEL.validate_json(json.dumps(data))
    except ValidationError:
        # Nothing but BCOP's own refusals is left here.
        assert data["conv"] == BCOP
        return
    model = build_model(spec, shape).eval()
    x = torch.zeros(2, *shape)
    if spec.misfits(shape):
        with pytest.raises((ValueError, RuntimeError)):
            model(x)
    else:
        assert model(x).shape == (2, *spec.output_shape(shape))
        assert certify(model, shape).lipschitz_upper_bound <= 1.001
