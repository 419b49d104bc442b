"""The networks that an experiment may train."""

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.image_models import (
    FullyConvSpec,
    InfoGanDiscriminatorSpec,
    LeNetSpec,
    LipschitzResNetSpec,
    ResNet32Spec,
    WideResNet32Spec,
)
from lnets.specs.layers import LinearSpec
from lnets.specs.network import HiddenLayersSpec, LipschitzConstant, Shape, Share, Width
from lnets.specs.spec import Broken, rule_broken


class FullyConnectedSpec(HiddenLayersSpec):
    """Linear layers with an activation between every two; the input is flattened."""

    OUTPUT: ClassVar[str] = "layers"
    SIZES: ClassVar[tuple[str, ...]] = ("layers",)
    WIDTHS: ClassVar[str | None] = "layers"
    NARROWS: ClassVar[bool] = True

    type: Literal["fully_connected"]
    layers: tuple[Width, ...] = Field(min_length=1, max_length=64)
    """Width of every linear layer, the output last."""
    linear: LinearSpec
    """The linear layers."""
    input_dropout: Share = 0.0
    """Probability with which training drops an input."""
    dropout: Share = 0.0
    """Probability with which training drops a hidden unit."""
    l_constant: LipschitzConstant = 1.0
    """Lipschitz constant that the network is scaled to: every one of n layers by its n-th root."""

    alpha: float | None = Field(None, ge=0, le=1)
    """Share of each hidden layer that is as wide as its inputs in (1 − alpha)·x + alpha·layer(x);
    null makes no such sums. Needs l_constant: 1."""

    @model_validator(mode="after")
    def _sums_scale_nothing(self) -> Self:
        if self.alpha is not None and self.l_constant != 1:
            message = f"must be 1 where there is an alpha, got {self.l_constant}; leave one out"
            raise rule_broken((("l_constant",), message))
        return self

    def hidden_widths(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return self.layers[:-1]

    def sizes(self, shape: Shape) -> dict[str, Any]:
        """Inputs are flattened."""
        return super().sizes((math.prod(shape),))

    def misfits(self, shape: Shape) -> list[Broken]:
        """None: any input is flattened."""
        return []

    def output_shape(self, shape: Shape) -> Shape:
        """The last layer's units."""
        return self.layers[-1:]

    def why_not_stacked(self) -> str | None:
        """Dropout draws one mask for all, and residual blocks are of one network."""
        if self.dropout or self.input_dropout:
            return "dropout draws one mask for all networks that are trained together"
        if self.alpha is not None:
            return "sums of layers and their inputs work on one network at a time"
        return None


ModelSpec = Annotated[
    FullyConnectedSpec
    | FullyConvSpec
    | LeNetSpec
    | ResNet32Spec
    | WideResNet32Spec
    | InfoGanDiscriminatorSpec
    | LipschitzResNetSpec,
    Field(discriminator="type"),
]
