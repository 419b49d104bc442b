"""Convolutions whose effective kernel is a function of the raw weight and of norm at most 1."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.convolution import (
    bcop_kernel,
    bcop_norm_bound,
    circular_overlap_factor,
    conv_linf_norm_upper_bound,
    overlap_factor,
    patch_norm_bound,
)
from lnets.functional.orthonormalize import bjorck
from lnets.functional.projections import project_l1_ball_rows
from lnets.nn.arguments import pair, refuse_below, refuse_bjorck, refuse_wide_padding
from lnets.nn.effective import EffectiveWeight, shrunk_to_one


class LipschitzConv2d(EffectiveWeight):
    """What the convolutions have in common; `effective_weight` is an `nn.Conv2d`'s kernel.

    `overlap` is how often the patches read one pixel at most. Circular padding needs an image at
    least as large as the kernel.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Height and width, or one number for both; so are stride and padding.
        stride: Pixels from patch to patch.
        padding: Pixels added on each side, fewer than the kernel has.
        padding_mode: "zeros" or "circular".
        bias: Whether to add a bias.
        dilation: Must be 1.
        groups: Must be 1.

    Raises:
        ValueError: If an argument is out of range, or no bound is proven for it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        padding_mode: str = "zeros",
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        refuse_below(1, in_channels=in_channels, out_channels=out_channels)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair("kernel_size", kernel_size, least=1)
        self.stride = pair("stride", stride, least=1)
        self.padding = pair("padding", padding, least=0)
        self.padding_mode = padding_mode
        self.dilation = pair("dilation", dilation, least=1)
        self.groups = groups
        self._refuse_unproven()
        self.overlap = overlap_factor(self.kernel_size, self.stride)
        if padding_mode == "circular":
            self.overlap = circular_overlap_factor(self.kernel_size, self.stride, self.padding)
        self.weight = nn.Parameter(torch.empty(self.weight_shape()))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the raw weight."""
        return (self.out_channels, self.in_channels, *self.kernel_size)

    def reset_parameters(self) -> None:
        """A weight of norm about 1, bias uniform in ±1/√(in·kh·kw)."""
        self.reset_weight()
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_channels * math.prod(self.kernel_size))
            nn.init.uniform_(self.bias, -bound, bound)

    def reset_weight(self) -> None:
        """A raw weight to start from: orthonormal once reshaped."""
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Float[Tensor, "*batch in h w"]) -> Float[Tensor, "*batch out p q"]:
        """The convolution."""
        kernel = self.effective_weight()
        if self.padding_mode == "zeros":
            return nn.functional.conv2d(x, kernel, self.bias, self.stride, self.padding)
        size, (height, width) = tuple(x.shape[-2:]), self.padding
        if any(n < k for n, k in zip(size, self.kernel_size, strict=True)):
            raise ValueError(
                "With circular padding an image must be at least as large as the kernel, got "
                f"{size} and kernel_size={self.kernel_size}."
            )
        x = nn.functional.pad(x, (width, width, height, height), mode="circular")
        return nn.functional.conv2d(x, kernel, self.bias, self.stride)

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        names = ("kernel_size", "stride", "padding", "padding_mode")
        options = "".join(f", {name}={getattr(self, name)}" for name in names)
        return f"{self.in_channels}, {self.out_channels}{options}, bias={self.bias is not None}"

    def _refuse_unproven(self) -> None:
        if self.padding_mode not in ("zeros", "circular"):
            raise ValueError(
                "`padding_mode` must be zeros or circular, since others count pixels at the border "
                f"twice and no bound is proven for them, got {self.padding_mode}."
            )
        if self.dilation != (1, 1) or self.groups != 1:
            raise ValueError(
                "`dilation` and `groups` must be 1, the only case for which a bound is proven, got "
                f"dilation={self.dilation} and groups={self.groups}."
            )
        refuse_wide_padding(self.padding, self.kernel_size)

    def _at_most_one(self, kernel: Tensor, bound: Tensor, dtype: torch.dtype) -> Tensor:
        """A kernel in another dtype, made to keep L2 norm 1 by dividing where it must.

        A division in float64 and a rounding to `dtype` change no entry by more than its epsilon, or
        by a number below the smallest normal one; any kernel E has norm √overlap·‖E‖_F at most.
        """
        info = torch.finfo(dtype)
        entries = kernel.detach().double().norm() + kernel.numel() * info.tiny
        rounding = info.eps * math.sqrt(self.overlap) * entries
        # The last factor is for the roundings of this line.
        divisor = ((bound + rounding) * (1 + 1e-15)).clamp_min(1)
        return (kernel.double() / divisor).to(dtype)


class OrthonormalConv2d(LipschitzConv2d):
    """What the convolutions have in common whose raw weight is orthonormalized.

    Args beyond those of `LipschitzConv2d`:
        bjorck_iter: Iterations of the orthonormalization.
        bjorck_order: 1 to 4.
        bjorck_beta: Step size of order 1, in (0, 0.5].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        padding_mode: str = "zeros",
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bjorck_iter: int = 20,
        bjorck_order: int = 1,
        bjorck_beta: float = 0.5,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            padding_mode=padding_mode,
            bias=bias,
            dilation=dilation,
            groups=groups,
        )
        refuse_bjorck(bjorck_iter, bjorck_beta, bjorck_order)
        self.bjorck_iter = bjorck_iter
        self.bjorck_order = bjorck_order
        self.bjorck_beta = bjorck_beta

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{super().extra_repr()}, bjorck_iter={self.bjorck_iter}"

    def _orthonormalized(self, matrices: Tensor) -> Tensor:
        order, beta = self.bjorck_order, self.bjorck_beta
        return bjorck(matrices, iterations=self.bjorck_iter, order=order, beta=beta)


class BjorckConv2d(OrthonormalConv2d):
    """A convolution whose patches meet an orthonormal matrix, divided by the root of their overlap.

    The `out` × (`in`·kh·kw) matrix is orthonormal by Björck's iteration. The patches together have
    at most overlap times the squared norm of the image, so the layer is 1-Lipschitz in L2 for any
    stride, padding and image size. Norms are kept only where patches do not overlap. The arguments
    are those of `OrthonormalConv2d`.

    Source:
        Anil et al. (2019), arXiv:1811.05381; Tsuzuku et al. (2018), arXiv:1802.04034, on overlap.
    """

    def map_weight(self, weight: Tensor) -> Tensor:
        """The reshaped weight, orthonormalized and divided by √overlap."""
        matrix = self._orthonormalized(weight.flatten(1))
        return matrix.unflatten(1, weight.shape[1:]) / math.sqrt(self.overlap)

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The kernel of training, divided by its bound where that exceeds 1."""
        kernel = self.map_weight(weight)
        return self._at_most_one(kernel, patch_norm_bound(kernel, self.overlap), weight.dtype)


class BCOPConv2d(OrthonormalConv2d):
    """A convolution that keeps norms: its kernel is orthogonal at every frequency.

    Under circular padding with as many outputs as inputs all its singular values are 1. With
    `out_channels` ≥ `in_channels` zero padding of k − 1 pixels keeps norms too. Other padding drops
    outputs, which leaves it 1-Lipschitz.

    The raw weight has max(`in`, `out`) rows: min(`in`, `out`) columns for the matrix that mixes
    channels, then max(1, rows // 2) for each of the kh + kw − 2 subspaces `bcop_kernel` shifts.

    BCOP was chosen over Cayley and SOC because its kernel is explicit and small: it can be kept,
    proven and exported as an ordinary `nn.Conv2d`, for images of any size. AOC adds a second kernel
    for strides; here `nn.PixelUnshuffle` before the layer serves, which keeps norms. Arguments are
    those of `OrthonormalConv2d`, but no stride and no circular padding that repeats outputs.

    Source:
        Li et al. (2019), arXiv:1911.00937.
    """

    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the raw weight."""
        side, other, count, rank = self._sizes()
        return side, other + count * rank

    def reset_weight(self) -> None:
        """Orthonormal parts."""
        matrix, bases = self._parts(self.weight.data)
        for part in (matrix, *bases):
            part.copy_(nn.init.orthogonal_(torch.empty_like(part)))

    def map_weight(self, weight: Tensor) -> Tensor:
        """The kernel composed from the orthonormalized parts of the weight."""
        return self._compose(*map(self._orthonormalized, self._parts(weight)))

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The kernel composed in float64, divided by its bound where that exceeds 1."""
        matrix, bases = map(self._orthonormalized, self._parts(weight.double()))
        bound = bcop_norm_bound(matrix, bases, self.kernel_size)
        return self._at_most_one(self._compose(matrix, bases), bound, weight.dtype)

    def _refuse_unproven(self) -> None:
        super()._refuse_unproven()
        if self.stride != (1, 1):
            raise ValueError(
                "`stride` of a BCOP convolution must be 1, since a larger one drops outputs and "
                f"norm with them, got {self.stride}. Put nn.PixelUnshuffle before it."
            )
        wide = any(2 * p > k - 1 for p, k in zip(self.padding, self.kernel_size, strict=True))
        if self.padding_mode == "circular" and wide:
            raise ValueError(
                "Circular `padding` must be at most (kernel_size − 1) / 2, since a wider one "
                f"repeats outputs, got padding={self.padding} and kernel_size={self.kernel_size}."
            )

    def _compose(self, matrix: Tensor, bases: Tensor) -> Tensor:
        kernel = bcop_kernel(matrix, bases, self.kernel_size)
        return kernel if self.out_channels >= self.in_channels else kernel.transpose(0, 1)

    def _parts(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix that mixes channels, and the bases of the subspaces."""
        _, other, count, rank = self._sizes()
        matrix, bases = weight.split([other, count * rank], dim=1)
        return matrix, bases.unflatten(1, (count, rank)).transpose(0, 1)

    def _sizes(self) -> tuple[int, int, int, int]:
        """Channels of the larger and the smaller side, number and dimension of the subspaces."""
        other, side = sorted((self.in_channels, self.out_channels))
        return side, other, sum(self.kernel_size) - 2, max(1, side // 2)


class LInfProjectedConv2d(LipschitzConv2d):
    """A convolution of L∞ → L∞ norm at most 1: each output channel's kernel lies in the L1 ball.

    It holds for any stride, padding and image size: every output is one such kernel times pixels.

    Source:
        Anil, Lucas, Grosse (2019), arXiv:1811.05381.
    """

    def reset_weight(self) -> None:
        """Uniform kernels of L1 norm about 1, of which the projection zeroes next to nothing."""
        fan = self.in_channels * math.prod(self.kernel_size)
        nn.init.uniform_(self.weight, -2 / fan, 2 / fan)

    def map_weight(self, weight: Tensor) -> Tensor:
        """The kernel of each output channel, projected."""
        return project_l1_ball_rows(weight.flatten(1)).unflatten(1, weight.shape[1:])

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The kernel of training, divided by its bound where that exceeds 1."""
        return shrunk_to_one(kernel := self.map_weight(weight), conv_linf_norm_upper_bound(kernel))
