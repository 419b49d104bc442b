"""Residual networks for CIFAR with batch normalisation: unconstrained, for comparison."""

from torch import nn

from lnets.nn.arguments import refuse_below
from lnets.nn.networks.images import ImageShape
from lnets.nn.residual import Residual

_BLOCKS = 5


class ResNet32(nn.Sequential):
    """Three stages of five residual blocks with 16, 32 and 64 channels, then a mean over pixels.

    Nothing bounds its Lipschitz constant while it trains; in evaluation it can be certified.

    Args:
        in_channels: Channels of the input.
        output_dim: Numbers per output.

    Raises:
        ValueError: If a size is not positive.

    Source:
        He, Zhang, Ren, Sun (2016), arXiv:1512.03385, section 4.2.
    """

    def __init__(self, in_channels: int = 3, output_dim: int = 10) -> None:
        super().__init__(*_layers(in_channels, output_dim, widen=1))


class WideResNet32(nn.Sequential):
    """`ResNet32` with all channels, the stem's included, multiplied by `widen`.

    Args:
        in_channels: Channels of the input.
        output_dim: Numbers per output.
        widen: The factor.

    Raises:
        ValueError: If a size or the factor is not positive.

    Source:
        Zagoruyko, Komodakis (2016), arXiv:1605.07146.
    """

    def __init__(self, in_channels: int = 3, output_dim: int = 10, *, widen: int = 10) -> None:
        super().__init__(*_layers(in_channels, output_dim, widen=widen))


def _layers(in_channels: int, output_dim: int, *, widen: int) -> list[nn.Module]:
    refuse_below(1, in_channels=in_channels, output_dim=output_dim, widen=widen)
    width = 16 * widen
    layers: list[nn.Module] = [
        ImageShape(in_channels),
        *_convolution(in_channels, width, kernel_size=3),
        nn.ReLU(),
    ]
    for stage in range(3):
        out = 16 * widen * 2**stage
        for i in range(_BLOCKS):
            halve = stage > 0 and i == 0
            layers += [_block(width, out, stride=2 if halve else 1), nn.ReLU()]
            width = out
    return [*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, output_dim)]


def _block(into: int, out: int, *, stride: int) -> Residual:
    block = nn.Sequential(
        *_convolution(into, out, kernel_size=3, stride=stride),
        nn.ReLU(),
        *_convolution(out, out, kernel_size=3),
    )
    if stride == 1 and into == out:
        return Residual(block)
    return Residual(block, nn.Sequential(*_convolution(into, out, kernel_size=1, stride=stride)))


def _convolution(
    into: int, out: int, *, kernel_size: int, stride: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(into, out, kernel_size, stride, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(out)
