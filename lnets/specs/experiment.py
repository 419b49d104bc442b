"""One experiment: all that determines a trial except its seed."""

import math
from abc import abstractmethod
from typing import ClassVar

from pydantic import Field

from lnets.specs.metrics import Metric
from lnets.specs.model import ModelSpec
from lnets.specs.network import Shape
from lnets.specs.optim import OptimSpec, Precision
from lnets.specs.projections import EpochProjectionSpec, UpdateProjectionSpec
from lnets.specs.spec import Spec


class ExperimentSpec(Spec):
    """What the experiments of all tasks have."""

    unit: ClassVar[str] = "epochs"
    """In what the training's length is counted."""
    pauses_together: ClassVar[bool] = False
    """Whether trials that are trained together can pause."""

    task: str
    """What a trial does."""
    model: ModelSpec
    """What is trained."""
    optim: OptimSpec
    """How it is trained."""
    per_update_proj: UpdateProjectionSpec | None = None
    """How raw weights are projected after each update; null leaves them."""
    per_epoch_proj: EpochProjectionSpec | None = None
    """How raw weights are projected at the start of epochs; null leaves them."""
    log_every: int = Field(100, ge=1)
    """Steps between two points of the learning curve."""
    precision: Precision = "float32"
    """In what the large products of training are computed: `bf16` is faster where the processor or
    GPU has it, and refused elsewhere. Weights, what keeps them orthonormal and every bound stay
    in float32 and float64."""

    @property
    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """What a finished trial reports; by the first, configurations are compared by default."""

    @property
    @abstractmethod
    def input_batch(self) -> Shape:
        """Shape of what the model is given in a training step."""

    @abstractmethod
    def pause_at(self, share: float) -> int | None:
        """Where training pauses when a share of it is done, rounded up to where it can.

        Args:
            share: Above 0; 1 is all of it.

        Returns:
            In the task's own unit, steps or epochs; None where that is the end.
        """

    def why_alone(self) -> str | None:
        """The reason why trials must be trained one by one; None if they need not."""
        return self.model.why_not_stacked()

    def why_not_shared(self, workers: int) -> str | None:
        """The reason why so many processes cannot train one trial together; None if they can.

        Args:
            workers: More than one.
        """
        return f"trials of {self.task} are trained by one process"


def rounded_share(share: float, length: int, unit: int) -> int | None:
    """A share of a length, rounded up to a multiple of a unit; None if that is not below it."""
    # Shares such as 1/3 are not exact.
    reached = unit * math.ceil(share * length / unit - 1e-9)
    return reached if reached < length else None
