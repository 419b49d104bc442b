"""A residual convolutional classifier with a constant."""

from collections.abc import Callable, Sequence

from torch import nn

from lnets.nn.arguments import refuse_below
from lnets.nn.conv import BCOPConv2d
from lnets.nn.linear import BjorckLinear
from lnets.nn.networks.images import ImageShape, max_min, refuse_indivisible
from lnets.nn.residual import LipschitzResidual
from lnets.nn.scale import scales


class LipschitzResNet(nn.Sequential):
    """A stem, three stages of residual blocks, `nn.PixelUnshuffle` between them, a linear head.

    A block is (1 − α)·x + α·conv(activation(conv(x))). Each of the n layers that run one after
    another, a block being one of them, is scaled by the n-th root of `l_constant`.

    Args:
        in_channels: Channels of the input.
        output_dim: Numbers per output.
        image_size: Height and width, a multiple of 4.
        conv: Makes a convolution of (channels in, channels out, kernel size, padding=,
            padding_mode=).
        linear: Makes the head of (inputs, outputs).
        activation: Makes an activation of its number of channels, which are axis 1.
        channels: Of the three stages.
        blocks: Residual blocks of the three stages.
        alpha: Share of the convolutions in a residual block.
        padding_mode: "zeros"; or "circular", under which BCOP keeps norms, but the image of the
            last stage must have 3×3 pixels.
        l_constant: Lipschitz constant of the whole when the layers have 1.

    Raises:
        ValueError: If `image_size` is not a positive multiple of 4, or too small for `circular`,
            if there are not three stages, or a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        output_dim: int,
        image_size: int,
        *,
        conv: Callable[..., nn.Module] = BCOPConv2d,
        linear: Callable[[int, int], nn.Module] = BjorckLinear,
        activation: Callable[[int], nn.Module] = max_min,
        channels: Sequence[int] = (32, 64, 128),
        blocks: Sequence[int] = (2, 2, 2),
        alpha: float = 0.5,
        padding_mode: str = "zeros",
        l_constant: float = 1.0,
    ) -> None:
        refuse_below(1, in_channels=in_channels, output_dim=output_dim, channels=channels)
        refuse_below(0, blocks=blocks)
        _refuse(image_size, channels, blocks, padding_mode)

        def spatial(into: int, out: int) -> nn.Module:
            return conv(into, out, 3, padding=1, padding_mode=padding_mode)

        scale = scales(l_constant, sum(blocks) + 4)[:1]  # a stem, two transitions, a head
        modules: list[nn.Module] = [ImageShape(in_channels, image_size)]
        for stage, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            if stage == 0:
                modules.append(spatial(in_channels, width))
            else:
                modules += [nn.PixelUnshuffle(2), conv(4 * channels[stage - 1], width, 1)]
            modules += [*scale, activation(width)]
            for _ in range(count):
                parts = (spatial(width, width), activation(width), spatial(width, width))
                block = LipschitzResidual(nn.Sequential(*parts), alpha)
                modules += [block, *scale, activation(width)]
        modules += [nn.Flatten(), linear(channels[-1] * (image_size // 4) ** 2, output_dim)]
        super().__init__(*modules, *scale)


def _refuse(
    image_size: int, channels: Sequence[int], blocks: Sequence[int], padding_mode: str
) -> None:
    refuse_indivisible(image_size)
    if len(channels) != 3 or len(blocks) != 3:
        raise ValueError(
            "`channels` and `blocks` must have an entry for each of three stages, got "
            f"{len(channels)} and {len(blocks)}."
        )
    if padding_mode == "circular" and image_size < 12:
        raise ValueError(
            f"With circular padding `image_size` must be at least 12, got {image_size}."
        )
