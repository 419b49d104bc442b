"""What a GAN cannot be is found when its spec is read, with the rule and the remedy."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from lnets.specs.experiments import EXPERIMENT
from lnets.specs.gan import GanSpec
from lnets.specs.identity import config_key
from lnets.specs.metrics import GAN, QUALITY, find_metric
from lnets.specs.sweep import SweepSpec
from lnets.specs.wording import worded
from tests.tasks.gans import (
    CRITIC,
    FULLY_CONNECTED,
    FULLY_CONV,
    LIPSCHITZ,
    NORMALIZED,
    TYPES,
    data_of,
)

BEDROOMS = {"dataset": "lsun_bed", "image_size": 64}


def read(gan_type: str, **changes: Any) -> GanSpec:
    return GanSpec.model_validate_json(json.dumps(data_of(gan_type, **changes)))


@pytest.mark.parametrize(
    ("gan_type", "changes", "path", "parts"),
    [
        ("DCGAN", {}, "gan_type", ["WGAN_GP"]),
        ("LWGAN", {"clip": 0.01}, "clip", ["left out with LWGAN", "of WGAN, got 0.01"]),
        ("WGAN_GP", {"clip": 0.01}, "clip", ["left out with WGAN_GP"]),
        ("WGAN", {"gradient_penalty": 10.0}, "gradient_penalty", ["of WGAN_GP, got 10"]),
        ("WGAN", {"clip": 0.0}, "clip", ["greater than 0"]),
        ("WGAN", {"critic_steps": 0}, "critic_steps", ["1"]),
        ("WGAN", {"batch_size": 1}, "batch_size", ["2"]),
        ("WGAN", {"data": {"dataset": "lsun_bed"}}, "data.image_size", ["image_size: 64"]),
        ("WGAN", {"data": {"dataset": "digits", "image_size": 8}}, "data.image_size", ["left out"]),
        ("WGAN", {"data": {"dataset": "lsun_bed", "image_size": 66}}, "data.image_size",
         ["multiple of 4", "got 66", "take 64"]),
        ("WGAN", {"data": {"dataset": "lsun"}}, "data.dataset", ["lsun_bed"]),
        ("WGAN", {"generator": {"widths": [8, 4]}}, "generator.widths.2", ["more entries"]),
        ("WGAN", {"generator": {"noise_dim": 0}}, "generator.noise_dim", ["got 0"]),
        ("WGAN", {"model": FULLY_CONV}, "model.conv.type", ["standard with WGAN", "LWGAN"]),
        ("WGAN_GP", {"model": FULLY_CONNECTED}, "model.linear.type", ["standard with WGAN_GP"]),
        ("WGAN_GP", {"model": NORMALIZED}, "model", ["normalise no batches", "infogan"]),
        ("WGAN_GP", {"model": {"type": "resnet32", "output_dim": 1}}, "model", ["resnet32"]),
        ("LWGAN", {"model": {**LIPSCHITZ, "linear": {"type": "standard"}}}, "model.linear.type",
         ["L2 bound of 1", "got standard", "orthogonal or bjorck"]),
        ("LWGAN", {"model": {**FULLY_CONV, "conv": {"type": "l_inf_projected_conv2d"}}},
         "model.conv.type", ["L2 bound", "bjorck_conv2d"]),
        ("LWGAN", {"model": {"type": "resnet32", "output_dim": 1}}, "model.type",
         ["Lipschitz layers", "got resnet32"]),
        ("LWGAN", {"model": {**LIPSCHITZ, "l_constant": 2.0}}, "model.l_constant",
         ["must be 1 with LWGAN", "got 2"]),
        ("LWGAN", {"model": {**LIPSCHITZ, "batch_norm": True}}, "model.batch_norm",
         ["Lipschitz layers", "orthogonal"]),
        ("LWGAN", {"model": {**LIPSCHITZ, "output_dim": 2}}, "model.output_dim", ["be 1", "got 2"]),
        ("LWGAN", {"model": {**LIPSCHITZ, "widths": [4, 8, 5]}}, "model.groupings", ["layer=5"]),
        ("LWGAN", {"quality": {"model": {**FULLY_CONNECTED, "layers": [8, 2]}}},
         "quality.model.layers", ["end in 1", "[8, 2]"]),
        ("LWGAN", {"quality": {"model": {**FULLY_CONV, "kernels": [9, 3]}}},
         "quality.model.kernels.0", ["kernel 9", "image 8 × 8"]),
        ("LWGAN", {"quality": {"steps": 0}}, "quality.steps", ["1"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_is(
    gan_type: str, changes: dict[str, Any], path: str, parts: list[str]
) -> None:
    data = data_of(gan_type, **changes)
    if gan_type == "DCGAN":
        del data["model"]
    with pytest.raises(ValidationError) as caught:
        GanSpec.model_validate_json(json.dumps(data))
    (message,) = (
        f"{'.'.join(map(str, where))}: {message}"
        for _, where, message in worded(caught.value, GanSpec, data)
    )
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message


@pytest.mark.parametrize("gan_type", TYPES)
@pytest.mark.parametrize("left_out", [True, False])
def test_every_type_has_its_critic(gan_type: str, left_out: bool) -> None:
    data = data_of(gan_type, model=None)
    if left_out:
        del data["model"]
    spec = GanSpec.model_validate_json(json.dumps(data))
    standard = gan_type != "LWGAN"
    assert spec.model.type == "infogan_discriminator"
    assert spec.model.widths == (64, 128, 1024)
    assert (spec.model.linear.type == "standard") == standard
    assert (spec.model.activation == "leaky_relu") == standard
    assert EXPERIMENT.validate_json(spec.model_dump_json()) == spec
    spelled_out = GanSpec.model_validate_json(spec.model_dump_json())
    assert config_key(spelled_out) == config_key(spec)


@pytest.mark.parametrize("gan_type", TYPES)
@pytest.mark.parametrize("model", [FULLY_CONNECTED, FULLY_CONV, LIPSCHITZ])
def test_other_critics_may_be_taken(gan_type: str, model: dict[str, Any]) -> None:
    layers = {"linear": {"type": "standard"}, "conv": {"type": "standard_conv2d"}}
    if gan_type != "LWGAN":
        model = model | {name: kind for name, kind in layers.items() if name in model}
    for data in ({"dataset": "digits"}, BEDROOMS):
        assert read(gan_type, model=model, data=data).model.type == model["type"]


def test_batches_may_be_normalised_where_weights_are_clipped() -> None:
    spec = read("WGAN", model=NORMALIZED)
    assert spec.model.normalizes_batches
    assert not read("WGAN", model=CRITIC).model.normalizes_batches


@pytest.mark.parametrize("gan_type", TYPES)
def test_its_metrics_are_known(gan_type: str) -> None:
    spec = read(gan_type)
    assert next(iter(spec.metrics)) == "quality_wasserstein_estimate"
    assert all(find_metric(name) == metric for name, metric in GAN.items())
    assert all(
        find_metric(name) == metric for name, metric in spec.metrics.items() if name in QUALITY
    )
    assert ("lipschitz_upper_bound" in spec.metrics) == (gan_type == "LWGAN")
    assert not set(read(gan_type, quality=None).metrics) & set(QUALITY)


def test_the_best_gan_is_nearest_to_the_data() -> None:
    sweep = SweepSpec.model_validate_json(
        json.dumps({"name": "gans", "experiment": data_of("LWGAN"), "search": {"epochs": [1, 2]}})
    )
    (objective,) = sweep.objectives()
    assert objective.minimize == "quality_wasserstein_estimate"


def test_quality_is_an_experiment_on_held_out_images() -> None:
    flat, image = (
        read("WGAN", data=BEDROOMS, quality={"model": model}).quality_experiment()
        for model in (FULLY_CONNECTED, FULLY_CONV)
    )
    assert flat is not None
    assert image is not None
    assert flat.distrib1.shape == flat.distrib2.shape == (3 * 64 * 64,)
    assert image.distrib1.shape == image.distrib2.shape == (3, 64, 64)
    assert read("WGAN", quality=None).quality_experiment() is None
