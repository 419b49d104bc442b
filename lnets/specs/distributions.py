"""Distributions between which Wasserstein distances are estimated."""

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.data import DATASETS, ImagesSpec
from lnets.specs.network import Shape
from lnets.specs.point_cloud import PointCloudSpec
from lnets.specs.references import TrialReference
from lnets.specs.spec import Broken, Spec, rule_broken, show
from lnets.specs.vectors import VectorsSpec

if TYPE_CHECKING:
    from lnets.specs.experiment import ExperimentSpec

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
Deviation = Annotated[float, Field(gt=0, le=1e6)]
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
    def shape(self) -> Shape:
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


class SampledImagesSpec(ImagesSpec):
    """Images as a distribution."""

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


class ImageSamplesSpec(SampledImagesSpec):
    """Real images, pixels in [0, 1].

    Training images are trained on, test images give the bounds. digits and mnist_5k have no test
    images of their own: one half of them is trained on, the other half gives the bounds.
    """

    type: Literal["image_samples"]
    classes: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(None, min_length=1)
    """Labels of the images to take; null takes all."""
    max_images: int | None = Field(None, ge=2)
    """Images to train on, and images held out, that are read at most: always the same ones; null
    reads all."""

    def why_dependent(self, other: Spec) -> str | None:
        """The rule that is broken where an image can be a sample of both; None if none can."""
        if isinstance(other, GanSamplesSpec):
            return other.why_dependent(self)
        if not isinstance(other, ImageSamplesSpec) or _family(self) != _family(other):
            return None
        every = range(DATASETS[self.dataset].num_classes)
        if set(self.classes or every).isdisjoint(other.classes or every):
            return None
        return (
            "must share no class with distrib1, because the bound needs independent samples, got "
            f"{show(other.classes)} and {show(self.classes)}"
        )

    @model_validator(mode="after")
    def _data_set_has_what_is_asked_for(self) -> Self:
        problem = self._bad_classes()
        if problem is not None:
            raise rule_broken(problem)
        return self

    def _bad_classes(self) -> Broken | None:
        known = DATASETS[self.dataset].num_classes
        if self.classes and len(set(self.classes)) < len(self.classes):
            message = f"must differ, got {list(self.classes)}; leave out the doubles"
            return ("classes",), message
        for label in self.classes or ():
            if label >= known:
                message = (
                    f"must be labels of the data set, got {label}; {self.dataset} has 0 to "
                    f"{known - 1}"
                )
                return ("classes",), message
        return None


class GanSamplesSpec(SampledImagesSpec):
    """Images that a trained GAN generates, or real images beside them, pixels in [0, 1]."""

    type: Literal["gan_samples"]
    gan: TrialReference
    """The trained GAN."""
    side: Literal["generated", "real"]
    """`generated`: independent samples of its generator in evaluation mode; `real`: the images of
    its data set, of which it has seen those to train on only."""

    def why_not_from(self, field: str, needed: "ExperimentSpec") -> str | None:
        """The trial is a GAN of such images."""
        from lnets.specs.gan import GanSpec  # which has samples of its own

        if not isinstance(needed, GanSpec):
            return f"a trial of {needed.task} has no generator"
        known, asked = ((d.dataset, list(d.image_shape)) for d in (needed.data, self))
        if asked == known:
            return None
        return (
            f"it is of {known[0]}, images of shape {known[1]}, and `dataset` and `image_size` say "
            f"{asked[0]} and {asked[1]}"
        )

    def why_dependent(self, other: Spec) -> str | None:
        """The rule that is broken where held-out images of one have shaped the other."""
        if isinstance(other, GanSamplesSpec) and self.side == "generated" != other.side:
            return other.why_dependent(self)
        if self.side == "real":
            images = ImageSamplesSpec(
                type="image_samples", dataset=self.dataset, image_size=self.image_size
            )
            return images.why_dependent(other)
        if not isinstance(other, ImageSamplesSpec) or other.dataset == self.dataset:
            return None
        if _family(self) != _family(other):
            return None
        return (
            "must be independent of distrib1, but a GAN may have been trained on what is held out: "
            f"{self.dataset} and {other.dataset} share images; take {self.dataset} for both"
        )


def _family(images: ImageSamplesSpec | GanSamplesSpec) -> str:
    """Where images come from: those of mnist_5k are some of MNIST's."""
    return images.dataset.removesuffix("_5k")


class GaussianSpec(VectorsSpec):
    """A normal distribution with independent coordinates."""

    type: Literal["gaussian"]
    mean: tuple[Coordinate, ...] = Field((0.0,), min_length=1)
    """Mean of each coordinate, or one number for all of them."""
    std: tuple[Deviation, ...] = Field((1.0,), min_length=1)
    """Standard deviation of each coordinate, or one number for all of them."""

    @model_validator(mode="after")
    def _every_coordinate_has_one(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.dim):
                message = f"must have one entry, or dim = {self.dim}, got {len(values)}"
                raise rule_broken(((name,), message))
        return self


class MinFunnelsSpec(VectorsSpec):
    """One side of a pair with a known distance and a known optimal critic.

    u(x) = minₙ(‖x − aₙ‖ + bₙ) has N funnels at random places. The target is uniform on the cube
    [−2.5, 2.5]^dim, the source is the target moved along the rays of u towards the funnels'
    centres.
    """

    type: Literal["min_funnels"]
    side: Literal["source", "target"]
    """`target`: uniform on the cube; `source`: moved."""
    dim: int = Field(ge=1, le=4096)
    """Dimension of the cube."""
    num_funnels: int = Field(ge=1, le=4096)
    """Funnels of u; one that is nowhere the lowest has no effect."""
    degree: float = Field(8.0, gt=1, le=1e3)
    """A point at the share t of its ray, counted from the centre, is moved to t^degree."""
    funnel_seed: int = Field(0, ge=0, le=2**31 - 1)
    """Of the funnels' places and heights; the same for all seeds of a sweep."""


DistributionSpec = Annotated[
    MultiSphericalShellSpec
    | ImageSamplesSpec
    | GanSamplesSpec
    | GaussianSpec
    | MinFunnelsSpec
    | PointCloudSpec,
    Field(discriminator="type"),
]
