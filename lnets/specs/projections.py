"""Projections of raw weights: after updates, and at the start of epochs."""

from typing import Annotated, Literal

from pydantic import Field

from lnets.specs.layers import BjorckFields
from lnets.specs.spec import Spec


class L2ProjectionSpec(BjorckFields):
    """Draw every weight towards orthonormal by Björck's iterations, from norm 1 or less."""

    type: Literal["l_2"]
    bjorck_beta: float = Field(0.5, gt=0, lt=1)
    """Step size of an iteration of order 1; above 0.5 singular values may exceed 1 on the way. The
    higher orders are defined for 0.5 only."""


class LInfProjectedSpec(Spec):
    """Move every row of a weight, or kernel of an output channel, to the nearest in the L1 ball."""

    type: Literal["l_inf_projected"]


class LInfScaledSpec(Spec):
    """Divide every row of a weight, or kernel of an output channel, by its L1 norm."""

    type: Literal["l_inf_scaled"]
    scale_all: bool = False
    """Whether rows inside the L1 ball are divided too, and so grow."""


class EveryEpochs(Spec):
    """When a projection at the start of epochs happens."""

    every_n_epochs: int = Field(1, ge=1)
    """Every how many epochs; never before the first."""
    reset_optimizer: bool = False
    """Whether the optimizer then forgets its momenta, which tell of the weights before."""


class L2EveryEpochsSpec(L2ProjectionSpec, EveryEpochs):
    """`l_2` at the start of epochs."""


class LInfProjectedEveryEpochsSpec(LInfProjectedSpec, EveryEpochs):
    """`l_inf_projected` at the start of epochs."""


class LInfScaledEveryEpochsSpec(LInfScaledSpec, EveryEpochs):
    """`l_inf_scaled` at the start of epochs."""


UpdateProjectionSpec = Annotated[
    L2ProjectionSpec | LInfProjectedSpec | LInfScaledSpec, Field(discriminator="type")
]
EpochProjectionSpec = Annotated[
    L2EveryEpochsSpec | LInfProjectedEveryEpochsSpec | LInfScaledEveryEpochsSpec,
    Field(discriminator="type"),
]
