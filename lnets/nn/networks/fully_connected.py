"""Linear layers with activations between them."""

from collections.abc import Callable, Sequence

from torch import nn

from lnets.nn.arguments import refuse_below
from lnets.nn.residual import LipschitzResidual
from lnets.nn.scale import scales


class FullyConnected(nn.Sequential):
    """Flatten, then linear layers with an activation between every two.

    Every linear layer, its bias included, is scaled by the n-th root of `l_constant`. With `alpha`,
    a hidden layer as wide as its inputs is the block of a `LipschitzResidual`.

    Args:
        input_dim: Numbers per input.
        layers: Units of each linear layer, the output last.
        linear: Makes a linear layer of (inputs, outputs).
        activation: Makes the activation after a hidden layer, of the layer's index.
        shrink: Factor by which the activation after each hidden layer narrows it.
        l_constant: Lipschitz constant of the whole when the linear layers have 1.
        input_dropout: Probability with which training drops an input.
        dropout: Probability with which training drops a hidden unit.
        alpha: Share of the block in (1 − alpha)·x + alpha·block(x); None makes no such sums.

    Raises:
        ValueError: If there is no layer, a size is not positive, `l_constant` is not positive and
            finite, `alpha` is not from 0 to 1, or there is an `alpha` with another `l_constant`
            than 1, which the sums would not have.
    """

    def __init__(
        self,
        input_dim: int,
        layers: Sequence[int],
        *,
        linear: Callable[[int, int], nn.Module],
        activation: Callable[[int], nn.Module],
        shrink: Sequence[int] | None = None,
        l_constant: float = 1.0,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        alpha: float | None = None,
    ) -> None:
        refuse_below(1, input_dim=input_dim, layers=layers, shrink=shrink or ())
        if not layers:
            raise ValueError("`layers` must have one entry per linear layer, got none.")
        if alpha is not None and l_constant != 1:
            raise ValueError(f"`l_constant` must be 1 where there is an `alpha`, got {l_constant}.")
        scale = scales(l_constant, len(layers))
        modules: list[nn.Module] = [nn.Flatten()]
        if input_dropout:
            modules.append(nn.Dropout(input_dropout))
        width = input_dim
        for i, units in enumerate(layers):
            layer = [linear(width, units), *scale[i : i + 1]]
            if i < len(layers) - 1:
                layer.append(activation(i))
                if dropout:
                    layer.append(nn.Dropout(dropout))
                narrowed = units // shrink[i] if shrink else units
                if alpha is not None and narrowed == width:
                    layer = [LipschitzResidual(nn.Sequential(*layer), alpha)]
                width = narrowed
            modules += layer
        super().__init__(*modules)
