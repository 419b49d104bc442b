"""Bound the distance between two distributions by a critic."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from lnets.specs.distributions import DistributionSpec, ImageSamplesSpec
from lnets.specs.experiment import TrainingSpec
from lnets.specs.metrics import WASSERSTEIN, Metric
from lnets.specs.model import ModelSpec
from lnets.specs.network import Shape
from lnets.specs.spec import Broken, rule_broken, show


class WassersteinSpec(TrainingSpec):
    """Bound the Wasserstein-1 distance between two distributions by training a Lipschitz critic."""

    task: Literal["wasserstein"]
    """What a trial does."""
    distrib1: DistributionSpec
    """The distribution on which the critic is high."""
    distrib2: DistributionSpec
    """The distribution on which the critic is low."""
    model: ModelSpec
    """The critic; its output is one number, or one channel whose mean is taken."""
    epoch_steps: int | None = Field(None, ge=1)
    """Steps that count as an epoch, for per_epoch_proj; without it nothing asks for epochs."""
    steps: int = Field(ge=1, le=100_000_000)
    """Training steps."""
    batch_size: int = Field(ge=1, le=1_000_000)
    """Samples of each distribution per step."""
    test_sample_size: int = Field(2048, ge=2, le=1_000_000)
    """Held-out samples of each distribution for the final bound; of real images, at most those
    held out."""

    @property
    def metrics(self) -> dict[str, Metric]:
        """What a trial reports."""
        return WASSERSTEIN

    @property
    def input_batch(self) -> Shape:
        """Samples of both distributions."""
        return 2 * self.batch_size, *self.distrib1.shape

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        problems = [*self._bad_distributions(), *self._bad_epochs()]
        problems = problems or [*self._bad_critic()]
        if problems:
            raise rule_broken(*problems)
        return self

    def _bad_distributions(self) -> Iterator[Broken]:
        if self.distrib1.shape != self.distrib2.shape:
            message = (
                "must have samples of the same shape as distrib1, got "
                f"{self.distrib2.shape} and {self.distrib1.shape}"
            )
            yield ("distrib2",), message
        elif (
            isinstance(self.distrib1, ImageSamplesSpec)
            and isinstance(self.distrib2, ImageSamplesSpec)
            and self.distrib1.shares_images_with(self.distrib2)
        ):
            message = (
                "must share no class with distrib1, because the bound needs independent samples, "
                f"got {show(self.distrib2.classes)} and {show(self.distrib1.classes)}"
            )
            yield ("distrib2",), message

    def _bad_epochs(self) -> Iterator[Broken]:
        if self.per_epoch_proj is not None and self.epoch_steps is None:
            message = (
                "is required with per_epoch_proj, because this task has no epochs of its own; "
                "add `epoch_steps: …`"
            )
            yield ("epoch_steps",), message

    def _bad_critic(self) -> Iterator[Broken]:
        shape = self.distrib1.shape
        misfits = self.model.misfits(shape)
        yield from ((("model", *path), message) for path, message in misfits)
        if not misfits and self.model.output_shape(shape)[0] != 1:
            outputs = getattr(self.model, self.model.OUTPUT)
            verb = "end in" if isinstance(outputs, tuple) else "be"
            message = f"must {verb} 1, because a critic has one output, got {show(outputs)}"
            yield ("model", self.model.OUTPUT), message
