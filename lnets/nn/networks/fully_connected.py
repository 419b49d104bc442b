"""Linear layers with activations between them."""

from collections.abc import Callable, Sequence

from torch import nn

from lnets.nn.arguments import refuse_below
from lnets.nn.scale import scales


class FullyConnected(nn.Sequential):
    """Flatten, then linear layers with an activation between every two.

    Every linear layer, its bias included, is scaled by the n-th root of `l_constant`.

    Args:
        input_dim: Numbers per input.
        layers: Units of each linear layer, the output last.
        linear: Makes a linear layer of (inputs, outputs).
        activation: Makes the activation after a hidden layer, of the layer's index.
        shrink: Factor by which the activation after each hidden layer narrows it.
        l_constant: Lipschitz constant of the whole when the linear layers have 1.
        input_dropout: Probability with which training drops an input.
        dropout: Probability with which training drops a hidden unit.

    Raises:
        ValueError: If there is no layer, a size is not positive, or `l_constant` is not positive
            and finite.
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
    ) -> None:
        refuse_below(1, input_dim=input_dim, layers=layers, shrink=shrink or ())
        if not layers:
            raise ValueError("`layers` must have one entry per linear layer, got none.")
        scale = scales(l_constant, len(layers))
        modules: list[nn.Module] = [nn.Flatten()]
        if input_dropout:
            modules.append(nn.Dropout(input_dropout))
        width = input_dim
        for i, units in enumerate(layers):
            modules += [linear(width, units), *scale[i : i + 1]]
            if i < len(layers) - 1:
                modules.append(activation(i))
                if dropout:
                    modules.append(nn.Dropout(dropout))
                width = units // shrink[i] if shrink else units
        super().__init__(*modules)
