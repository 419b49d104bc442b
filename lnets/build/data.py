"""Image data of a spec."""

from functools import lru_cache
from pathlib import Path
from typing import assert_never

import torch

from lnets.data.images import Augmentation, ImageData, ImageSplits, Source
from lnets.data.splits import Split, split_by_fraction, split_by_indices, split_per_class
from lnets.errors import SpecError
from lnets.specs.data import (
    DATASETS,
    DatasetName,
    DataSpec,
    FileSplitSpec,
    FractionSplitSpec,
    PerClassSplitSpec,
    SplitSpec,
    data_folder,
)
from lnets.specs.index_files import write_indices
from lnets.specs.spec import nearest


def build_data(spec: DataSpec, device: torch.device) -> ImageSplits:
    """What to train on, validate with and test on; the same object as the last time if it can be.

    Raises:
        DataError: If the data set is not there, or is damaged.
        SpecError: If it has not what the split asks for.
    """
    return _loaded(spec, data_folder().absolute(), device)


def open_source(dataset: DatasetName, root: Path, train: bool, image_size: int | None) -> Source:
    """The images of a data set, not read yet where they are many.

    Args:
        dataset: Which.
        root: Folder of all data sets.
        train: Whether the training images are wanted, else the test images.
        image_size: Of the data sets whose images differ in size.

    Raises:
        DataError: If they are not there, or are damaged.
    """
    from lnets.data import folders, readers  # a second of imports

    match dataset:
        case "digits":
            return readers.read_digits(train)
        case "mnist_5k":
            return readers.read_mnist_5k(train)
        case "mnist":
            return readers.read_mnist(root, train)
        case "fashion_mnist":
            return readers.read_fashion_mnist(root, train)
        case "cifar10":
            return readers.read_cifar10(root, train)
        case "cifar100":
            return readers.read_cifar100(root, train)
        case "svhn":
            return readers.read_svhn(root, train)
        case "stl10":
            return readers.read_stl10(root, train)
        case "lsun_bed":
            assert image_size is not None
            return folders.read_lsun_bed(root, train, image_size)
        case "imagenet":
            assert image_size is not None
            return folders.read_imagenet(root, train, image_size)
        case _:
            assert_never(dataset)


def build_split(spec: SplitSpec, labels: torch.Tensor) -> Split:
    """Which of the training images are trained on and which held out.

    Raises:
        SpecError: If there are no such images.
    """
    match spec:
        case FractionSplitSpec():
            return split_by_fraction(labels, spec.train, spec.validation, spec.seed)
        case PerClassSplitSpec():
            return split_per_class(labels, spec.train, spec.validation, spec.seed)
        case FileSplitSpec():
            return split_by_indices(len(labels), *spec.read())
        case _:
            assert_never(spec)


def write_split(
    dataset: str, folder: Path, *, per_class: int, validation_per_class: int, seed: int
) -> list[Path]:
    """Write a class-balanced split of a data set as index files; returns the files.

    Args:
        dataset: Its name.
        folder: Where to; it is made.
        per_class: Images of each class to train on.
        validation_per_class: Images of each class to hold out.
        seed: Of the draw; the same arguments write the same files.

    Raises:
        DataError: If the data set is not there, or is damaged.
        SpecError: If there is no such data set, it has fewer images, or files cannot be written.
    """
    if dataset not in DATASETS:
        raise SpecError(
            f"--dataset: must be a data set, got {dataset}; {nearest(dataset, DATASETS)}"
        )
    # The labels are the same for every image size.
    labels = open_source(dataset, data_folder(), True, image_size=1).labels
    split = split_per_class(labels, per_class, validation_per_class, seed)
    return write_indices(folder, split.train.tolist(), split.validation.tolist())


# A worker's next trial mostly has the same data, which then take no second to read.
@lru_cache(maxsize=1)
def _loaded(spec: DataSpec, root: Path, device: torch.device) -> ImageSplits:
    train, test = (open_source(spec.dataset, root, half, spec.image_size) for half in (True, False))
    split = build_split(spec.split, train.labels)

    def held(source: Source, index: torch.Tensor) -> ImageData:
        images, labels = source.read(index).to(device), source.labels[index].to(device)
        return ImageData(spec.dataset, images, labels, spec.num_classes)

    return ImageSplits(
        train=held(train, split.train),
        validation=held(train, split.validation),
        test=held(test, torch.arange(len(test.labels))),
        augmentation=Augmentation(spec.augment.crop_padding, spec.augment.flip),
    )
