from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lnets.data.splits import split_by_fraction, split_per_class
from lnets.errors import SpecError
from lnets.specs.index_files import read_indices, write_indices

Labels = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(torch.tensor)
Seeds = st.integers(0, 2**31 - 1)


@given(Labels, st.floats(0.01, 1), st.floats(0, 0.99), Seeds)
def test_shares_are_of_every_class(
    labels: torch.Tensor, train: float, share_of_rest: float, seed: int
) -> None:
    validation = (1 - train) * share_of_rest
    try:
        split = split_by_fraction(labels, train, validation, seed)
    except SpecError as error:
        assert "at least one image" in str(error)  # noqa: PT017 - only some draws are impossible
        return
    assert not set(split.train.tolist()) & set(split.validation.tolist())
    for label in labels.unique():
        size = int((labels == label).sum())
        assert abs(int((labels[split.train] == label).sum()) - train * size) <= 1
        assert abs(int((labels[split.validation] == label).sum()) - validation * size) <= 0.5
    again = split_by_fraction(labels, train, validation, seed)
    assert torch.equal(split.train, again.train)
    assert torch.equal(split.validation, again.validation)


@given(Labels, st.integers(1, 8), st.integers(0, 4), Seeds)
def test_counts_are_those_of_every_class(
    labels: torch.Tensor, train: int, validation: int, seed: int
) -> None:
    sizes = labels.unique(return_counts=True)[1]
    if train + validation > sizes.min():
        with pytest.raises(SpecError, match=rf"at most {sizes.min()} images per class.*ask for fe"):
            split_per_class(labels, train, validation, seed)
        return
    split = split_per_class(labels, train, validation, seed)
    assert not set(split.train.tolist()) & set(split.validation.tolist())
    for indices, count in ((split.train, train), (split.validation, validation)):
        counted = labels[indices].unique(return_counts=True)[1].tolist()
        assert counted == ([count] * len(sizes) if count else [])
    if train > 1:
        fewer = split_per_class(labels, train - 1, validation, seed)
        assert set(fewer.train.tolist()) < set(split.train.tolist())
        assert torch.equal(fewer.validation, split.validation)


def test_seeds_draw_differently() -> None:
    labels = torch.arange(1000) % 10
    drawn = [split_per_class(labels, 30, 10, seed).train.tolist() for seed in range(3)]
    assert len({tuple(indices) for indices in drawn}) == 3


@given(st.permutations(range(12)), st.integers(1, 11))
def test_index_files_say_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], middle: int
) -> None:
    folder = tmp_path_factory.mktemp("split")
    write_indices(folder, order[:middle], order[middle:])
    indices = read_indices(folder)
    assert indices == (tuple(order[:middle]), tuple(order[middle:]))
    (folder / "train.txt").write_bytes((folder / "train.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert read_indices(folder).sha256() == indices.sha256()
    write_indices(folder, [*order[:middle], 12], order[middle:])
    assert read_indices(folder).sha256() != indices.sha256()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("3\n4\n3\n", r"train.txt:3: must differ from the indices before it, got 3, first in line"),
        ("3\n5\n", r"validation.txt: must share no index with train.txt, got 5 \(1 in all\)"),
        ("3\n-1\n", r'train.txt:2: must be an index .*got "-1"; write one per line'),
        ("3.000e+00\n", 'got "3.000e'),
        ("9" * 5000, 'got "9999'),
        ("3\n\n4\n", r'train.txt:2: .*got ""'),
        ("", "train.txt: must have at least one index, got none"),
    ],
)
def test_index_files_with_mistakes_are_refused(tmp_path: Path, train: str, message: str) -> None:
    write_indices(tmp_path, [0], [5])
    (tmp_path / "train.txt").write_text(train)
    with pytest.raises(SpecError, match=message):
        read_indices(tmp_path)


@pytest.mark.parametrize(("train", "file"), [([6, 0, 7], "train.txt:3"), ([6], "validation.txt:2")])
def test_indices_must_be_of_images_there_are(tmp_path: Path, train: list[int], file: str) -> None:
    validation = [3, 7] if file.startswith("v") else [3]
    write_indices(tmp_path, train, validation)
    assert read_indices(tmp_path, 8) == (tuple(train), tuple(validation))
    with pytest.raises(SpecError, match=rf"{file}: must be at most 6, .* got 7; .*another data"):
        read_indices(tmp_path, 7)
