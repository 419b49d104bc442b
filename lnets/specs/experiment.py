"""One experiment: all that determines a trial except its seed."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import Field, model_validator

from lnets.specs.layers import BCOPConvSpec, OrthogonalLinearSpec
from lnets.specs.metrics import Metric
from lnets.specs.model import FullyConnectedSpec, ModelSpec
from lnets.specs.network import Shape
from lnets.specs.optim import OptimSpec, Precision
from lnets.specs.projections import EpochProjectionSpec, UpdateProjectionSpec
from lnets.specs.spec import Broken, Spec, rule_broken


class ChangeSpec(Spec):
    """Hyperparameters from some point of the training on; what is null stays as it was."""

    at: int = Field(ge=1)
    """After so many steps of a critic, or epochs of others."""
    lr: float | None = Field(None, gt=0, le=1000)
    """The learning rate; a schedule goes on from its share of the new one."""
    bjorck_iter: int | None = Field(None, ge=1, le=200)
    """Björck's iterations in every dense layer."""


def has_bjorck_iter(model: ModelSpec) -> bool:
    """Whether `bjorck_iter` of a model's layers can change."""
    return isinstance(model, FullyConnectedSpec) and hasattr(model.linear, "bjorck_iter")


def is_made_orthonormal(model: ModelSpec) -> bool:
    """Whether a model's dense layers are kept, or made, orthonormal."""
    return getattr(getattr(model, "linear", None), "type", None) in ("bjorck", "orthogonal")


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

    unit: ClassVar[str] = "epochs"
    """In what the training's length is counted; the field that has it."""
    pauses_together: ClassVar[bool] = False
    """Whether trials that are trained together can pause."""

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
    changes: tuple[ChangeSpec, ...] = Field((), max_length=1000)
    """Hyperparameters that change on the way, as population-based training finds them."""
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

    @property
    def length(self) -> int:
        """Of the training, in its unit."""
        length: int = getattr(self, self.unit)
        return length

    @property
    def pause_unit(self) -> int:
        """Training can pause at multiples of it."""
        return 1

    def pause_at(self, share: float) -> int | None:
        """Where training pauses when a share of it is done, rounded up to where it can.

        Args:
            share: Above 0; 1 is all of it.

        Returns:
            In its unit; None where that is the end.
        """
        # Shares such as 1/3 are not exact.
        reached = self.pause_unit * math.ceil(share * self.length / self.pause_unit - 1e-9)
        return reached if reached < self.length else None

    def before_changes(self, count: int) -> Self:
        """The experiment with the first of its changes only."""
        return self.model_copy(update={"changes": self.changes[:count]})

    def changed(self) -> Self:
        """The experiment as it is after its changes, of which it tells nothing any more."""
        optim, model = self.optim, self.model
        for change in self.changes:
            if change.lr is not None:
                optim = optim.model_copy(update={"lr": change.lr})
            if change.bjorck_iter is not None:
                assert isinstance(model, FullyConnectedSpec)
                linear = model.linear.model_copy(update={"bjorck_iter": change.bjorck_iter})
                model = model.model_copy(update={"linear": linear})
        return self.model_copy(update={"optim": optim, "model": model, "changes": ()})

    @model_validator(mode="after")
    def _changes_are_possible(self) -> Self:
        problems = [*self._bad_changes()]
        if problems:
            raise rule_broken(*problems)
        return self

    def _bad_changes(self) -> Iterator[Broken]:
        before = 0
        for i, change in enumerate(self.changes):
            at, unit = change.at, self.pause_unit
            if at <= before or at >= self.length or at % unit:
                yield (
                    ("changes", i, "at"),
                    f"must be a multiple of {unit} between the change before and the end, "
                    f"{before} and {self.length} {self.unit}, got {at}",
                )
            before = at
            if change.bjorck_iter is not None and not has_bjorck_iter(self.model):
                message = "is for models of fully connected Björck layers"
                yield ("changes", i, "bjorck_iter"), f"{message}; leave it out"

    def why_alone(self) -> str | None:
        """What cannot be stacked is trained by itself."""
        return self.model.why_not_stacked()
