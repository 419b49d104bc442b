"""Rules of distributions, and of pairs of them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from lnets.specs.data import DATASETS
from lnets.specs.distributions import DistributionSpec
from lnets.specs.wasserstein import WassersteinSpec
from lnets.specs.wording import worded

ADAPTER: TypeAdapter[Any] = TypeAdapter(DistributionSpec)
FUNNELS = {"type": "min_funnels", "side": "source", "dim": 2, "num_funnels": 4}
GAUSSIAN = {"type": "gaussian", "dim": 3}
IMAGES = {"type": "image_samples", "dataset": "mnist_5k"}


POINTS = np.arange(12.0).reshape(4, 3)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("LNETS_DATA", str(tmp_path))
    np.save(tmp_path / "some.npy", POINTS)
    return {"type": "point_cloud", "path": "some.npy", "dim": 3}


def read(data: dict[str, Any]) -> Any:
    return ADAPTER.validate_json(json.dumps(data))


def mistakes(data: dict[str, Any], kind: Any = DistributionSpec) -> list[str]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_json(json.dumps(data))
    found = worded(caught.value, kind, data)
    return [f"{'.'.join(map(str, path))} {message}" for _, path, message in found]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_has_samples(dataset: str) -> None:
    known = DATASETS[dataset]  # type: ignore[index]
    size = {} if known.side else {"image_size": 64}
    images = read({"type": "image_samples", "dataset": dataset, "flatten": False, **size})
    assert images.shape == known.shape(64 if size else None)
    flat = read({"type": "image_samples", "dataset": dataset, **size})
    assert flat.shape == (images.size,)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"type": "image_samples", "dataset": "lsun_bed"}, ["image_size is required", "64"]),
        ({**IMAGES, "image_size": 32}, ["image_size must be left out", "28 × 28", "got 32"]),
        ({**IMAGES, "classes": [10]}, ["classes must be labels", "got 10", "0 to 9"]),
        ({**IMAGES, "classes": [1, 1]}, ["classes must differ"]),
        ({**IMAGES, "max_images": 1}, ["max_images", "greater than or equal to 2", "got 1"]),
        ({**GAUSSIAN, "mean": [0.0, 1.0]}, ["mean must have one entry, or dim = 3, got 2"]),
        ({**GAUSSIAN, "std": [1.0] * 4}, ["std must have one entry, or dim = 3, got 4"]),
        ({**GAUSSIAN, "std": [0.0]}, ["std.0", "greater than 0", "got 0"]),
        ({**FUNNELS, "side": "sink"}, ["side must be `source` or `target`", '"sink"']),
        ({**FUNNELS, "degree": 1.0}, ["degree", "greater than 1"]),
        ({**FUNNELS, "num_funnels": 0}, ["num_funnels", "greater than or equal to 1"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(data: dict[str, Any], parts: list[str]) -> None:
    (message,) = mistakes(data)
    for part in parts:
        assert part in message


def test_the_content_of_a_file_is_part_of_the_spec(cloud: dict[str, Any], tmp_path: Path) -> None:
    spec = read(cloud)
    assert spec.sha256 == hashlib.sha256((tmp_path / "some.npy").read_bytes()).hexdigest()
    assert spec.file == tmp_path / "some.npy"
    assert ADAPTER.validate_json(spec.model_dump_json()) == spec
    np.save(tmp_path / "some.npy", POINTS + 1)
    (message,) = mistakes(json.loads(spec.model_dump_json()))
    assert message.startswith("sha256 must be that of the content of `path`, ")
    assert read(cloud).model_dump_json() != spec.model_dump_json()


def test_a_stored_spec_can_be_read_without_its_file(cloud: dict[str, Any], tmp_path: Path) -> None:
    stored = read(cloud).model_dump_json()
    (tmp_path / "some.npy").unlink()
    assert ADAPTER.validate_json(stored).dim == 3
    (message,) = mistakes(cloud)
    assert message.startswith("path must be a file of points, got ")
    assert "No such file" in message
    assert "LNETS_DATA" in message


def test_files_of_points_are_npy_or_parquet(cloud: dict[str, Any], tmp_path: Path) -> None:
    (message,) = mistakes({**cloud, "path": "some.csv"})
    assert message == "path must end in .npy or .parquet, got some.csv; convert the file"
    (message,) = mistakes({**cloud, "support": [1.0, 1.0]})
    assert message.startswith("support must have low < high")
    (message,) = mistakes({**cloud, "sha256": "A" * 64})
    assert message.startswith("sha256 ")


def pair(tiny: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {**tiny["experiment"], "distrib1": first, "distrib2": second}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({**IMAGES, "classes": [1, 2]}, {**IMAGES, "classes": [2]}),
        (IMAGES, {**IMAGES, "classes": [2]}),
        ({**IMAGES, "dataset": "mnist"}, IMAGES),
        ({**IMAGES, "classes": [4]}, {**IMAGES, "dataset": "mnist"}),
    ],
)
def test_images_that_can_be_samples_of_both_are_refused(
    tiny: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    (message,) = mistakes(pair(tiny, first, second), WassersteinSpec)
    assert message.startswith("distrib2 must share no class with distrib1")


def test_other_images_are_accepted(tiny: dict[str, Any]) -> None:
    for first, second in (
        ({**IMAGES, "classes": [1]}, {**IMAGES, "dataset": "mnist", "classes": [2]}),
        (IMAGES, {**IMAGES, "dataset": "fashion_mnist"}),
        (IMAGES, {**GAUSSIAN, "dim": 784}),
    ):
        WassersteinSpec.model_validate_json(json.dumps(pair(tiny, first, second)))


def test_a_file_of_points_cannot_be_on_both_sides(
    tiny: dict[str, Any], cloud: dict[str, Any], tmp_path: Path
) -> None:
    other = {**cloud, "path": "copy.npy"}
    np.save(tmp_path / "copy.npy", POINTS)
    (message,) = mistakes(pair(tiny, cloud, other), WassersteinSpec)
    assert message.startswith("distrib2 must have other points than distrib1")
    assert "copy.npy" in message
    np.save(tmp_path / "copy.npy", POINTS + 1)
    WassersteinSpec.model_validate_json(json.dumps(pair(tiny, cloud, other)))


def test_more_exact_points_than_anything_holds_are_refused(tiny: dict[str, Any]) -> None:
    (message,) = mistakes({**tiny["experiment"], "exact_points": 20_001}, WassersteinSpec)
    assert message.startswith("exact_points ")
    assert "20000" in message


GENERATED = {"type": "gan_samples", "gan": "generator", "side": "generated", "dataset": "mnist_5k"}
REAL = {**GENERATED, "side": "real"}


@pytest.mark.parametrize(
    ("first", "second", "parts"),
    [
        (REAL, REAL, ["must share no class"]),
        (REAL, IMAGES, ["must share no class"]),
        ({**IMAGES, "dataset": "mnist"}, REAL, ["must share no class"]),
        *((*pair, ["may have been trained on what is held out", "mnist_5k", "take mnist"])
          for generated in [{**GENERATED, "dataset": "mnist"}]
          for pair in ((generated, REAL), (REAL, generated), (generated, IMAGES),
                       (IMAGES, generated))),
    ],
)  # fmt: skip
def test_bounds_need_images_that_neither_side_has_seen(
    tiny: dict[str, Any], first: dict[str, Any], second: dict[str, Any], parts: list[str]
) -> None:
    (message,) = mistakes(pair(tiny, first, second), WassersteinSpec)
    assert message.startswith("distrib2 must ")
    for part in parts:
        assert part in message


def test_generated_images_go_with_any_that_the_gan_has_not_seen(tiny: dict[str, Any]) -> None:
    for first, second in (
        (GENERATED, REAL),
        (REAL, GENERATED),
        (IMAGES, GENERATED),
        (GENERATED, {**GENERATED, "gan": "another"}),
        (GENERATED, GENERATED),
        (GENERATED, {**REAL, "dataset": "fashion_mnist"}),
        ({**REAL, "dataset": "fashion_mnist"}, IMAGES),
    ):
        WassersteinSpec.model_validate_json(json.dumps(pair(tiny, first, second)))


def test_samples_of_a_gan_have_its_shape() -> None:
    assert read(GENERATED).shape == (784,)
    assert read({**REAL, "flatten": False}).shape == (1, 28, 28)
    bedrooms = {**GENERATED, "dataset": "lsun_bed"}
    assert read({**bedrooms, "image_size": 32}).shape == (3 * 32 * 32,)
    for data, part in (
        (bedrooms, "image_size is required"),
        ({**GENERATED, "image_size": 28}, "image_size must be left out"),
        ({**GENERATED, "gan": "No name"}, "gan must be a trial's key"),
        ({**GENERATED, "side": "fake"}, "side must be"),
    ):
        (message,) = mistakes(data)
        assert part in message
