"""Generated and real images compared by what a trained classifier makes of them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator, nn

from lnets.build import build_gan_images
from lnets.data.distributions import ImageSamples
from lnets.errors import TrialError
from lnets.nn import BjorckLinear
from lnets.specs.classification import ClassificationSpec
from lnets.specs.metrics import FEATURES
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.gan_features import Features
from tests.tasks.digits import BJORCK, FEW, RESNET, outcome
from tests.tasks.digits import spec as classifier
from tests.tasks.gans import spec

pytestmark = pytest.mark.usefixtures("_quick")
KEY = "b" * 64
CPU = torch.device("cpu")


def keep(folder: Path, given: Any, model: nn.Module) -> TrialFiles:
    trial = folder / KEY
    trial.mkdir()
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, trial / "model.safetensors")
    (trial / "experiment.json").write_text(f'{{"seed":0,"experiment":{given.model_dump_json()}}}')
    return TrialFiles(lambda key: folder / key / "model.safetensors")


def trained(folder: Path, given: ClassificationSpec) -> TrialFiles:
    return keep(folder, given, outcome(given)[0].model)


def compare(files: TrialFiles, other: ImageSamples) -> dict[str, float]:
    given = spec("WGAN", features=KEY)
    real = ImageSamples(*build_gan_images(given.data, CPU), flatten=False)
    features = Features(given, files.weights(KEY), CPU)
    return features.compare(real, other, Generator().manual_seed(0))


def test_a_gan_reports_distances_of_features(tmp_path: Path) -> None:
    files = trained(tmp_path, classifier(epochs=2))
    given = spec("LWGAN", features=KEY, epochs=1)
    ended, _ = outcome(given, files=files)
    assert set(FEATURES) < set(ended.metrics) == set(given.metrics)
    assert all(ended.metrics[name] > 0 for name in FEATURES)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"normalization": {"mean": [0.5], "std": [0.5]}},
        {"model": RESNET, "data": FEW, "epochs": 1},
        {"model": {"linear": BJORCK}, "finetune": {"epochs": 1, "lr": 1e-3, "bjorck_iter": 20}},
    ],
    ids=["linear", "normalized", "residual", "finetuned"],
)
def test_features_tell_real_images_from_others(tmp_path: Path, changes: dict[str, Any]) -> None:
    files = trained(tmp_path, classifier(**{"epochs": 2, **changes}))
    train, held_out = build_gan_images(spec("WGAN").data, CPU)
    same = compare(files, ImageSamples(held_out, train, flatten=False))
    noise = torch.rand(train.images.shape, generator=Generator().manual_seed(0))
    noise = type(train)("noise", noise, train.labels, train.num_classes)
    other = compare(files, ImageSamples(noise, noise, flatten=False))
    for name in FEATURES:
        assert other[name] > 10 * abs(same[name])


def test_features_are_those_before_the_last_layer(tmp_path: Path) -> None:
    given = classifier(epochs=1)
    ended, _ = outcome(given)
    features = Features(
        spec("WGAN", features=KEY), keep(tmp_path, given, ended.model).weights(KEY), CPU
    )
    images = torch.rand(700, 1, 8, 8, generator=Generator().manual_seed(0), dtype=torch.float64)
    found = features._of(images)
    assert found.shape == (700, 32)
    *_, last = ended.model.double().eval()
    torch.testing.assert_close(last(found), ended.model(images))


def test_finetuned_classifiers_are_what_they_were_trained_to_be(tmp_path: Path) -> None:
    finetune = {"epochs": 1, "lr": 1e-3, "bjorck_iter": 40}
    files = trained(tmp_path, classifier(model={"linear": BJORCK}, data=FEW, finetune=finetune))
    network = Features(spec("WGAN", features=KEY), files.weights(KEY), CPU)._network
    for layer in network:
        if isinstance(layer, BjorckLinear):
            values = torch.linalg.svdvals(layer.effective_weight())
            torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-6)


def test_what_is_no_such_classifier_is_refused_before_training(tmp_path: Path) -> None:
    given = spec("WGAN", features=KEY)
    with pytest.raises(TrialError, match="features must be the key of a finished trial"):
        outcome(given, files=TrialFiles(lambda key: tmp_path / key))
    with pytest.raises(TrialError, match="needs a store that has it, got none"):
        outcome(given, files=NO_FILES)
    other = spec("WGAN", epochs=1, quality=None)
    files = keep(tmp_path, other, outcome(other)[0].model)
    with pytest.raises(TrialError, match="task classification, got one of gan: bbbb"):
        outcome(given, files=files)
    larger = classifier(data={"dataset": "mnist_5k"})
    (tmp_path / KEY / "experiment.json").write_text(f'{{"experiment":{larger.model_dump_json()}}}')
    state = {"1.weight": torch.zeros(32, 784), "1.bias": torch.zeros(32)}
    state |= {"3.weight": torch.zeros(32, 32), "3.bias": torch.zeros(32)}
    state |= {"5.weight": torch.zeros(10, 32), "5.bias": torch.zeros(10)}
    save_file(state, tmp_path / KEY / "model.safetensors")
    with pytest.raises(
        TrialError, match=r"images of shape \[1, 28, 28\], and these have \[1, 8, 8\]"
    ):
        outcome(given, files=files)
    state["1.bias"][0] = math.inf
    save_file(state, tmp_path / KEY / "model.safetensors")
    with pytest.raises(TrialError, match="features must be a trial with finite weights"):
        outcome(given, files=files)
