"""How a sweep spends less on configurations that are worse than others."""

from typing import Annotated, Literal

from pydantic import Field

from lnets.specs.spec import Spec

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


SchedulerSpec = Annotated[AshaSpec | HyperbandSpec | MedianSpec, Field(discriminator="type")]
