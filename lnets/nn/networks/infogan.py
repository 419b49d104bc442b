"""The critic of the GANs: InfoGAN's discriminator."""

from collections.abc import Callable, Sequence

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
        widths: Channels of the convolutions, and units of the hidden linear layer.
        batch_norm: Whether the second and third layer are normalised by the batch, as in the
            critic that the original clips; it undoes what Lipschitz layers keep.
        l_constant: Lipschitz constant of the whole when the layers have 1.

    Raises:
        ValueError: If `image_size` is not a positive multiple of 4, another size not positive,
            there are not three `widths`, or `l_constant` is not positive and finite.

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
        widths: Sequence[int] = (64, 128, 1024),
        batch_norm: bool = False,
        l_constant: float = 1.0,
    ) -> None:
        refuse_indivisible(image_size)
        refuse_below(1, in_channels=in_channels, output_dim=output_dim, widths=widths)
        if len(widths) != 3:
            raise ValueError(f"`widths` must have three entries, got {list(widths)}.")
        first, second, hidden = widths
        norms: list[nn.Module] = []
        if batch_norm:
            norms = [nn.BatchNorm2d(second), nn.BatchNorm1d(hidden)]
        scale = scales(l_constant, 4)
        super().__init__(
            ImageShape(in_channels, image_size),
            conv(in_channels, first, 4, stride=2, padding=1),
            *(*scale[:1], activation(first)),
            conv(first, second, 4, stride=2, padding=1),
            *(*norms[:1], *scale[1:2], activation(second), nn.Flatten()),
            linear(second * (image_size // 4) ** 2, hidden),
            *(*norms[1:], *scale[2:3], activation(hidden)),
            linear(hidden, output_dim),
            *scale[3:],
        )
