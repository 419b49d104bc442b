"""The critic of the Lipschitz GAN: InfoGAN's discriminator without batch normalisation."""

from collections.abc import Callable

from torch import nn

from lnets.nn.arguments import refuse_below
from lnets.nn.networks.images import ImageShape, max_min, refuse_indivisible
from lnets.nn.scale import scales


class InfoGanDiscriminator(nn.Sequential):
    """Two 4×4 convolutions of stride 2 and two linear layers.

    Each of the four layers is scaled by the fourth root of `l_constant`.

    Args:
        in_channels: Channels of the input.
        output_dim: Numbers per output.
        image_size: Height and width, a multiple of 4.
        conv: Makes a convolution of (channels in, channels out, kernel size, stride=, padding=).
        linear: Makes a linear layer of (inputs, outputs).
        activation: Makes an activation of its number of channels or units, which are axis 1.
        l_constant: Lipschitz constant of the whole when the layers have 1.

    Raises:
        ValueError: If `image_size` is not a positive multiple of 4, another size not positive, or
            `l_constant` not positive and finite.

    Source:
        Chen et al. (2016), arXiv:1606.03657, appendix C.
    """

    def __init__(
        self,
        in_channels: int = 1,
        output_dim: int = 1,
        image_size: int = 32,
        *,
        conv: Callable[..., nn.Module],
        linear: Callable[[int, int], nn.Module],
        activation: Callable[[int], nn.Module] = max_min,
        l_constant: float = 1.0,
    ) -> None:
        refuse_indivisible(image_size)
        refuse_below(1, in_channels=in_channels, output_dim=output_dim)
        scale = scales(l_constant, 4)
        super().__init__(
            ImageShape(in_channels, image_size),
            conv(in_channels, 64, 4, stride=2, padding=1),
            *(*scale[:1], activation(64)),
            conv(64, 128, 4, stride=2, padding=1),
            *(*scale[1:2], activation(128), nn.Flatten()),
            linear(128 * (image_size // 4) ** 2, 1024),
            *(*scale[2:3], activation(1024)),
            linear(1024, output_dim),
            *scale[3:],
        )
