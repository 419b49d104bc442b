"""Distributions between which Wasserstein distances are estimated."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.data import DATASETS, DatasetName, ImageSize
from lnets.specs.gan_samples import GanSamplesSpec
from lnets.specs.spec import Spec, rule_broken

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
Size = Annotated[int, Field(ge=1)]


class MultiSphericalShellSpec(Spec):
    """Uniform on spheres of equal radius whose centres lie on the first axis."""

    type: Literal["multi_spherical_shell"]
    dim: int = Field(ge=1, le=65536)
    """Dimension of the space that the spheres are in."""
    radius: float = Field(ge=0, le=1e6)
    """Radius of every sphere; 0 gives the centres themselves."""
    center_x: tuple[Coordinate, ...] = Field((0.0,), min_length=1)
    """First coordinate of each centre; a sample picks one of them at random."""
    empty_dim: int = Field(0, ge=0, le=65536)
    """Further dimensions that are always 0."""
    reshape_to_grid: tuple[Size, Size] | None = None
    """Height and width when samples are to be one-channel grids; null leaves vectors."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return (1, *self.reshape_to_grid) if self.reshape_to_grid else (self.size,)

    @property
    def size(self) -> int:
        """Numbers per sample."""
        return self.dim + self.empty_dim

    @model_validator(mode="after")
    def _grid_holds_all_dimensions(self) -> Self:
        if self.reshape_to_grid is not None:
            height, width = self.reshape_to_grid
            if height * width != self.size:
                message = (
                    "must have height × width = dim + empty_dim, got "
                    f"{height} × {width} = {height * width} and {self.size}"
                )
                raise rule_broken((("reshape_to_grid",), message))
        return self


class ImageSamplesSpec(Spec):
    """Real images of chosen classes, pixels in [0, 1].

    One half of the images is trained on, the other half gives the bounds.
    """

    type: Literal["image_samples"]
    dataset: DatasetName
    """`digits`: the 1,797 handwritten digits of 8 × 8 pixels that scikit-learn ships."""
    image_size: ImageSize | None = None
    classes: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(None, min_length=1)
    """Labels of the images to take; null takes all."""
    flatten: bool = True
    """Whether samples are vectors; false keeps images: (channels, height, width)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return (self.size,) if self.flatten else DATASETS[self.dataset].shape(self.image_size)

    @property
    def size(self) -> int:
        """Numbers per sample."""
        return math.prod(DATASETS[self.dataset].shape(self.image_size))

    def shares_images_with(self, other: "ImageSamplesSpec") -> bool:
        """Whether an image can be a sample of both."""
        if self.dataset != other.dataset:
            return False
        every = range(DATASETS[self.dataset].num_classes)
        return not set(self.classes or every).isdisjoint(other.classes or every)

    @model_validator(mode="after")
    def _classes_exist(self) -> Self:
        known = DATASETS[self.dataset].num_classes
        if self.classes and len(set(self.classes)) < len(self.classes):
            message = f"must differ, got {list(self.classes)}; leave out the doubles"
            raise rule_broken((("classes",), message))
        for label in self.classes or ():
            if label >= known:
                message = (
                    f"must be labels of the data set, got {label}; {self.dataset} has 0 to "
                    f"{known - 1}"
                )
                raise rule_broken((("classes",), message))
        return self


DistributionSpec = Annotated[
    MultiSphericalShellSpec | ImageSamplesSpec | GanSamplesSpec, Field(discriminator="type")
]
