"""The experiments of all tasks."""

from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter

from lnets.specs.classification import ClassificationSpec
from lnets.specs.gan import GanSpec
from lnets.specs.robustness import RobustnessSpec
from lnets.specs.wasserstein import WassersteinSpec

_Tasks: TypeAlias = WassersteinSpec | ClassificationSpec | GanSpec | RobustnessSpec

AnyExperiment = Annotated[_Tasks, Field(discriminator="task")]
"""What every trial of a sweep does; `task` says which."""

EXPERIMENT: TypeAdapter[_Tasks] = TypeAdapter(AnyExperiment, config=ConfigDict(defer_build=True))
"""Reads any of them."""
