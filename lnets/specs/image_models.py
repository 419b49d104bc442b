"""Networks for images: inputs of shape (channels, height, width)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.layers import BCOPConvSpec, ConvSpec, LinearSpec, PaddingMode, norm_kept
from lnets.specs.network import (
    HiddenLayersSpec,
    LipschitzConstant,
    NetworkSpec,
    Shape,
    Share,
    Width,
)
from lnets.specs.spec import Broken, rule_broken

OutputDim = Annotated[int, Field(ge=1, le=65536)]
Pixels = Annotated[int, Field(ge=1, le=1024)]
BlockCount = Annotated[int, Field(ge=0, le=100)]


class FullyConvSpec(HiddenLayersSpec):
    """Convolutions with an activation between every two; the output is an image again.

    A critic is the mean over the pixels of its output.
    """

    OUTPUT: ClassVar[str] = "channels"
    SIZES: ClassVar[tuple[str, ...]] = ("channels", "kernels")
    WIDTHS: ClassVar[str | None] = "channels"
    NARROWS: ClassVar[bool] = True

    type: Literal["fully_conv"]
    channels: tuple[Width, ...] = Field(min_length=1, max_length=64)
    """Channels of every convolution, the output last."""
    kernels: tuple[Pixels, ...]
    """Height and width of each convolution's kernel."""
    strides: tuple[Pixels, ...] | None = None
    """Pixels from patch to patch, of each convolution; null is 1 for all."""
    padding: int = Field(0, ge=0, le=1024)
    """Pixels added on each side, for all convolutions; smaller than every kernel."""
    padding_mode: PaddingMode = "zeros"
    """What is added: zeros, or pixels from the other side (circular)."""
    conv: ConvSpec
    """The convolutions."""
    l_constant: LipschitzConstant = 1.0
    """Lipschitz constant that the network is scaled to: every one of n convolutions by its n-th
    root."""

    def hidden_widths(self) -> tuple[int, ...]:
        """Channels of each hidden convolution."""
        return self.channels[:-1]

    def all_strides(self) -> tuple[int, ...]:
        """One per convolution."""
        return (1,) * len(self.channels) if self.strides is None else self.strides

    @model_validator(mode="after")
    def _every_convolution_is_described(self) -> Self:
        for name, values in (("kernels", self.kernels), ("strides", self.all_strides())):
            if len(values) != len(self.channels):
                message = (
                    "must have one entry per convolution, as channels has, got "
                    f"{len(values)} entries for {len(self.channels)} convolutions"
                )
                raise rule_broken(((name,), message))
        smallest = min(self.kernels)
        if self.padding >= smallest:
            message = (
                "must be smaller than every kernel, since patches farther out see nothing of the "
                f"image, got padding={self.padding} and kernel {smallest}; lower the padding"
            )
            raise rule_broken((("padding",), message))
        if isinstance(self.conv, BCOPConvSpec):
            self._refuse_what_bcop_cannot()
        return self

    def _refuse_what_bcop_cannot(self) -> None:
        if max(self.all_strides()) > 1:
            message = (
                "must be 1 for bcop_conv2d, which would drop outputs and norm with them, got "
                f"{list(self.all_strides())}; leave strides out, or use bjorck_conv2d"
            )
            raise rule_broken((("strides",), message))
        smallest = min(self.kernels)
        if self.padding_mode == "circular" and 2 * self.padding > smallest - 1:
            message = (
                "must be at most (kernel − 1) / 2 for circular bcop_conv2d, since more repeats "
                f"outputs, got padding={self.padding} and kernel {smallest}; lower the padding"
            )
            raise rule_broken((("padding",), message))

    def misfits(self, shape: Shape) -> list[Broken]:
        """Kernels that are larger than their image."""
        if len(shape) != 3:
            return [_no_image(self.type, shape)]
        for i, (height, width) in enumerate(self._image_sizes(shape)):
            size, kernel = min(height, width), self.kernels[i]
            found = f"image {height} × {width} at convolution {i}"
            # The image itself must hold the kernel where padding repeats it.
            room = size + (2 * self.padding if self.padding_mode == "zeros" else 0)
            if kernel > room:
                rule = "must not exceed its image, zeros around it included"
                remedy = "use smaller kernels or strides, or more padding"
                if self.padding_mode == "circular":
                    rule = "must not exceed its image under circular padding"
                    remedy = "use smaller kernels or strides"
                message = f"{rule}, got kernel {kernel}, padding {self.padding} and {found}"
                return [(("kernels", i), f"{message}; {remedy}")]
        return []

    def output_shape(self, shape: Shape) -> Shape:
        """Channels and size of the last convolution's image."""
        *_, size = self._image_sizes(shape, last=True)
        return self.channels[-1], *size

    def _image_sizes(self, shape: Shape, *, last: bool = False) -> Iterator[tuple[int, int]]:
        """Height and width before each convolution, and after the last one if asked for."""
        _, height, width = shape
        for kernel, stride in zip(self.kernels, self.all_strides(), strict=True):
            yield height, width
            added = 2 * self.padding - kernel
            height, width = (height + added) // stride + 1, (width + added) // stride + 1
        if last:
            yield height, width


class _ImagesToVectors(NetworkSpec):
    output_dim: OutputDim
    """Numbers per output."""

    def misfits(self, shape: Shape) -> list[Broken]:
        """What is no image."""
        return [] if len(shape) == 3 else [_no_image(self.type, shape)]

    def output_shape(self, shape: Shape) -> Shape:
        """A vector."""
        return (self.output_dim,)


class LeNetSpec(HiddenLayersSpec, _ImagesToVectors):
    """Two 5 × 5 convolutions with max pooling and two linear layers, for 28 × 28 pixels."""

    type: Literal["lenet"]
    conv: ConvSpec
    """The convolutions."""
    linear: LinearSpec
    """The linear layers."""
    dropout: Share = 0.0
    """Probability with which training drops a channel of the second convolution, and a unit of the
    hidden linear layer."""
    l_constant: LipschitzConstant = 1.0
    """Lipschitz constant that the network is scaled to: each of four layers by its fourth root."""

    def hidden_widths(self) -> tuple[int, ...]:
        """Channels of the convolutions and units of the hidden linear layer."""
        return 10, 20, 50

    def misfits(self, shape: Shape) -> list[Broken]:
        """Images of another size."""
        if len(shape) != 3:
            return [_no_image(self.type, shape)]
        if shape[1:] == (28, 28):
            return []
        message = (
            f"must take the samples' size, but lenet takes 28 × 28 pixels, got {shape[1]} × "
            f"{shape[2]}; use fully_conv or infogan_discriminator"
        )
        return [(("type",), message)]


class _BatchNormalizedSpec(_ImagesToVectors):
    @property
    def normalizes_batches(self) -> bool:
        """It does."""
        return True


class ResNet32Spec(_BatchNormalizedSpec):
    """A residual network with batch normalisation and ReLU, unconstrained, for comparison."""

    type: Literal["resnet32"]


class WideResNet32Spec(_BatchNormalizedSpec):
    """`resnet32` with all channels multiplied."""

    SIZES: ClassVar[tuple[str, ...]] = ("widen", "output_dim")

    type: Literal["wide_resnet32"]
    widen: int = Field(10, ge=1, le=64)
    """Factor of all channels."""


class InfoGanDiscriminatorSpec(HiddenLayersSpec, _ImagesToVectors):
    """Two 4 × 4 convolutions of stride 2 and two linear layers: the critic of the GANs."""

    SIZES: ClassVar[tuple[str, ...]] = ("widths", "batch_norm", "output_dim")
    WIDTHS: ClassVar[str | None] = "widths"

    type: Literal["infogan_discriminator"]
    widths: tuple[Width, Width, Width] = (64, 128, 1024)
    """Channels of the convolutions, and units of the hidden linear layer."""
    conv: ConvSpec
    """The convolutions; their stride is 2."""
    linear: LinearSpec
    """The linear layers."""
    batch_norm: bool = False
    """Whether the second and third layer are normalised by the batch, as in the critic that the
    original clips; for standard layers only."""
    l_constant: LipschitzConstant = 1.0
    """Lipschitz constant that the network is scaled to: each of four layers by its fourth root."""

    def hidden_widths(self) -> tuple[int, ...]:
        """Channels of the convolutions and units of the hidden linear layer."""
        return self.widths

    @model_validator(mode="after")
    def _layers_allow_what_is_done(self) -> Self:
        if isinstance(self.conv, BCOPConvSpec):
            message = (
                "must allow the stride 2 of infogan_discriminator, got bcop_conv2d, whose stride "
                "is always 1; use bjorck_conv2d, or lipschitz_resnet"
            )
            raise rule_broken((("conv", "type"), message))
        kinds = (self.conv.type, self.linear.type)
        if self.batch_norm and any(map(norm_kept, kinds)):
            message = f"must be false with Lipschitz layers, whose bound it undoes, got {kinds}"
            raise rule_broken((("batch_norm",), message))
        return self

    def misfits(self, shape: Shape) -> list[Broken]:
        """Images that cannot be halved twice."""
        return _not_halved_twice(self.type, shape)


class LipschitzResNetSpec(HiddenLayersSpec, _ImagesToVectors):
    """Three stages of residual blocks (1 − α)·x + α·block(x), and a linear layer at the end."""

    SIZES: ClassVar[tuple[str, ...]] = ("channels", "blocks", "output_dim")
    WIDTHS: ClassVar[str | None] = "channels"

    type: Literal["lipschitz_resnet"]
    channels: tuple[Width, Width, Width] = (32, 64, 128)
    """Of the three stages."""
    blocks: tuple[BlockCount, BlockCount, BlockCount] = (2, 2, 2)
    """Residual blocks of the three stages."""
    alpha: float = Field(0.5, ge=0, le=1)
    """Share of the convolutions in a residual block."""
    padding_mode: PaddingMode = "zeros"
    """What is added around images: zeros, or pixels from the other side (circular), under which
    bcop_conv2d keeps norms."""
    conv: ConvSpec
    """The convolutions."""
    linear: LinearSpec
    """The last layer."""
    l_constant: LipschitzConstant = 1.0
    """Lipschitz constant that the network is scaled to: each of n layers by its n-th root, where a
    residual block is one layer."""

    def hidden_widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return self.channels

    def misfits(self, shape: Shape) -> list[Broken]:
        """Images that cannot be halved twice, or become smaller than a kernel."""
        problems = _not_halved_twice(self.type, shape)
        if not problems and self.padding_mode == "circular" and shape[1] < 12:
            message = (
                "must be zeros for images below 12 × 12 pixels, which after two halvings do not "
                f"hold a 3 × 3 kernel, got circular and {shape[1]} × {shape[2]}"
            )
            return [(("padding_mode",), message)]
        return problems


def _no_image(kind: str, shape: Shape) -> Broken:
    message = (
        f"must be fully_connected for samples of shape {list(shape)}, got {kind}, which takes "
        "(channels, height, width); or set `flatten: false` of image_samples, or "
        "`reshape_to_grid` of shells, in both distributions"
    )
    return ("type",), message


def _not_halved_twice(kind: str, shape: Shape) -> list[Broken]:
    if len(shape) != 3:
        return [_no_image(kind, shape)]
    _, height, width = shape
    if height == width and height % 4 == 0:
        return []
    message = (
        f"must take the samples' size, but {kind} takes squares whose side is a multiple of 4, "
        f"got {height} × {width} pixels; use fully_conv or resnet32"
    )
    return [(("type",), message)]
