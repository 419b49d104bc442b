"""The experiments of all tasks."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from lnets.specs.classification import ClassificationSpec
from lnets.specs.robustness import RobustnessSpec
from lnets.specs.wasserstein import WassersteinSpec

AnyExperiment = Annotated[
    WassersteinSpec | ClassificationSpec | RobustnessSpec, Field(discriminator="task")
]
"""What every trial of a sweep does; `task` says which."""

EXPERIMENT: TypeAdapter[WassersteinSpec | ClassificationSpec | RobustnessSpec] = TypeAdapter(
    AnyExperiment
)
"""Reads any of them."""
