"""Image data of a spec."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, assert_never

import torch

from lnets.data.images import Augmentation, ImageData, ImageSplits, Source
from lnets.data.splits import Split, halves, split_by_fraction, split_per_class
from lnets.errors import DataError, SpecError
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
from lnets.specs.gan import GanDataSpec
from lnets.specs.index_files import write_indices
from lnets.specs.spec import nearest


def build_data(spec: DataSpec, device: torch.device) -> ImageSplits:
    """What to train on, validate with and test on; the same object as the last time if it can be.

    Raises:
        DataError: If the data set is not there, or is damaged.
        SpecError: If it has not what the split asks for.
    """
    return _loaded(spec, data_folder().absolute(), device)


class SampleImages(NamedTuple):
    """The images of a distribution."""

    train: ImageData
    """What is trained on."""
    held_out: ImageData
    """What bounds are computed on."""


def build_sample_images(
    dataset: DatasetName,
    device: torch.device,
    *,
    image_size: int | None = None,
    classes: tuple[int, ...] | None = None,
    max_images: int | None = None,
) -> SampleImages:
    """Training and test images, or halves of a data set that has no test images of its own.

    Args:
        dataset: Which.
        device: Where to put them.
        image_size: Of the data sets whose images differ in size.
        classes: Labels of the images to take; None takes all.
        max_images: Of each part at most, always the same ones; None takes all.

    Raises:
        DataError: If the data set is not there, is damaged, or has fewer than two such images in
            one of the parts.
    """
    root = data_folder().absolute()
    return _sampled(dataset, root, image_size, classes, max_images, device)


def build_gan_images(spec: GanDataSpec, device: torch.device) -> SampleImages:
    """What a GAN is trained on, and what it never sees.

    Raises:
        DataError: As `build_sample_images` does.
    """
    return build_sample_images(
        spec.dataset, device, image_size=spec.image_size, max_images=spec.max_images
    )


def open_source(
    dataset: DatasetName, root: Path, train: bool | None, image_size: int | None
) -> Source:
    """The images of a data set, not read yet where they are many.

    Args:
        dataset: Which.
        root: Folder of all data sets.
        train: Whether the training images are wanted, else the test images; None wants all of a
            data set that has no test images of its own.
        image_size: Of the data sets whose images differ in size.

    Raises:
        DataError: If they are not there, or are damaged.
    """
    from lnets.data import folders, readers  # a second of imports

    if train is None:
        assert not DATASETS[dataset].has_test
        return readers.read_digits(None) if dataset == "digits" else readers.read_mnist_5k(None)
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
            return Split(*map(torch.tensor, spec.read(len(labels))))
        case _:
            assert_never(spec)


def write_split(
    dataset: str, folder: str, *, per_class: int, validation_per_class: int, seed: int
) -> list[Path]:
    """Write a class-balanced split of a data set as index files; returns the files.

    Args:
        dataset: Its name.
        folder: Where to, below that of the data sets as `split.folder` is; it is made.
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
    return write_indices(data_folder() / folder, split.train.tolist(), split.validation.tolist())


# A worker's next trial mostly has the same data, which then take no second to read.
@lru_cache(maxsize=1)
def _loaded(spec: DataSpec, root: Path, device: torch.device) -> ImageSplits:
    train, test = (open_source(spec.dataset, root, half, spec.image_size) for half in (True, False))
    split = build_split(spec.split, train.labels)
    return ImageSplits(
        train=_read(spec.dataset, train, split.train, device),
        validation=_read(spec.dataset, train, split.validation, device),
        test=_read(spec.dataset, test, torch.arange(len(test.labels)), device),
        augmentation=Augmentation(spec.augment.crop_padding, spec.augment.flip),
    )


# Both distributions of the next trial may have the same images.
@lru_cache(maxsize=2)
def _sampled(
    dataset: DatasetName,
    root: Path,
    image_size: int | None,
    classes: tuple[int, ...] | None,
    max_images: int | None,
    device: torch.device,
) -> SampleImages:
    parts = []
    for source, index in _halves(dataset, root, image_size):
        if classes is not None:
            index = index[torch.isin(source.labels[index], torch.tensor(classes))]
        if max_images is not None and len(index) > max_images:
            order = torch.randperm(len(index), generator=torch.Generator().manual_seed(0))
            index = index[order[:max_images]]
        if len(index) < 2:
            raise DataError(
                f"{dataset}: must have 2 images of classes {classes} to train on, and 2 to hold "
                f"out, got {len(index)}; take other classes"
            )
        parts.append(_read(dataset, source, index, device))
    return SampleImages(*parts)


@lru_cache(maxsize=1)
def _halves(
    dataset: DatasetName, root: Path, image_size: int | None
) -> list[tuple[Source, torch.Tensor]]:
    """Where the images to train on and those held out are."""
    if DATASETS[dataset].has_test:
        sources = [open_source(dataset, root, train, image_size) for train in (True, False)]
        return [(source, torch.arange(len(source.labels))) for source in sources]
    # Halves of the whole data set: an image is held out whatever classes are asked for.
    whole = open_source(dataset, root, None, image_size)
    return [(whole, half) for half in halves(len(whole.labels))]


def _read(
    dataset: DatasetName, source: Source, index: torch.Tensor, device: torch.device
) -> ImageData:
    images, labels = source.read(index).to(device), source.labels[index].to(device)
    return ImageData(dataset, images, labels, DATASETS[dataset].num_classes)
