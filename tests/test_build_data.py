"""Image data as specs ask for them."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lnets.build import build_data
from lnets.build.data import write_split
from lnets.data.images import ImageData
from lnets.errors import SpecError
from lnets.specs.data import DATASETS, DataSpec
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
        assert data.images.shape == (size, *spec.input_shape)
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
    files = write_split("digits", tmp_path / "a" / "small", **counts, seed=3)
    texts = [file.read_text() for file in files]
    assert texts == [
        file.read_text() for file in write_split("digits", tmp_path / "again", **counts, seed=3)
    ]
    assert texts != [
        file.read_text() for file in write_split("digits", tmp_path / "other", **counts, seed=4)
    ]
    written = {**DIGITS, "split": {"type": "files", "folder": "a/small"}}
    drawn = {**DIGITS, "split": {"type": "per_class", "train": 30, "validation": 10, "seed": 3}}
    one, other = (build_data(DataSpec.model_validate(data), CPU) for data in (written, drawn))
    assert torch.equal(one.train.images, other.train.images)
    assert torch.equal(one.validation.labels, other.validation.labels)
    assert one.validation.labels.bincount().tolist() == [10] * 10


def test_index_files_of_another_data_set_are_refused(tmp_path: Path) -> None:
    write_split("mnist_5k", tmp_path / "s", per_class=300, validation_per_class=1, seed=0)
    data = {**DIGITS, "split": {"type": "files", "folder": "s"}}
    with pytest.raises(SpecError, match=r"must be 0 to 1437, .*another data set's"):
        build_data(DataSpec.model_validate(data), CPU)


@pytest.mark.parametrize("dataset", [name for name in DATASETS if name not in WRITERS])
def test_bundled_data_sets_need_no_folder(
    dataset: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LNETS_DATA")
    monkeypatch.chdir(tmp_path)
    spec = DataSpec.model_validate({"dataset": dataset})
    assert build_data(spec, CPU).train.images.shape[1:] == spec.input_shape
    assert os.listdir(tmp_path) == []
