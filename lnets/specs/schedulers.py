"""How a sweep spends less on configurations that are worse than others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lnets.specs.experiment import TrainingSpec
from lnets.specs.spec import Broken, Spec, show

if TYPE_CHECKING:
    from lnets.specs.sweep import SweepSpec

Grace = Annotated[float, Field(gt=0, lt=1)]


class AshaSpec(Spec):
    """Successive halving: all trials pause at a share of their training, the best go on.

    Configurations pause after `grace` of their training, after `reduction` times that, and so on.
    At each pause the best of them, one in `reduction`, go on as soon as they are known to be among
    these; the others are stopped once no more can come.
    """

    type: Literal["asha"]
    grace: Grace = 0.125
    """Share of the training after which configurations are first compared."""
    reduction: int = Field(2, ge=2, le=100)
    """One configuration in so many goes on."""


class HyperbandSpec(Spec):
    """Successive halving side by side with several graces, as none is right for all questions.

    A configuration belongs to one of the brackets: the first begins with `grace`, each further one
    with `reduction` times that, up to one that compares nothing. Brackets have as many
    configurations as spend about as much.
    """

    type: Literal["hyperband"]
    grace: Grace = 0.125
    """The smallest share of the training after which configurations are compared."""
    reduction: int = Field(2, ge=2, le=100)
    """One configuration in so many goes on."""


class MedianSpec(Spec):
    """Stops a configuration that is worse than the median of the others at the same point."""

    type: Literal["median"]
    grace: Grace = 0.125
    """Share of the training after which configurations are first compared, and then again and
    again after as much."""
    min_configurations: int = Field(3, ge=1)
    """Others that must have come to a point before any is stopped there."""


class PopulationSpec(Spec):
    """Population-based training: the worst give way to the best with other hyperparameters.

    All configurations pause together after each `grace` of their training. Of the worst each is
    replaced by one of the best, which goes on with a learning rate, and iterations of Björck where
    its layers have them, larger or smaller by `factor`.
    """

    type: Literal["population"]
    grace: Grace = 0.125
    """Share of the training between two comparisons."""
    quantile: float = Field(0.25, gt=0, le=0.5)
    """Share of the configurations that is replaced, and that is copied."""
    factor: float = Field(1.2, gt=1, le=10)
    """By what the learning rate and `bjorck_iter` are multiplied, or divided."""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Of what is copied, and how it is changed."""


SchedulerSpec = Annotated[
    AshaSpec | HyperbandSpec | MedianSpec | PopulationSpec, Field(discriminator="type")
]


def scheduler_rules(sweep: SweepSpec) -> Iterator[Broken]:
    """What the scheduler of a sweep asks of its other parts."""
    scheduler = sweep.scheduler
    if scheduler is None:
        return
    if len(sweep.algorithm.objectives) > 1:
        yield (
            ("scheduler",),
            "compares by one objective, got several; leave it out, or name one in "
            "`algorithm.objectives`",
        )
    if isinstance(scheduler, PopulationSpec) and sweep.algorithm.type == "optuna":
        yield (
            ("scheduler",),
            "of type population proposes configurations itself, from those that it starts with; "
            "write algorithm: {type: random, configurations: …}, or list values for a grid",
        )
    if not isinstance(sweep.experiment, TrainingSpec):
        yield (
            ("scheduler",),
            f"stops trainings, and trials of {sweep.experiment.task} train nothing; leave it out",
        )
    elif sweep.experiment.pause_at(scheduler.grace) is None:
        yield (
            ("scheduler", "grace"),
            f"must leave something of the training, got {show(scheduler.grace)}, and one of "
            f"{sweep.experiment.length} {sweep.experiment.unit} pauses at multiples of "
            f"{sweep.experiment.pause_unit}; lower it, or train longer, or pause more often by "
            "`log_every` or `checkpoint_every`",
        )
