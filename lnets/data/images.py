"""Labelled images in memory, pixels in [0, 1]."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Num
from torch import Generator, Tensor
from torch.nn.functional import pad

from lnets.errors import DataError


@dataclass(frozen=True)
class ImageData:
    """Images and their labels, on one device.

    Raises:
        DataError: If pixels are not finite numbers in [0, 1], or labels are not below
            `num_classes`.
    """

    name: str
    """The data set's."""
    images: Num[Tensor, "n channels height width"]
    """As they are kept: bytes, of which 255 is a pixel of 1, or float32."""
    labels: Int[Tensor, " n"]
    """From 0."""
    num_classes: int
    """Labels are below it."""

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8:
            assert self.images.dtype == torch.float32
            wrong = ~((self.images >= 0) & (self.images <= 1)).flatten(1).all(dim=1)
            if wrong.any():
                raise DataError(
                    f"{self.name}: pixels must be finite numbers from 0 to 1, but image "
                    f"{int(wrong.nonzero()[0])} has others; get the data set anew"
                )
        strange = self.labels[(self.labels < 0) | (self.labels >= self.num_classes)]
        if len(strange):
            raise DataError(
                f"{self.name}: labels must be 0 to {self.num_classes - 1}, got "
                f"{int(strange[0])}; get the data set anew"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def spread(self, count: int | None) -> "ImageData":
        """So many of them at most, evenly spread, since some data sets are sorted by class.

        Args:
            count: How many; None takes all.
        """
        if count is None or count >= len(self):
            return self
        index = torch.arange(count, device=self.labels.device) * len(self) // count
        return replace(self, images=self.images[index], labels=self.labels[index])

    def pixels(self, index: Int[Tensor, " batch"] | slice) -> Float[Tensor, "batch *shape"]:
        """Images as networks see them: float32 in [0, 1]."""
        return to_pixels(self.images[index])


def to_pixels(images: Num[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
    """Bytes as float32 in [0, 1]; float32 as it is."""
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images


@dataclass(frozen=True)
class Augmentation:
    """Random crops and flips of whole batches, on the device that they are on."""

    crop_padding: int = 0
    """Black pixels added on each side before a crop of the original size; 0 does not crop."""
    flip: bool = False
    """Whether left and right change places in half of the images."""

    def __call__(
        self, images: Num[Tensor, "n channels height width"], generator: Generator
    ) -> Num[Tensor, "n channels height width"]:
        """New images, every one changed by its own draw.

        Args:
            images: Bytes or floats.
            generator: On the images' device.
        """
        n, _, height, width = images.shape
        device, padding = images.device, self.crop_padding
        if padding:
            shifts = torch.randint(2 * padding + 1, (2, n), generator=generator, device=device)
            # A view of every possible crop, of which indexing copies one per image.
            crops = pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
            images = crops[torch.arange(n, device=device), :, shifts[0], shifts[1]]
        if self.flip:
            flipped = torch.rand(n, 1, 1, 1, generator=generator, device=device) < 0.5
            images = torch.where(flipped, images.flip(3), images)
        return images


@dataclass(frozen=True)
class ImageSplits:
    """What an image task is given."""

    train: ImageData
    """To be trained on."""
    validation: ImageData
    """For choices during training; no images if none were held out."""
    test: ImageData
    """For the final figures, and nothing else."""
    augmentation: Augmentation = Augmentation()
    """Of training images."""

    def training_batch(
        self, index: Int[Tensor, " batch"], generator: Generator
    ) -> tuple[Float[Tensor, "batch channels height width"], Int[Tensor, " batch"]]:
        """Augmented images, float32 in [0, 1], and their labels.

        Args:
            index: Of images in `train`.
            generator: Of the augmentation, on the images' device.
        """
        images = self.augmentation(self.train.images[index], generator)
        return to_pixels(images), self.train.labels[index]


@dataclass(frozen=True)
class Source:
    """Images on disk: all labels, and a way to the images of some."""

    labels: Int[Tensor, " n"]
    read: Callable[[Tensor], Tensor]
    """Indices to images, as `ImageData` keeps them."""


def load_digits() -> tuple[Float[Tensor, "n 1 8 8"], Int[Tensor, " n"]]:
    """The 1,797 handwritten digits of 8 × 8 pixels that scikit-learn ships, and their labels."""
    from sklearn.datasets import load_digits as bundled  # a second of imports

    digits = bundled()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)
    return images.unsqueeze(1), torch.tensor(digits.target)
