"""Images of a GAN, or those that it was trained on, as a distribution."""

import math
from typing import Literal, Self

from pydantic import model_validator

from lnets.specs.data import DATASETS, DatasetName, ImageSize, bad_image_size
from lnets.specs.network import Shape
from lnets.specs.references import TrialReference
from lnets.specs.spec import Spec, rule_broken


class GanSamplesSpec(Spec):
    """Images that a trained GAN generates, or real images beside them, pixels in [0, 1]."""

    type: Literal["gan_samples"]
    gan: TrialReference
    """The trained GAN."""
    side: Literal["generated", "real"]
    """`generated`: independent samples of its generator in evaluation mode; `real`: what
    `image_samples` of its data set are, of which it has seen those to train on only."""
    dataset: DatasetName
    """Data set that the GAN was trained on."""
    image_size: ImageSize | None = None
    """Height and width where those of the data set differ, as in the GAN's `data`."""
    flatten: bool = True
    """Whether samples are vectors; false keeps images: (channels, height, width)."""

    @property
    def shape(self) -> Shape:
        """Of one sample."""
        return (self.size,) if self.flatten else self.image_shape

    @property
    def size(self) -> int:
        """Numbers per sample."""
        return math.prod(self.image_shape)

    @property
    def image_shape(self) -> Shape:
        """Channels, height and width."""
        return DATASETS[self.dataset].shape(self.image_size)

    @model_validator(mode="after")
    def _images_have_a_size(self) -> Self:
        problem = bad_image_size(self.dataset, self.image_size)
        if problem is not None:
            raise rule_broken(problem)
        return self
