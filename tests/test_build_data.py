"""Image data as specs ask for them."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lnets.build import build_data, build_distribution, build_sample_images
from lnets.build.data import write_split
from lnets.data.images import ImageData, load_digits
from lnets.data.splits import halves
from lnets.errors import DataError
from lnets.specs.data import DATASETS, DataSpec
from lnets.specs.distributions import ImageSamplesSpec
from tests.data.tiny import SIDE, WRITERS

CPU = torch.device("cpu")
DIGITS = {"dataset": "digits"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNETS_DATA", str(tmp_path))


def rows(data: ImageData) -> set[tuple[int | float, ...]]:
    return {tuple(image.tolist()) for image in data.images.flatten(1)}


@pytest.mark.parametrize("dataset", WRITERS)
def test_every_data_set_is_built(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = WRITERS[dataset](tmp_path, monkeypatch)
    spec = DataSpec.model_validate(
        {
            "dataset": dataset,
            "image_size": SIDE if dataset in ("lsun_bed", "imagenet") else None,
            "split": {"type": "fraction", "train": 0.5, "validation": 0.5},
        }
    )
    built = build_data(spec, CPU)
    for data, size in ((built.train, 10), (built.validation, 10), (built.test, len(tiny.test[0]))):
        assert data.images.shape == (size, *spec.image_shape)
        assert data.num_classes == spec.num_classes
    assert torch.equal(built.test.images, tiny.test.images)
    assert torch.equal(built.test.labels, tiny.test.labels)
    # Labels stay with their images.
    known = {tuple(i.flatten().tolist()): int(n) for i, n in zip(*tiny.train, strict=True)}
    for data in (built.train, built.validation):
        for image, label in zip(data.images, data.labels, strict=True):
            assert known.pop(tuple(image.flatten().tolist())) == int(label)
    assert not known


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        ({"type": "fraction"}, (1293, 143)),
        ({"type": "fraction", "train": 0.25, "validation": 0.0}, (359, 0)),
        ({"type": "per_class", "train": 30, "validation": 10}, (300, 100)),
    ],
)
def test_the_parts_have_no_common_image(split: dict[str, Any], sizes: tuple[int, int]) -> None:
    built = build_data(DataSpec.model_validate({**DIGITS, "split": split}), CPU)
    assert (len(built.train), len(built.validation)) == sizes
    train, validation, test = map(rows, (built.train, built.validation, built.test))
    assert not train & validation
    assert not (train | validation) & test
    if split["type"] == "per_class":
        assert built.train.labels.bincount().tolist() == [30] * 10


def test_the_same_data_are_read_once() -> None:
    spec = DataSpec.model_validate(DIGITS)
    assert build_data(spec, CPU) is build_data(DataSpec.model_validate(DIGITS), CPU)
    other = DataSpec.model_validate({**DIGITS, "augment": {"crop_padding": 1, "flip": True}})
    augmented = build_data(other, CPU)
    assert (augmented.augmentation.crop_padding, augmented.augmentation.flip) == (1, True)


def test_written_splits_are_those_that_are_trained_on(tmp_path: Path) -> None:
    counts = {"per_class": 30, "validation_per_class": 10}
    files = write_split("digits", "a/small", **counts, seed=3)
    texts = [file.read_text() for file in files]
    assert texts == [
        file.read_text()
        for file in write_split("digits", str(tmp_path / "again"), **counts, seed=3)
    ]
    assert texts != [file.read_text() for file in write_split("digits", "other", **counts, seed=4)]
    written = {**DIGITS, "split": {"type": "files", "folder": "a/small"}}
    drawn = {**DIGITS, "split": {"type": "per_class", "train": 30, "validation": 10, "seed": 3}}
    one, other = (build_data(DataSpec.model_validate(data), CPU) for data in (written, drawn))
    assert torch.equal(one.train.images, other.train.images)
    assert torch.equal(one.validation.labels, other.validation.labels)
    assert one.validation.labels.bincount().tolist() == [10] * 10


def test_index_files_of_another_data_set_are_refused() -> None:
    write_split("mnist_5k", "s", per_class=300, validation_per_class=1, seed=0)
    data = {**DIGITS, "split": {"type": "files", "folder": "s"}}
    with pytest.raises(
        ValidationError, match=r"train.txt:\d+: must be at most 1437, .*another data"
    ):
        DataSpec.model_validate(data)


@pytest.mark.parametrize("dataset", [name for name in DATASETS if name not in WRITERS])
def test_bundled_data_sets_need_no_folder(
    dataset: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LNETS_DATA")
    monkeypatch.chdir(tmp_path)
    spec = DataSpec.model_validate({"dataset": dataset})
    assert build_data(spec, CPU).train.images.shape[1:] == spec.image_shape
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dataset", WRITERS)
@pytest.mark.parametrize("some", [False, True], ids=["all", "some"])
def test_samples_are_the_training_and_the_test_images(
    dataset: Any, some: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = WRITERS[dataset](tmp_path, monkeypatch)
    classes = tuple(range(min(2, DATASETS[dataset].num_classes))) if some else None
    image_size = None if DATASETS[dataset].side else SIDE
    images = build_sample_images(dataset, CPU, image_size=image_size, classes=classes)
    for found, expected in zip(images, (tiny.train, tiny.test), strict=True):
        wanted = torch.isin(expected.labels, torch.tensor(classes or range(10)))
        assert found.images.dtype == torch.uint8
        assert torch.equal(found.images, expected.images[wanted])
        assert torch.equal(found.labels, expected.labels[wanted])
    spec = ImageSamplesSpec(
        type="image_samples", dataset=dataset, image_size=image_size, classes=classes, flatten=False
    )
    distribution = build_distribution(spec, CPU)
    held_out = distribution.held_out(1000, torch.Generator())
    assert held_out.shape == (len(images.held_out), *spec.shape)
    known = images.held_out.pixels(slice(None)).double().flatten(1)
    assert torch.equal(held_out.flatten(1).unique(dim=0), known.unique(dim=0))


@pytest.mark.parametrize("dataset", [name for name in DATASETS if name not in WRITERS])
@pytest.mark.parametrize("classes", [(3,), (8,), (3, 8), None], ids=str)
def test_without_test_images_one_half_is_held_out(
    dataset: Any, classes: tuple[int, ...] | None
) -> None:
    """Also where two distributions ask for different classes."""
    threes, others = (build_sample_images(dataset, CPU, classes=c) for c in ((3,), classes))
    assert not rows(threes.train) & rows(others.held_out)
    assert not rows(threes.held_out) & rows(others.train)
    if classes is None:
        both = torch.cat([part.images for part in others])
        size = {"digits": 1797, "mnist_5k": 5000}[dataset]
        assert len(both) == size
        assert abs(len(others.train) - len(others.held_out)) <= 1


def test_the_halves_of_the_digits_are_always_the_same() -> None:
    images, labels = load_digits()
    found = build_sample_images("digits", CPU, classes=(3, 5))
    for part, half in zip(found, halves(len(images)), strict=True):
        wanted = half[(labels[half] == 3) | (labels[half] == 5)]
        assert torch.equal(part.images, images[wanted])


def test_fewer_images_are_some_of_all() -> None:
    few, again = (
        build_sample_images("mnist_5k", CPU, classes=classes, max_images=40)
        for classes in (None, tuple(range(10)))
    )
    every = build_sample_images("mnist_5k", CPU)
    for part, same, whole in zip(few, again, every, strict=True):
        assert len(part) == 40
        assert rows(part) <= rows(whole)
        assert torch.equal(part.images, same.images)
        assert len(part.labels.unique()) > 5
    assert len(build_sample_images("digits", CPU, classes=(3,), max_images=5000).train) > 40


def test_classes_without_images_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS["cifar100"](tmp_path, monkeypatch)
    with pytest.raises(DataError, match=r"cifar100: must have 2 images of classes \(77,\).*got 0"):
        build_sample_images("cifar100", CPU, classes=(77,))


def test_the_next_trial_has_the_same_images_at_once() -> None:
    first = build_sample_images("digits", CPU, classes=(3,))
    build_sample_images("digits", CPU, classes=(8,))
    assert build_sample_images("digits", CPU, classes=(3,)) is first
