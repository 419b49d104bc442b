"""Losses of a spec."""

import functools
from collections.abc import Callable
from typing import TypeAlias, assert_never

from torch import Tensor

from lnets.functional.margins import hinge_kr, margin_cross_entropy, multi_margin
from lnets.specs.losses import (
    CrossEntropySpec,
    HingeKantorovichRubinsteinSpec,
    LossSpec,
    MarginCrossEntropySpec,
    MultiMarginSpec,
    OffsetCrossEntropySpec,
)

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Logits and labels to losses, one per sample, whose mean is made small."""


def build_loss(spec: LossSpec, lipschitz: float) -> Loss:
    """What a classifier is trained to make small.

    Args:
        spec: What to build.
        lipschitz: Constant that the network is designed for, by which margins are multiplied.
    """
    match spec:
        case CrossEntropySpec():
            return margin_cross_entropy
        case MarginCrossEntropySpec():
            return functools.partial(margin_cross_entropy, margin=spec.margin * lipschitz)
        case OffsetCrossEntropySpec():
            return functools.partial(
                margin_cross_entropy,
                margin=spec.offset * lipschitz,
                temperature=spec.temperature * lipschitz,
            )
        case MultiMarginSpec():
            return functools.partial(multi_margin, margin=spec.margin * lipschitz)
        case HingeKantorovichRubinsteinSpec():
            return functools.partial(hinge_kr, margin=spec.margin * lipschitz, alpha=spec.alpha)
        case _:
            assert_never(spec)
