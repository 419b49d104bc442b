"""The small convolutional classifier for MNIST."""

from collections.abc import Callable

from torch import nn

from lnets.nn.arguments import refuse_below
from lnets.nn.networks.images import ImageShape
from lnets.nn.scale import scales


class LeNet(nn.Sequential):
    """Two 5×5 convolutions with max pooling and two linear layers, for images of 28×28 pixels.

    Each of the four layers is scaled by the fourth root of `l_constant`.

    Args:
        in_channels: Channels of the input.
        output_dim: Numbers per output.
        conv: Makes a convolution of (channels in, channels out, kernel size).
        linear: Makes a linear layer of (inputs, outputs).
        activation: Makes an activation of its number of channels or units, which are axis 1.
        l_constant: Lipschitz constant of the whole when the layers have 1.
        dropout: Probability with which training drops a channel of the second convolution, and a
            unit of the hidden linear layer.

    Raises:
        ValueError: If a size is not positive, or `l_constant` not positive and finite.
    """

    def __init__(
        self,
        in_channels: int = 1,
        output_dim: int = 10,
        *,
        conv: Callable[..., nn.Module],
        linear: Callable[[int, int], nn.Module],
        activation: Callable[[int], nn.Module],
        l_constant: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        refuse_below(1, in_channels=in_channels, output_dim=output_dim)
        scale = scales(l_constant, 4)
        super().__init__(
            ImageShape(in_channels, 28),
            *(conv(in_channels, 10, 5), nn.MaxPool2d(2), activation(10)),
            *scale[:1],
            conv(10, 20, 5),
            *([nn.Dropout2d(dropout)] if dropout else []),
            *(nn.MaxPool2d(2), activation(20)),
            *scale[1:2],
            *(nn.Flatten(), linear(320, 50), activation(50)),
            *scale[2:3],
            *([nn.Dropout(dropout)] if dropout else []),
            linear(50, output_dim),
            *scale[3:],
        )
