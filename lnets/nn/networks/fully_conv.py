"""Convolutions with activations between them."""

from collections.abc import Callable, Sequence

from torch import nn

from lnets.nn.arguments import refuse_below, refuse_wide_padding
from lnets.nn.networks.images import ImageShape
from lnets.nn.scale import scales


class FullyConv(nn.Sequential):
    """Convolutions with an activation between every two; the output is an image again.

    Every convolution, its bias included, is scaled by the n-th root of `l_constant`.

    Args:
        in_channels: Channels of the input.
        channels: Channels of each convolution, the output last.
        kernels: Kernel size of each convolution.
        conv: Makes a convolution of (channels in, channels out, kernel size, stride=, padding=).
        activation: Makes the activation after a hidden convolution, of its number of channels.
        strides: Stride of each convolution; None is 1 for all.
        padding: Zeros on each side, for all convolutions.
        shrink: Factor by which the activation after each hidden convolution narrows it.
        l_constant: Lipschitz constant of the whole when the convolutions have 1.

    Raises:
        ValueError: If the sequences differ in length, a size is not positive, `padding` is not
            smaller than every kernel, or `l_constant` is not positive and finite.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        *,
        kernels: Sequence[int],
        conv: Callable[..., nn.Module],
        activation: Callable[[int], nn.Module],
        strides: Sequence[int] | None = None,
        padding: int = 0,
        shrink: Sequence[int] | None = None,
        l_constant: float = 1.0,
    ) -> None:
        n = len(channels)
        strides = [1] * n if strides is None else strides
        if n < 1 or len(kernels) != n or len(strides) != n:
            raise ValueError(
                "`channels`, `kernels` and `strides` must have one entry per convolution, got "
                f"{len(channels)}, {len(kernels)} and {len(strides)}."
            )
        refuse_below(1, in_channels=in_channels, channels=channels, kernels=kernels)
        refuse_below(1, strides=strides, shrink=shrink or ())
        refuse_below(0, padding=padding)
        refuse_wide_padding((padding,) * n, kernels)
        scale = scales(l_constant, n)
        modules: list[nn.Module] = [
            ImageShape(in_channels, least=_smallest_image(kernels, strides, padding))
        ]
        width = in_channels
        for i, (out, kernel, stride) in enumerate(zip(channels, kernels, strides, strict=True)):
            modules.append(conv(width, out, kernel, stride=stride, padding=padding))
            modules += scale[i : i + 1]
            if i < n - 1:
                modules.append(activation(out))
                width = out // shrink[i] if shrink else out
        super().__init__(*modules)


def _smallest_image(kernels: Sequence[int], strides: Sequence[int], padding: int) -> int:
    """The smallest image that leaves a pixel after all convolutions."""
    size = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        size = max(1, (size - 1) * stride + kernel - 2 * padding)
    return size
