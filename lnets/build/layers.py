"""Linear layers, convolutions and activations of a spec."""

from typing import Any, assert_never

from torch import nn

from lnets.build.options import bjorck_options
from lnets.build.original import original_conv, original_linear
from lnets.nn import (
    Abs,
    BCOPConv2d,
    BjorckConv2d,
    BjorckLinear,
    GroupSort,
    Householder,
    LInfProjectedConv2d,
    LInfProjectedLinear,
    Maxout,
    NActivation,
    OrthogonalLinear,
    ParsevalL2Linear,
    RotatedLinear,
    SpectralNormLinear,
)
from lnets.specs.layers import (
    BCOPConvSpec,
    BjorckConvSpec,
    BjorckLinearSpec,
    ConvSpec,
    LinearSpec,
    LInfProjectedConvSpec,
    LInfProjectedLinearSpec,
    OrthogonalLinearSpec,
    PaddingMode,
    ParsevalL2LinearSpec,
    SpectralNormalLinearSpec,
    StandardConvSpec,
    StandardLinearSpec,
)
from lnets.specs.network import Activation

# Of the original's critics.
_LEAK = 0.2


def build_linear(
    spec: LinearSpec, in_features: int, out_features: int, *, faithful: bool = False
) -> nn.Module:
    """One linear layer, with fresh random weights.

    Args:
        spec: Which one.
        in_features: Numbers per input.
        out_features: Numbers per output.
        faithful: Whether it computes what the original LNets code does.
    """
    if faithful:
        return original_linear(spec, in_features, out_features)
    match spec:
        case StandardLinearSpec():
            return nn.Linear(in_features, out_features, bias=spec.bias)
        case BjorckLinearSpec():
            return BjorckLinear(
                in_features,
                out_features,
                safe_scaling=spec.safe_scaling,
                bias=spec.bias,
                **bjorck_options(spec),
            )
        case OrthogonalLinearSpec(mode="rotate") if rotates(in_features, out_features):
            return RotatedLinear(
                in_features, out_features, drift=spec.allowed_drift(), bias=spec.bias
            )
        case OrthogonalLinearSpec():
            return OrthogonalLinear(
                in_features,
                out_features,
                method=spec.method,
                mode="forward" if spec.mode == "forward" else "retract",
                drift=spec.allowed_drift(),
                bias=spec.bias,
            )
        case LInfProjectedLinearSpec():
            return LInfProjectedLinear(in_features, out_features, bias=spec.bias)
        case SpectralNormalLinearSpec():
            return SpectralNormLinear(
                in_features, out_features, power_iters=spec.power_iters, bias=spec.bias
            )
        case ParsevalL2LinearSpec():
            return ParsevalL2Linear(
                in_features,
                out_features,
                bjorck_iter=spec.bjorck_iter,
                bjorck_beta=spec.bjorck_beta,
                bias=spec.bias,
            )
        case _:
            assert_never(spec)


def rotates(in_features: int, out_features: int) -> bool:
    """Whether a layer of this shape is trained by rotations where they are asked for.

    Those of a lopsided one would be far larger than its weight, which is cheap to bring back.
    """
    return max(in_features, out_features) <= 2 * min(in_features, out_features)


def build_conv(
    spec: ConvSpec,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    padding_mode: PaddingMode = "zeros",
    faithful: bool = False,
) -> nn.Module:
    """One convolution, with fresh random weights.

    Args:
        spec: Which one.
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Height and width; so are stride and padding.
        stride: Pixels from patch to patch.
        padding: Pixels added on each side.
        padding_mode: What is added.
        faithful: Whether it computes what the original LNets code does.
    """
    sizes = (in_channels, out_channels, kernel_size)
    options: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "padding_mode": padding_mode,
        "bias": spec.bias,
    }
    if faithful:
        return original_conv(spec, *sizes, **options)
    match spec:
        case StandardConvSpec():
            return nn.Conv2d(*sizes, **options)
        case BjorckConvSpec():
            return BjorckConv2d(*sizes, **(options | bjorck_options(spec)))
        case LInfProjectedConvSpec():
            return LInfProjectedConv2d(*sizes, **options)
        case BCOPConvSpec():
            return BCOPConv2d(*sizes, **(options | bjorck_options(spec)))
        case _:
            assert_never(spec)


def build_activation(kind: Activation, group_size: int, width: int, *, axis: int = -1) -> nn.Module:
    """The activation after one hidden layer.

    Args:
        kind: Its name.
        group_size: Units per group, for those that have groups.
        width: Units or channels of the layer.
        axis: The axis of units: −1 for vectors, 1 for images.
    """
    match kind:
        case "maxmin" | "group_sort":
            return GroupSort(group_size, axis)
        case "maxout":
            return Maxout(group_size, axis)
        case "householder":
            return Householder(width // 2, axis)
        case "n_activation":
            return NActivation(width, axis)
        case "relu":
            return nn.ReLU()
        case "leaky_relu":
            return nn.LeakyReLU(_LEAK)
        case "abs":
            return Abs()
        case "tanh":
            return nn.Tanh()
        case "sigmoid":
            return nn.Sigmoid()
        case "identity":
            return nn.Identity()
        case _:
            assert_never(kind)
