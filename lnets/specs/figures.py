"""What trials leave for figures: landscapes of critics, and singular values of layers."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from lnets.specs.distributions import Coordinate
from lnets.specs.spec import Broken, Spec, rule_broken

FIGURES = "figures"
"""Folder of a trial's pictures."""
LANDSCAPES = "landscapes"
"""Folder of a trial's landscapes: `<view>/step_<step>.npz`."""
SINGULAR_VALUES = "singular_values.npz"
"""A trial's file of them."""
ROBUSTNESS = "robustness.npz"
"""Of a classifier under attack: accuracies by epsilon, certified radii, distances."""
ROBUSTNESS_NOTES = "robustness.json"
"""What numbers do not say."""
GALLERY = "gallery.npz"
"""Images that attacks have turned."""
INPUT_GRADIENTS = "input_gradients.npz"
"""Of images of each class."""
JACOBIANS = "jacobians.npz"
"""Singular values of Jacobians at images."""
MAX_POINTS = 250_000
"""Of one grid, at each of which a critic is evaluated."""

Interval: TypeAlias = tuple[Coordinate, Coordinate]
FigureType = Literal["contour", "contourf", "surface"]
Views = Annotated[int, Field(ge=0, le=16)]


def num_points(interval: Interval, step: float) -> int:
    """Points of a grid that starts at one end of an interval and does not leave it."""
    low, high = interval
    return math.floor((high - low) / step * (1 + 1e-12)) + 1


class SingularValuesSpec(Spec):
    """Singular values of every layer over the course of training."""

    every: int = Field(ge=1)
    """Steps between two records of them; the first is before training, the last after it."""


class _LandscapeSpec(Spec):
    every: int | None = Field(None, ge=1)
    """Steps between two landscapes while training, from before the first step on; null leaves the
    one at the end only."""


class LineSpec(_LandscapeSpec):
    """A critic of numbers, as a graph."""

    type: Literal["line"]
    xrange: Interval
    """Ends of the interval, in input units."""
    step: float = Field(ge=1e-9, le=1e6)
    """Distance of two points, in input units."""

    @model_validator(mode="after")
    def _grid_is_sensible(self) -> Self:
        problems = _bad_grid({"xrange": self.xrange}, self.step)
        if problems:
            raise rule_broken(*problems)
        return self


class PlaneSpec(_LandscapeSpec):
    """A critic of points in the plane, as contours and surfaces."""

    type: Literal["plane"]
    xrange: Interval
    """Ends of the first coordinate, in input units."""
    yrange: Interval
    """Ends of the second coordinate, in input units."""
    step: float = Field(ge=1e-9, le=1e6)
    """Distance of two points along either axis, in input units."""
    fig_types: tuple[FigureType, ...] = Field(("contourf",), min_length=1)
    """How it is drawn: lines of equal value, filled ones, a surface; each from every direction."""
    elev: tuple[Annotated[float, Field(ge=-90, le=90)], ...] = Field((90.0,), min_length=1)
    """Directions to look from, in degrees above the plane; 90 gives a flat map."""
    azim: tuple[Annotated[float, Field(ge=-360, le=360)], ...] = Field((-60.0,), min_length=1)
    """Directions to look from, in degrees around the axis of values; flat maps have none."""

    @model_validator(mode="after")
    def _grid_is_sensible(self) -> Self:
        problems = _bad_grid({"xrange": self.xrange, "yrange": self.yrange}, self.step)
        for name in ("fig_types", "elev", "azim"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                problems.append(((name,), f"must differ, got {[*values]}; leave out the doubles"))
        if problems:
            raise rule_broken(*problems)
        return self


class SlicesSpec(_LandscapeSpec):
    """A critic of points with two numbers or more, on planes and lines through held-out samples.

    Coordinates are distances in input units, so a slope in a picture is one of the critic.
    """

    type: Literal["slices"]
    planes: Views = 1
    """Planes, each through a sample of `distrib1` and two of `distrib2`."""
    lines: Views = 1
    """Lines, each through a sample of `distrib1` and one of `distrib2`."""
    resolution: int = Field(101, ge=2, le=500)
    """Points along each axis, which reaches a quarter beyond the samples."""

    @model_validator(mode="after")
    def _something_is_cut(self) -> Self:
        if not self.planes and not self.lines:
            message = "must not be 0 where lines is 0 too; ask for one, or leave landscape out"
            raise rule_broken((("planes",), message))
        return self


LandscapeSpec = Annotated[LineSpec | PlaneSpec | SlicesSpec, Field(discriminator="type")]


def bad_landscape(landscape: LandscapeSpec, numbers: int) -> Iterator[Broken]:
    """Where a landscape is not for samples of so many numbers.

    Args:
        landscape: Of a critic.
        numbers: Per sample.
    """
    fitting = {1: "line", 2: "plane"}.get(numbers, "slices")
    if landscape.type != fitting and not (landscape.type == "slices" and numbers > 1):
        message = (
            f"must be `{fitting}` for samples of {numbers} numbers, got `{landscape.type}`: a line "
            "is for 1, a plane for 2, slices are for 2 or more"
        )
        yield ("type",), message


def _bad_grid(intervals: dict[str, Interval], step: float) -> list[Broken]:
    falling = [(name, ends) for name, ends in intervals.items() if ends[0] >= ends[1]]
    if falling:
        rule = "must rise, got [{:g}, {:g}]; write the lower end first"
        return [((name,), rule.format(*ends)) for name, ends in falling]
    counts = [num_points(ends, step) for ends in intervals.values()]
    if min(counts) < 2:
        message = f"must leave two points on an axis, got {step:g}; choose a smaller value"
    elif math.prod(counts) > MAX_POINTS:
        shown = " × ".join(f"{count:,}" for count in counts)
        message = (
            f"must leave {MAX_POINTS:,} points at most, got {step:g}, which leaves {shown}; choose "
            "a larger value"
        )
    else:
        return []
    return [(("step",), message)]
