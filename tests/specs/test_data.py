from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lnets.errors import SpecError
from lnets.specs.data import DATASETS, DataSpec, FileSplitSpec
from lnets.specs.index_files import write_indices
from lnets.specs.wording import worded


def mistakes(data: dict[str, Any]) -> list[str]:
    """Dotted path and message of each."""
    with pytest.raises(ValidationError) as caught:
        DataSpec.model_validate(data)
    return [
        f"{'.'.join(map(str, path))}: {message}"
        for _, path, message in worded(caught.value, DataSpec, data)
    ]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A data section whose split is files."""
    monkeypatch.setenv("LNETS_DATA", str(tmp_path))
    write_indices(tmp_path / "small", [0, 1], [2])
    return {"dataset": "mnist", "split": {"type": "files", "folder": "small"}}


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_tells_its_shape(dataset: str) -> None:
    data = {"dataset": dataset}
    if dataset in ("lsun_bed", "imagenet"):
        (message,) = mistakes(data)
        assert message.startswith("image_size: is required with")
        data["image_size"] = 64
        assert DataSpec.model_validate(data).image_shape == (3, 64, 64)
    else:
        (message,) = mistakes({**data, "image_size": 64})
        assert message.startswith(f"image_size: must be left out with {dataset}, whose images are")
    spec = DataSpec.model_validate(data)
    assert len(spec.image_shape) == 3
    assert spec.num_classes == DATASETS[spec.dataset].num_classes
    assert spec.has_validation
    assert DataSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"type": "fraction", "train": 0.9, "validation": 0.2}, "split.validation: must leave 1 −"),
        ({"type": "fraction", "train": 0}, "split.train: should be greater than 0"),
        ({"type": "per_class", "train": 395, "validation": 6}, "split.train: must leave at most 4"),
        ({"type": "per_class", "train": 0, "validation": 6}, "split.train: should be greater"),
        ({"type": "fractions"}, "split.type: must be `fraction`"),
        (
            {"type": "files", "folder": "nowhere", "sha256": "AB"},
            'split.sha256: must be 64 hex digits, which are filled in when left out, got "AB"',
        ),
    ],
)
def test_a_split_that_cannot_be_is_refused(split: dict[str, Any], message: str) -> None:
    (found,) = mistakes({"dataset": "mnist_5k", "split": split})
    assert found.startswith(message)


@pytest.mark.parametrize("tenths", range(1, 100))
def test_shares_that_are_the_whole_are_accepted(tenths: int) -> None:
    split = {"type": "fraction", "train": tenths / 100, "validation": (100 - tenths) / 100}
    DataSpec.model_validate({"dataset": "digits", "split": split})


def test_without_validation_none_is_promised() -> None:
    for split in (
        {"type": "fraction", "train": 1.0, "validation": 0.0},
        {"type": "per_class", "train": 5, "validation": 0},
    ):
        assert not DataSpec.model_validate({"dataset": "digits", "split": split}).has_validation


def test_what_index_files_say_is_part_of_the_spec(files: dict[str, Any], tmp_path: Path) -> None:
    spec = DataSpec.model_validate(files)
    assert isinstance(spec.split, FileSplitSpec)
    assert spec.split.read(3) == ((0, 1), (2,))
    with pytest.raises(SpecError, match=r"validation.txt:1: must be at most 1"):
        spec.split.read(2)
    assert DataSpec.model_validate(spec.model_dump()) == spec
    write_indices(tmp_path / "small", [0, 3], [2])
    with pytest.raises(SpecError, match="have changed since"):
        spec.split.read(4)
    (message,) = mistakes(spec.model_dump())
    assert message.startswith("split.sha256: must be that of the content of `folder`")
    changed = DataSpec.model_validate(files)
    assert changed.model_dump_json() != spec.model_dump_json()


def test_a_stored_spec_can_be_read_without_its_files(files: dict[str, Any], tmp_path: Path) -> None:
    stored = DataSpec.model_validate(files).model_dump_json()
    (tmp_path / "small" / "validation.txt").unlink()
    spec = DataSpec.model_validate_json(stored)
    assert isinstance(spec.split, FileSplitSpec)
    with pytest.raises(SpecError, match=r"validation.txt: no such file, .*LNETS_DATA"):
        spec.split.read(3)
    (message,) = mistakes(files)
    assert message.startswith("split.folder: must hold train.txt and validation.txt, got no ")
    assert message.endswith("; `lnets-sweep split small` writes them")


def test_mistakes_in_index_files_are_found_with_the_spec(
    files: dict[str, Any], tmp_path: Path
) -> None:
    write_indices(tmp_path / "small", [0, 2], [2])
    (message,) = mistakes(files)
    assert message.startswith("split.folder: must hold index files; ")
    assert "must share no index with train.txt, got 2" in message
    write_indices(tmp_path / "small", [0, 59_999], [60_000])
    (message,) = mistakes(files)
    assert message.startswith("split.folder: must hold index files of mnist; ")
    assert "validation.txt:1: must be at most 59999, " in message
    (tmp_path / "small" / "train.txt").unlink()
    (tmp_path / "small" / "train.txt").mkdir()
    assert "directory" in mistakes(files)[0].lower()
