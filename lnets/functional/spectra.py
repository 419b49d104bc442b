"""Singular values of convolutions as operators."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.convolution import Pair

_FREQUENCIES = 8


def conv_singular_values(
    kernel: Float[Tensor, "out in kh kw"], stride: Pair
) -> Float[Tensor, " values"]:
    """Singular values of a convolution on a small torus, in no order.

    Those of the operator itself, not of the reshaped kernel: each output frequency of a periodic
    image has a matrix of its own, `out` × `in`·sh·sw, in which a stride puts the frequencies that
    it cannot tell apart side by side. A torus of 8 outputs along each axis, or as many as the
    kernel needs, stands for images of any size, which have more frequencies between the same ones.

    Args:
        kernel: The kernel as it is used.
        stride: Along height and width.

    Returns:
        As many as outputs of the torus times the smaller side of a matrix.

    Source:
        Sedghi, Gupta, Long (2019), arXiv:1805.10408.
    """
    counts = [max(_FREQUENCIES, -(-k // s)) for k, s in zip(kernel.shape[2:], stride, strict=True)]
    size = [n * s for n, s in zip(counts, stride, strict=True)]
    transform = torch.fft.fft2(kernel, s=size)
    apart = transform.unflatten(3, (stride[1], counts[1])).unflatten(2, (stride[0], counts[0]))
    blocks = apart.permute(3, 5, 0, 1, 2, 4).flatten(3) / math.sqrt(math.prod(stride))
    # A real kernel has the same values at opposite frequencies.
    half = torch.linalg.svdvals(blocks[:, : counts[1] // 2 + 1])
    return torch.cat((half, half[:, 1 : (counts[1] + 1) // 2]), dim=1).flatten()
