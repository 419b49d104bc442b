"""The networks that an experiment may train."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

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
from lnets.specs.spec import Broken


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
        """Dropout draws one mask for all."""
        if self.dropout or self.input_dropout:
            return "dropout draws one mask for all networks that are trained together"
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
