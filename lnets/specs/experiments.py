"""The experiments of all tasks."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from lnets.specs.classification import ClassificationSpec
from lnets.specs.gan import GanSpec
from lnets.specs.wasserstein import WassersteinSpec

AnyExperiment = Annotated[
    WassersteinSpec | ClassificationSpec | GanSpec, Field(discriminator="task")
]
"""What every trial of a sweep does; `task` says which."""

EXPERIMENT: TypeAdapter[WassersteinSpec | ClassificationSpec | GanSpec] = TypeAdapter(AnyExperiment)
"""Reads any of them."""
