"""Data sets of a few images, in the files that the real ones come in."""

import gzip
import hashlib
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torch import Tensor
from torchvision import datasets

from lnets.specs.data import DATASETS, DatasetName

SIDE = 16
"""Of images in the data sets that fix none."""


class Half(NamedTuple):
    images: Tensor
    labels: Tensor


class Tiny(NamedTuple):
    train: Half
    test: Half
    file: Path
    """One whose loss of its end must be noticed."""


def tiny_mnist(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return _idx("mnist", root / "MNIST" / "raw", monkeypatch)


def tiny_fashion_mnist(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return _idx("fashion_mnist", root / "FashionMNIST" / "raw", monkeypatch)


def tiny_debian_fashion_mnist(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.setenv("LNETS_FASHION_MNIST", str(root / "debian"))
    return _idx("fashion_mnist", root / "debian", monkeypatch, gzip.compress, ".gz")


def tiny_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    folder = root / "cifar-10-batches-py"
    batches = [f"data_batch_{i}" for i in range(1, 6)]
    return _cifar("cifar10", datasets.CIFAR10, folder, batches, "test_batch", "labels", monkeypatch)


def tiny_cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    folder = root / "cifar-100-python"
    return _cifar(
        "cifar100", datasets.CIFAR100, folder, ["train"], "test", "fine_labels", monkeypatch
    )


def tiny_svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    train, test = _half(20, 3, 32), _half(10, 3, 32)
    for name, half in (("train", train), ("test", test)):
        file = root / f"{name}_32x32.mat"
        # A zero has the label 10.
        labels = np.where(half.labels == 0, 10, half.labels).astype(np.uint8)[:, None]
        savemat(file, {"X": half.images.numpy().transpose(2, 3, 1, 0), "y": labels})
        known = datasets.SVHN.split_list[name]
        monkeypatch.setitem(datasets.SVHN.split_list, name, [known[0], file.name, _md5(file)])
    _sized("svhn", monkeypatch)
    return Tiny(train, test, root / "train_32x32.mat")


def tiny_stl10(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    folder = root / "stl10_binary"
    folder.mkdir()
    train, test = _half(20, 3, 96), _half(10, 3, 96)
    for name, half in (("train", train), ("test", test)):
        # Columns are written before rows, labels are counted from 1.
        pixels = half.images.numpy().transpose(0, 1, 3, 2).tobytes()
        (folder / f"{name}_X.bin").write_bytes(pixels)
        (folder / f"{name}_y.bin").write_bytes((half.labels + 1).to(torch.uint8).numpy().tobytes())
    (folder / "unlabeled_X.bin").write_bytes(bytes(3 * 96 * 96))
    for table in ("train_list", "test_list"):
        names = [name for name, _ in getattr(datasets.STL10, table)]
        monkeypatch.setattr(datasets.STL10, table, [[n, _md5(folder / n)] for n in names])
    _sized("stl10", monkeypatch)
    return Tiny(train, test, folder / "train_X.bin")


def tiny_lsun_bed(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    halves = []
    for name in ("train", "val"):
        half = _half(20, 3, SIDE)
        with (
            lmdb.open(str(root / f"bedroom_{name}_lmdb"), map_size=2**24) as database,
            database.begin(write=True) as transaction,
        ):
            for i, image in enumerate(half.images):
                transaction.put(b"%04d" % i, _png(image))
        halves.append(Half(half.images, torch.zeros(20, dtype=torch.int64)))
    _sized("lsun_bed", monkeypatch, test_images=20)
    return Tiny(*halves, root / "bedroom_train_lmdb" / "data.mdb")


def tiny_imagenet(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    halves = []
    for name in ("train", "val"):
        half = _half(20, 3, SIDE)
        order = half.labels.argsort(stable=True)
        for i, (image, label) in enumerate(zip(half.images, half.labels, strict=True)):
            file = root / "imagenet" / name / f"n{int(label):08}" / f"{name}_{i:04}.JPEG"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_png(image))  # what is inside decides, and this loses nothing
        halves.append(Half(half.images[order], half.labels[order]))
    _sized("imagenet", monkeypatch, test_images=20, num_classes=10)
    return Tiny(*halves, next((root / "imagenet" / "train" / "n00000000").iterdir()))


WRITERS: dict[str, Callable[[Path, pytest.MonkeyPatch], Tiny]] = {
    "mnist": tiny_mnist,
    "fashion_mnist": tiny_fashion_mnist,
    "cifar10": tiny_cifar10,
    "cifar100": tiny_cifar100,
    "svhn": tiny_svhn,
    "stl10": tiny_stl10,
    "lsun_bed": tiny_lsun_bed,
    "imagenet": tiny_imagenet,
}


def _sized(dataset: DatasetName, monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    sizes = {"train_images": 20, "test_images": 10, **sizes}
    monkeypatch.setitem(DATASETS, dataset, DATASETS[dataset]._replace(**sizes))


def _half(n: int, channels: int, side: int) -> Half:
    """Random images, as many of each of ten classes."""
    generator = torch.Generator().manual_seed(n * side)
    shape = (n, channels, side, side)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return Half(images, torch.arange(n) % 10)


def _idx(
    dataset: DatasetName,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    packed: Callable[[bytes], bytes] = bytes,
    suffix: str = "",
) -> Tiny:
    _sized(dataset, monkeypatch)
    folder.mkdir(parents=True)
    train, test = _half(20, 1, 28), _half(10, 1, 28)
    for name, half in (("train", train), ("t10k", test)):
        pixels = struct.pack(">4I", 0x803, len(half.images), 28, 28) + half.images.numpy().tobytes()
        labels = struct.pack(">2I", 0x801, len(half.labels)) + bytes(half.labels.tolist())
        (folder / f"{name}-images-idx3-ubyte{suffix}").write_bytes(packed(pixels))
        (folder / f"{name}-labels-idx1-ubyte{suffix}").write_bytes(packed(labels))
    return Tiny(train, test, folder / f"train-images-idx3-ubyte{suffix}")


def _cifar(
    dataset: DatasetName,
    kind: type[datasets.CIFAR10],
    folder: Path,
    batches: list[str],
    test_batch: str,
    labels: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Tiny:
    _sized(dataset, monkeypatch)
    folder.mkdir()
    train, test = _half(20, 3, 32), _half(10, 3, 32)
    for names, half in ((batches, train), ([test_batch], test)):
        for name, images, targets in zip(
            names,
            half.images.chunk(len(names)),
            half.labels.chunk(len(names)),
            strict=True,
        ):
            batch = {"data": images.flatten(1).numpy(), labels: targets.tolist()}
            (folder / name).write_bytes(pickle.dumps(batch))
    meta = folder / kind.meta["filename"]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: [str(i) for i in range(10)]}))
    monkeypatch.setattr(kind, "train_list", [[name, _md5(folder / name)] for name in batches])
    monkeypatch.setattr(kind, "test_list", [[test_batch, _md5(folder / test_batch)]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": _md5(meta)})
    return Tiny(train, test, folder / batches[0])


def _md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def _png(image: Tensor) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(stream, "PNG")
    return stream.getvalue()
