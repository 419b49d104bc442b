"""Splits as files: `train.txt` and `validation.txt` in a folder, an index per line."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lnets.errors import SpecError, writing

_TRAIN, _VALIDATION = "train.txt", "validation.txt"
_MAX_DIGITS = 18


class Indices(NamedTuple):
    """Images of a data set's training images, by their place there, counted from 0."""

    train: tuple[int, ...]
    """What is trained on."""
    validation: tuple[int, ...]
    """What is held out for choices during training."""

    def sha256(self) -> str:
        """Identity of the split: 64 hex digits, the same however the files are laid out."""
        return hashlib.sha256(json.dumps(self).encode()).hexdigest()


def read_indices(folder: Path, num_images: int | None = None) -> Indices:
    """The split that a folder holds.

    Args:
        folder: Of the two files.
        num_images: How many training images the data set has; None takes any index.

    Raises:
        FileNotFoundError: If one of the files is not there.
        SpecError: If they are not lists of different whole numbers below `num_images` without a
            common one.
    """
    train, validation = (_read(folder / name, num_images) for name in (_TRAIN, _VALIDATION))
    shared = set(train) & set(validation)
    if shared:
        raise SpecError(
            f"{folder / _VALIDATION}: must share no index with {_TRAIN}, got {min(shared)} "
            f"({len(shared)} in all); take them out of one of the files"
        )
    return Indices(train, validation)


def write_indices(folder: Path, train: Sequence[int], validation: Sequence[int]) -> list[Path]:
    """Write a split into a folder, which is made; returns the files.

    Raises:
        SpecError: If that cannot be.
    """
    files = {folder / _TRAIN: train, folder / _VALIDATION: validation}
    for file, indices in files.items():
        with writing(file):
            file.write_text("".join(f"{index}\n" for index in indices), encoding="utf-8")
    return list(files)


def _read(file: Path, num_images: int | None) -> tuple[int, ...]:
    lines: dict[int, int] = {}
    for number, text in enumerate(file.read_bytes().splitlines(), start=1):
        if not text.isdigit() or len(text) > _MAX_DIGITS:
            shown = text[:40].decode(errors="replace")
            raise SpecError(
                f"{file}:{number}: must be an index of a training image, a whole number from 0 "
                f'on, got "{shown}"; write one per line'
            )
        index = int(text)
        if num_images is not None and index >= num_images:
            raise SpecError(
                f"{file}:{number}: must be at most {num_images - 1}, the last of the training "
                f"images, got {index}; are the index files another data set's?"
            )
        first = lines.setdefault(index, number)
        if first != number:
            raise SpecError(
                f"{file}:{number}: must differ from the indices before it, got {index}, first in "
                f"line {first}; leave out the doubles"
            )
    if not lines:
        raise SpecError(f"{file}: must have at least one index, got none; write one per line")
    return tuple(lines)
