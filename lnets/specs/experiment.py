"""One experiment: all that determines a trial except its seed."""

from abc import abstractmethod
from typing import Self

from pydantic import Field, model_validator

from lnets.specs.layers import BCOPConvSpec, OrthogonalLinearSpec
from lnets.specs.metrics import Metric
from lnets.specs.model import ModelSpec
from lnets.specs.network import Shape
from lnets.specs.optim import OptimSpec, Precision
from lnets.specs.projections import EpochProjectionSpec, UpdateProjectionSpec
from lnets.specs.spec import Spec, rule_broken


class ExperimentSpec(Spec):
    """What the experiments of all tasks have."""

    task: str
    """What a trial does."""

    @property
    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """What a finished trial reports; by the first, configurations are compared by default."""

    @abstractmethod
    def why_alone(self) -> str | None:
        """The reason why trials must be trained one by one; None if they need not."""

    def why_not_shared(self, workers: int) -> str | None:
        """The reason why so many processes cannot train one trial together; None if they can.

        Args:
            workers: More than one.
        """
        return f"trials of {self.task} are trained by one process"


class TrainingSpec(ExperimentSpec):
    """What the experiments have that train a network."""

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
    faithful: bool = False
    """Whether layers and projections are those of the original LNets code where those give other
    numbers (`docs/from-the-original.md`). Nothing is then proven or certified. `safe_scaling` of
    bjorck then chooses between √(out·in) and no scale at all."""
    precision: Precision = "float32"
    """In what the large products of training are computed: `bf16` is faster where the processor or
    GPU has it, and refused elsewhere. Weights, what keeps them orthonormal and every bound stay
    in float32 and float64."""

    @model_validator(mode="after")
    def _faithful_layers_are_those_of_the_original(self) -> Self:
        if not self.faithful:
            return self
        rule = "must be a layer that the original has where faithful is true, got"
        remedy = "use a bjorck layer, or leave faithful out"
        found = ((name, getattr(self.model, name, None)) for name in ("linear", "conv"))
        problems = [
            (("model", name, "type"), f"{rule} {layers.type}; {remedy}")
            for name, layers in found
            if isinstance(layers, (OrthogonalLinearSpec, BCOPConvSpec))
        ]
        if problems:
            raise rule_broken(*problems)
        return self

    @property
    @abstractmethod
    def input_batch(self) -> Shape:
        """Shape of what the model is given in a training step."""

    def why_alone(self) -> str | None:
        """What cannot be stacked is trained by itself."""
        return self.model.why_not_stacked()
