"""Convolutions as operators: how patches overlap, norms, kernels that keep norms.

A kernel's operator is that of `torch.nn.functional.conv2d` on images of one size: zeros, or the
image itself periodically continued (circular), `padding` pixels wide on both sides of both axes.
"""

import math
from collections import Counter

import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.operator_norm import (
    boundable,
    gamma,
    linf_norm_upper_bound,
    spectral_norm_upper_bound,
)

Pair = tuple[int, int]

# Numbers in one chunk of frequency blocks: 16 MiB of complex128, of which there are a few copies.
_CHUNK = 2**20
_EPS = torch.finfo(torch.float64).eps


def overlap_factor(kernel_size: Pair, stride: Pair) -> int:
    """Largest number of patches that share a pixel: ⌈kh/sh⌉·⌈kw/sw⌉.

    With zero padding, a kernel reshaped to `out` × (`in`·kh·kw) of norm σ is a convolution of norm
    at most σ times the root of this factor, whatever the image size.

    Args:
        kernel_size: Height and width.
        stride: Along height and width.
    """
    return math.prod(-(-k // s) for k, s in zip(kernel_size, stride, strict=True))


def circular_overlap_factor(kernel_size: Pair, stride: Pair, padding: Pair) -> int:
    """Largest number of times that patches read one pixel under circular padding.

    Above `overlap_factor` where the padding repeats outputs, or where a stride that does not divide
    the image lets patches on both sides of the seam read the same pixel. It holds for images of any
    size from that of the kernel on.

    Args:
        kernel_size: Height and width.
        stride: Along height and width.
        padding: Pixels on each side, along height and width.
    """
    factor = 1
    for k, s, p in zip(kernel_size, stride, padding, strict=True):
        # From k and 2p + 1 pixels on, a pixel has at most two copies in the padded image, and which
        # patches read them depends only on the image size modulo the stride: one period is enough.
        sizes = range(max(k, p), max(k, 2 * p + 1) + s)
        factor *= max(-(-k // s), *(_reads(k, s, p, n) for n in sizes))
    return factor


def conv_linf_norm_upper_bound(kernel: Float[Tensor, "out in kh kw"]) -> Float[Tensor, ""]:
    """A number that the L∞ → L∞ operator norm of a convolution does not exceed.

    The largest L1 norm of an output channel's kernel, rounded up: right for any stride, padding and
    image size, since every output is one such kernel times pixels of the image.

    Args:
        kernel: The kernel as it is used; float32 entries are exact in float64.

    Returns:
        In float64, on its device, without gradient.

    Raises:
        ValueError: As `boundable` does.
    """
    return linf_norm_upper_bound(kernel.flatten(1))


def patch_norm_bound(kernel: Float[Tensor, "out in kh kw"], overlap: int) -> Float[Tensor, ""]:
    """Upper bound in float64 on a convolution's L2 norm by its reshaped kernel, without gradient.

    √overlap times the spectral norm of the `out` × (`in`·kh·kw) matrix: the patches together have
    at most `overlap` times the squared norm of the image. A tensor, for use inside `vmap` and
    `compile`; the slack is that of `spectral_norm_upper_bound`.

    Args:
        kernel: The kernel as it is used.
        overlap: `overlap_factor`, or `circular_overlap_factor` under circular padding.
    """
    return math.sqrt(overlap) * (1 + 4 * _EPS) * spectral_norm_upper_bound(kernel.flatten(1))


def conv_spectral_norm_upper_bound(
    kernel: Float[Tensor, "out in kh kw"],
    *,
    stride: Pair,
    padding: Pair,
    padding_mode: str,
    input_size: Pair,
) -> float:
    """A number that the L2 → L2 operator norm of a convolution does not exceed.

    The smaller of two proven bounds. By patches: √overlap times the norm of the reshaped kernel.
    By frequencies: the largest singular value over the frequency blocks of the circular convolution
    on a torus, times the root of how often one of its outputs can appear: a stride only drops
    outputs, wide circular padding repeats some. Circular padding makes the image itself the torus,
    zero padding the image with so many zeros between its copies that no output reads two of them.

    Slack for rounding, with S the sum of the Frobenius norms of the kernel's taps, n the larger
    number of channels, B a frequency block and γ Higham's: γ(4·taps + 128)·S for the Fourier sum
    (64 roundings in a sine or cosine and its argument, twice for safety), 16·n·γ(n + 8)·‖B‖²_F,
    before the root, for the Gram matrix of a block and LAPACK's eigenvalues of it.

    Args:
        kernel: The kernel as it is used; float32 entries are exact in float64.
        stride: Along height and width.
        padding: Pixels on each side, along height and width.
        padding_mode: "zeros" or "circular".
        input_size: Height and width of the image before padding.

    Raises:
        ValueError: If there is no entry or one is not finite, the padding mode is another, or the
            image is too small for the kernel or for circular padding.

    Source:
        Sedghi, Gupta, Long (2019), arXiv:1805.10408.
    """
    weight = boundable(kernel.flatten(1)).view(kernel.shape)
    size: Pair = (weight.shape[2], weight.shape[3])
    axes = list(zip(size, stride, padding, input_size, strict=True))
    _check_image(axes, padding_mode)
    # Near 1, the squares of entries neither overflow nor vanish; powers of two scale exactly.
    exponent = min(max(math.frexp(float(weight.abs().max()))[1], -1000), 1000)
    weight = weight * 2.0**-exponent
    if padding_mode == "circular":
        overlap = math.prod(_reads(*axis) for axis in axes)
        repeats = math.prod(_repeats(*axis) for axis in axes)
        height, width = input_size
    else:
        overlap = overlap_factor(size, stride)
        repeats = 1
        height, width = (n + min(2 * p, k - 1) for k, _, p, n in axes)
    matrix_norm = float(spectral_norm_upper_bound(weight.flatten(1)))
    by_patches = _up(_up(math.sqrt(overlap)) * matrix_norm)
    by_frequencies = _up(_up(math.sqrt(repeats)) * _torus_norm_upper_bound(weight, height, width))
    return _up(math.ldexp(min(by_patches, by_frequencies), exponent))


def bcop_kernel(
    matrix: Float[Tensor, "*batch side other"],
    bases: Float[Tensor, "*batch count side rank"],
    kernel_size: Pair,
) -> Float[Tensor, "*batch side other kh kw"]:
    """A kernel that keeps norms: an orthonormal matrix followed by shifts of parts of the channels.

    Each of the kh + kw − 2 factors moves the channels' projection onto a subspace, or onto its
    complement in turn, by a pixel down or right: as a matrix of polynomials (I − VVᵀ) + VVᵀz. With
    orthonormal V every factor is orthogonal at every frequency, so the operator keeps norms under
    circular padding on an image of any size. Singular values below 1 in V or the matrix only
    shrink it.

    Args:
        matrix: Orthonormal columns, `side` ≥ `other`; else swap the kernel's channels.
        bases: Orthonormal columns V, one matrix per factor, kh + kw − 2 of them.
        kernel_size: Height and width.

    Raises:
        ValueError: If the number of bases is another.

    Source:
        Xiao et al. (2018), arXiv:1806.05393; Li et al. (2019), arXiv:1911.00937.
    """
    kh, kw = kernel_size
    if bases.shape[-3] != kh + kw - 2:
        raise ValueError(
            f"`bases` must hold kh + kw − 2 matrices, got {bases.shape[-3]} and "
            f"kernel_size={kernel_size}."
        )
    kernel = matrix[..., None, None]
    for i, (axis, complement) in enumerate(_shifts(kernel_size)):
        v = bases[..., i, :, :]
        stay = torch.nn.functional.pad(kernel, (0, 1) if axis == -1 else (0, 0, 0, 1))
        move = stay.roll(1, dims=axis)
        if complement:
            stay, move = move, stay
        part = v @ (v.mT @ (move - stay).flatten(-3))
        kernel = stay + part.unflatten(-1, stay.shape[-3:])
    return kernel


def bcop_norm_bound(
    matrix: Float[Tensor, "side other"],
    bases: Float[Tensor, "count side rank"],
    kernel_size: Pair,
) -> Float[Tensor, ""]:
    """Upper bound on the L2 norm of `bcop_kernel` as computed in float64, without gradient.

    It holds for zero padding, for circular padding that repeats no output, and for images of any
    size. With σ(V) the largest singular value of a basis, a factor has norm at most
    max(1, 2σ(V)² − 1): on an eigenvector of VVᵀ of eigenvalue λ it is 1 − λ + λz with |z| = 1.
    Rounding in one factor moves the kernel by at most γ(side + rank + 2)·(2‖V‖²_F + 1) times its
    Frobenius norm, which is at most √other times its norm, and the operator by √(kh·kw) times that;
    the slack is twice this for each factor. A tensor, for use inside `vmap` and `compile`.

    Args:
        matrix: As given to `bcop_kernel`, in float64.
        bases: As given to `bcop_kernel`, in float64.
        kernel_size: Height and width.
    """
    side, other = matrix.shape
    squared = spectral_norm_upper_bound(bases).square()
    norm = spectral_norm_upper_bound(matrix) * (2 * squared - 1).clamp_min(1).prod()
    moved = gamma(side + bases.shape[-1] + 2) * (4 * bases.shape[-1] * squared + 2).sum()
    slack = moved * math.sqrt(other * math.prod(kernel_size))
    return norm * (1 + slack) * (1 + (len(bases) + 8) * _EPS * 4)


def _shifts(kernel_size: Pair) -> list[tuple[int, bool]]:
    """The axis of each factor, rows and columns in turn, and whether the complement is what moves.

    In turn, so that the kernel's weight is centred also where the two subspaces differ in size.
    """
    kh, kw = kernel_size
    return [
        (axis, bool(i % 2))
        for i in range(max(kh, kw) - 1)
        for axis, taps in ((-2, kh), (-1, kw))
        if i < taps - 1
    ]


def _torus_norm_upper_bound(kernel: Tensor, height: int, width: int) -> float:
    """Upper bound on the norm of the circular convolution on a torus, kernel larger or not."""
    out, into, kh, kw = kernel.shape
    n = max(out, into)
    taps = kernel.permute(2, 3, 0, 1).reshape(kh * kw, out * into)
    y = torch.arange(kh * kw) // kw
    x = torch.arange(kh * kw) % kw
    # A real kernel has conjugate blocks at opposite frequencies: half of them are enough.
    half = width // 2 + 1
    largest = 0.0
    for chunk in torch.arange(height * half).split(max(1, _CHUNK // (out * into))):
        row, column = chunk[:, None] // half, chunk[:, None] % half
        # Reduced as integers, so no angle exceeds two turns.
        turns = (row * y % height).double() / height + (column * x % width).double() / width
        angle = 2 * math.pi * turns
        blocks = torch.complex(angle.cos() @ taps, -(angle.sin() @ taps)).view(-1, out, into)
        if out > into:
            blocks = blocks.mH
        gram = blocks @ blocks.mH
        slack = 16 * n * gamma(n + 8) * gram.diagonal(dim1=1, dim2=2).real.sum(dim=1)
        largest = max(largest, float((torch.linalg.eigvalsh(gram)[:, -1] + slack).max()))
    total = float(torch.linalg.vector_norm(taps, dim=1).sum())
    return _up(_up(math.sqrt(largest)) + gamma(4 * kh * kw + 128) * total)


def _reads(k: int, s: int, p: int, n: int) -> int:
    """How often the patches read the same of n pixels in a circle, at most."""
    starts = range(0, n + 2 * p - k + 1, s)
    return max(Counter((start + tap) % n for start in starts for tap in range(k)).values())


def _repeats(k: int, s: int, p: int, n: int) -> int:
    """How often the same of n outputs in a circle appears, at most."""
    return max(Counter(start % n for start in range(0, n + 2 * p - k + 1, s)).values())


def _check_image(axes: list[tuple[int, int, int, int]], padding_mode: str) -> None:
    if padding_mode not in ("zeros", "circular"):
        raise ValueError(f"`padding_mode` must be zeros or circular, got {padding_mode}.")
    for k, _, p, n in axes:
        if n + 2 * p < k or (padding_mode == "circular" and p > n):
            raise ValueError(
                "An image must hold the kernel, and as many pixels as circular padding repeats, "
                f"got {n} pixels, padding={p} and kernel_size={k}."
            )


def _up(x: float) -> float:
    return math.nextafter(x, math.inf)
