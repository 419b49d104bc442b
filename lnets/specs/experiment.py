"""One experiment: all that determines a trial except its seed."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.distributions import DistributionSpec, ImageSamplesSpec
from lnets.specs.metrics import WASSERSTEIN, Metric
from lnets.specs.model import ModelSpec
from lnets.specs.optim import OptimSpec
from lnets.specs.spec import Spec, rule_broken, show


class WassersteinSpec(Spec):
    """Bound the Wasserstein-1 distance between two distributions by training a Lipschitz critic."""

    METRICS: ClassVar[dict[str, Metric]] = WASSERSTEIN

    task: Literal["wasserstein"]
    """What a trial does."""
    distrib1: DistributionSpec
    """The distribution on which the critic is high."""
    distrib2: DistributionSpec
    """The distribution on which the critic is low."""
    model: ModelSpec
    """The critic; its output is one number."""
    optim: OptimSpec
    """How the critic is trained."""
    steps: int = Field(ge=1, le=100_000_000)
    """Training steps."""
    batch_size: int = Field(ge=1, le=1_000_000)
    """Samples of each distribution per step."""
    test_sample_size: int = Field(2048, ge=2, le=1_000_000)
    """Held-out samples of each distribution for the final bound; of real images, at most those
    held out."""
    log_every: int = Field(100, ge=1)
    """Steps between two points of the learning curve."""

    @model_validator(mode="after")
    def _critic_fits_the_samples(self) -> Self:
        if self.distrib1.shape != self.distrib2.shape:
            message = (
                "must have samples of the same shape as distrib1, got "
                f"{self.distrib2.shape} and {self.distrib1.shape}"
            )
            raise rule_broken((("distrib2",), message))
        if (
            isinstance(self.distrib1, ImageSamplesSpec)
            and isinstance(self.distrib2, ImageSamplesSpec)
            and self.distrib1.shares_images_with(self.distrib2)
        ):
            message = (
                "must share no class with distrib1, because the bound needs independent samples, "
                f"got {show(self.distrib2.classes)} and {show(self.distrib1.classes)}"
            )
            raise rule_broken((("distrib2",), message))
        if self.model.layers[-1] != 1:
            message = (
                f"must end in 1, because a critic has one output, got {list(self.model.layers)}"
            )
            raise rule_broken((("model", "layers"), message))
        return self


ExperimentSpec = WassersteinSpec
