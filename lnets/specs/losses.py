"""What a classifier is trained to make small."""

from typing import Annotated, Literal

from pydantic import Field

from lnets.specs.spec import Spec

Margin = Annotated[float, Field(gt=0, le=1e6)]


class CrossEntropySpec(Spec):
    """Cross entropy of the softmax of the logits."""

    type: Literal["cross_entropy"]


class MarginCrossEntropySpec(Spec):
    """Cross entropy after the true class's logit has been lowered by a margin."""

    type: Literal["margin"]
    margin: Margin
    """In input units: it is multiplied by the network's `l_constant`."""


class OffsetCrossEntropySpec(Spec):
    """Cross entropy with a temperature, after the true class's logit has been lowered."""

    type: Literal["offset_cross_entropy"]
    offset: float = Field(0.4, ge=0, le=1e6)
    """In input units: 2√2·ε asks for an L2 radius of 2ε; multiplied by `l_constant`."""
    temperature: float = Field(0.25, gt=0, le=1e6)
    """Divides the logits, and multiplies the loss; multiplied by `l_constant`."""


class MultiMarginSpec(Spec):
    """Hinge: by how much every other logit comes nearer to the true one than a margin."""

    type: Literal["multi_margin"]
    margin: Margin
    """In input units: it is multiplied by the network's `l_constant`. A margin m that is kept
    certifies an L∞ radius of m/2, or an L2 radius of m/√2."""


class HingeKantorovichRubinsteinSpec(Spec):
    """Hinge of each class against the rest, minus their Kantorovich-Rubinstein dual value."""

    type: Literal["hinge_kr"]
    margin: Margin = 1.0
    """Of the hinge, in input units: it is multiplied by the network's `l_constant`."""
    alpha: float = Field(0.98, ge=0, le=1)
    """Share of the hinge; the rest is that of the dual value."""


LossSpec = Annotated[
    CrossEntropySpec
    | MarginCrossEntropySpec
    | OffsetCrossEntropySpec
    | MultiMarginSpec
    | HingeKantorovichRubinsteinSpec,
    Field(discriminator="type"),
]
