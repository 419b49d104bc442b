"""Bound the distance between two distributions by a critic."""

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.distributions import DistributionSpec, GanSamplesSpec, ImageSamplesSpec
from lnets.specs.experiment import TrainingSpec, is_made_orthonormal
from lnets.specs.figures import LandscapeSpec, SingularValuesSpec, bad_landscape
from lnets.specs.metrics import FAITHFUL, WASSERSTEIN, Metric, unproven
from lnets.specs.model import ModelSpec
from lnets.specs.network import Shape
from lnets.specs.point_cloud import PointCloudSpec
from lnets.specs.spec import Broken, rule_broken, show


class WassersteinSpec(TrainingSpec):
    """Bound the Wasserstein-1 distance between two distributions by training a Lipschitz critic."""

    unit: ClassVar[str] = "steps"
    pauses_together: ClassVar[bool] = True

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
    """Held-out samples of each distribution for the final bound; of images and point clouds, at
    most those held out."""
    exact_points: int = Field(5000, ge=0, le=20_000)
    """The exact distance of the held-out samples is computed, by linear programming, where there
    are at most so many of each distribution: 5,000 take ten seconds and 1.2 GB, 20,000 minutes and
    20 GB; 0 never does."""
    landscape: LandscapeSpec | None = None
    """Where the critic is evaluated for figures; null leaves them out."""
    singular_values: SingularValuesSpec | None = None
    """When singular values of the critic's layers are recorded; null never does."""

    @property
    def metrics(self) -> dict[str, Metric]:
        """What a trial reports."""
        known = dict(WASSERSTEIN)
        if not is_made_orthonormal(self.model):
            del known["orthonormality_error"]
        return FAITHFUL | unproven(known) if self.faithful else known

    @property
    def pause_unit(self) -> int:
        """A step at which the learning curve has a point."""
        return self.log_every

    @property
    def input_batch(self) -> Shape:
        """Samples of both distributions."""
        return 2 * self.batch_size, *self.distrib1.shape

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        problems = [*self._bad_distributions(), *self._bad_epochs(), *self._bad_landscape()]
        problems = problems or [*bad_critic(self.model, self.distrib1.shape)]
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
        elif isinstance(self.distrib1, (ImageSamplesSpec, GanSamplesSpec, PointCloudSpec)):
            rule = self.distrib1.why_dependent(self.distrib2)
            if rule is not None:
                yield ("distrib2",), rule

    def _bad_epochs(self) -> Iterator[Broken]:
        if self.per_epoch_proj is not None and self.epoch_steps is None:
            message = (
                "is required with per_epoch_proj, because this task has no epochs of its own; "
                "add `epoch_steps: …`"
            )
            yield ("epoch_steps",), message

    def _bad_landscape(self) -> Iterator[Broken]:
        if self.landscape is not None:
            for path, message in bad_landscape(self.landscape, self.distrib1.size):
                yield ("landscape", *path), message


def bad_critic(model: ModelSpec, shape: Shape) -> Iterator[Broken]:
    """Why a network cannot be a critic of samples of a shape; paths begin with `model`."""
    misfits = model.misfits(shape)
    yield from ((("model", *path), message) for path, message in misfits)
    if not misfits and model.output_shape(shape)[0] != 1:
        outputs = getattr(model, model.OUTPUT)
        verb = "end in" if isinstance(outputs, tuple) else "be"
        message = f"must {verb} 1, because a critic has one output, got {show(outputs)}"
        yield ("model", model.OUTPUT), message
