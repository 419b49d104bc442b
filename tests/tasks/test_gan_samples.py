"""Distances between a trained GAN's images and real ones."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Generator

from lnets.build import build_distribution
from lnets.errors import TrialError
from lnets.specs.distributions import GanSamplesSpec, ImageSamplesSpec
from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.run import run_trials
from tests.tasks.digits import outcome
from tests.tasks.digits import spec as classifier
from tests.tasks.gans import FULLY_CONNECTED, FULLY_CONV, TYPES, spec

KEY = "a" * 64
CPU = torch.device("cpu")


def samples(side: str, **changes: Any) -> GanSamplesSpec:
    data = {"type": "gan_samples", "gan": KEY, "side": side, "dataset": "digits"}
    return GanSamplesSpec.model_validate_json(json.dumps(data | changes))


def experiment(**changes: Any) -> WassersteinSpec:
    sides = [samples(side).model_dump() for side in ("generated", "real")]
    data = {
        "task": "wasserstein",
        "distrib1": sides[0],
        "distrib2": sides[1],
        "model": FULLY_CONNECTED,
        "optim": {"type": "adam", "lr": 0.01},
        "steps": 20,
        "batch_size": 16,
        "test_sample_size": 100,
    }
    return WassersteinSpec.model_validate_json(json.dumps(data | changes))


def bounds(given: WassersteinSpec, files: TrialFiles) -> dict[str, float]:
    (ended,) = run_trials(
        [given], [0], device="cpu", threads=1, report=lambda *_: None, files=files
    )
    assert ended.status == "completed"
    return ended.metrics


def keep(folder: Path, config: str, tensors: dict[str, torch.Tensor]) -> TrialFiles:
    """A store with one finished trial, as the runner leaves it."""
    trial = folder / KEY
    trial.mkdir(exist_ok=True)
    save_file(tensors, trial / "model.safetensors")
    (trial / "experiment.json").write_text(f'{{"seed":0,"experiment":{config}}}')
    return TrialFiles(lambda key: folder / key / "model.safetensors")


@pytest.fixture(scope="module", params=TYPES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A GAN of each type, its spec, and the store that has it."""
    given = spec(request.param, epochs=1, quality=None)
    ended, _ = outcome(given)
    state = {name: tensor.contiguous() for name, tensor in ended.model.state_dict().items()}
    return ended.model["generator"], keep(
        tmp_path_factory.mktemp("store"), given.model_dump_json(), state
    )


def test_a_critic_tells_generated_from_real_images(trained: Any) -> None:
    _, files = trained
    metrics = bounds(experiment(), files)
    assert 0 < metrics["wasserstein_estimate"] <= metrics["wasserstein_exact"]
    images = {"distrib1": {"flatten": False}, "distrib2": {"flatten": False}}
    sides = {
        name: samples(side, flatten=False).model_dump()
        for name, side in zip(images, ("generated", "real"), strict=True)
    }
    convolved = bounds(experiment(model=FULLY_CONV, **sides), files)
    assert convolved["wasserstein_exact"] == pytest.approx(metrics["wasserstein_exact"])


@pytest.mark.slow
def test_architectures_are_ordered_as_published(tmp_path: Path) -> None:
    """What keeps the norm of gradients comes nearer to the exact distance, which none exceeds."""
    gan = spec("WGAN", epochs=3, quality=None)
    state = outcome(gan)[0].model.state_dict()
    files = keep(tmp_path, gan.model_dump_json(), {k: t.contiguous() for k, t in state.items()})
    common: dict[str, Any] = {"steps": 150, "batch_size": 64, "test_sample_size": 500}
    common["optim"] = {"type": "adam", "lr": 0.01, "schedule": {"type": "linear"}}
    found: dict[tuple[str, str], float] = {}
    for activation, groupings in (("relu", 2), ("maxmin", 2), ("group_sort", 8)):
        for linear in ("bjorck", "orthogonal", "spectral_normal"):
            critic = FULLY_CONNECTED | {"layers": [32, 32, 1], "linear": {"type": linear}}
            critic |= {"activation": activation, "groupings": groupings}
            metrics = bounds(experiment(model=critic, **common), files)
            found[activation, linear] = metrics["wasserstein_estimate"]
            assert metrics["wasserstein_estimate"] <= metrics["wasserstein_exact_sample"]
    for linear in ("bjorck", "orthogonal"):
        assert found["relu", linear] < found["maxmin", linear] < found["group_sort", linear]
    for activation, linear in found:
        assert found[activation, "spectral_normal"] <= found[activation, linear]


def test_generated_samples_are_the_generators_in_evaluation(trained: Any) -> None:
    network, files = trained
    network.train()
    distribution = build_distribution(samples("generated", flatten=False), CPU, files.weights)
    before = load_file(files.weights(KEY))
    drawn = distribution.sample(700, Generator().manual_seed(3))
    noise = torch.rand(700, 4, generator=Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(drawn, network.eval()(noise))
    assert drawn.dtype == torch.float32
    assert drawn.unique(dim=0).shape == drawn.shape, "independent, so no two are alike"
    again = distribution.held_out(700, Generator().manual_seed(3))
    assert again.dtype == torch.float64
    assert torch.equal(again, drawn.double())
    flat = build_distribution(samples("generated"), CPU, files.weights)
    assert torch.equal(flat.sample(700, Generator().manual_seed(3)), drawn.flatten(1))
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert distribution.diameter == math.sqrt(64) == flat.diameter
    assert all(torch.equal(t, before[k]) for k, t in load_file(files.weights(KEY)).items())


def test_real_samples_are_those_of_image_samples(trained: Any) -> None:
    _, files = trained
    real = build_distribution(samples("real"), CPU, files.weights)
    images = ImageSamplesSpec(type="image_samples", dataset="digits")
    images = build_distribution(images, CPU, NO_FILES.weights)
    for name in ("sample", "held_out"):
        one, other = (getattr(d, name)(40, Generator().manual_seed(1)) for d in (real, images))
        assert torch.equal(one, other)


def test_what_is_no_gan_is_refused(tmp_path: Path) -> None:
    given = classifier()
    files = keep(tmp_path, given.model_dump_json(), {"weight": torch.zeros(1)})
    with pytest.raises(TrialError, match="task gan, got one of classification: aaaa"):
        bounds(experiment(), files)


def test_a_gan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    files = TrialFiles(lambda key: tmp_path / key / "model.safetensors")
    with pytest.raises(TrialError, match="gan must be the key of a finished trial of this store"):
        bounds(experiment(), files)
    with pytest.raises(TrialError, match=f"from trial {KEY} needs a store"):
        bounds(experiment(), NO_FILES)


def test_a_gan_of_other_images_is_refused(tmp_path: Path) -> None:
    given = spec("WGAN", epochs=1, quality=None)
    state = outcome(given)[0].model.state_dict()
    files = keep(tmp_path, given.model_dump_json(), {k: t.contiguous() for k, t in state.items()})
    bedrooms = {"dataset": "lsun_bed", "image_size": 8}
    shapes = {
        name: samples("generated", **bedrooms).model_dump() for name in ("distrib1", "distrib2")
    }
    expected = r"because it is of digits, images of shape \[1, 8, 8\], .* lsun_bed and \[3, 8, 8\]"
    with pytest.raises(TrialError, match=expected):
        bounds(experiment(**shapes), files)


@pytest.mark.parametrize("damage", ["weights", "experiment", "other networks", "not finite"])
def test_a_gan_that_cannot_be_used_is_refused(tmp_path: Path, damage: str) -> None:
    given = spec("WGAN", epochs=1, quality=None)
    ended, _ = outcome(given)
    state = {name: tensor.contiguous() for name, tensor in ended.model.state_dict().items()}
    expected = "is damaged, or of another version of lnets; train it again"
    if damage == "not finite":
        state["generator.0.weight"][0, 0] = math.nan
        expected = "must be a trial with finite weights, got aaaa.*, which has diverged"
    files = keep(tmp_path, given.model_dump_json(), state)
    if damage == "weights":
        files.weights(KEY).write_bytes(b"cut off")
    elif damage == "experiment":
        (tmp_path / KEY / "experiment.json").write_text('{"seed": 0}')
    elif damage == "other networks":
        keep(tmp_path, spec("WGAN", generator={"noise_dim": 5}).model_dump_json(), state)
    with pytest.raises(TrialError, match=expected):
        bounds(experiment(), files)
