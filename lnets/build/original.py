"""Layers and projections of a spec as the original LNets code computes them."""

from typing import Any, assert_never

from torch import nn

from lnets.build.options import bjorck_options
from lnets.nn.original import (
    OriginalBjorckConv2d,
    OriginalBjorckLinear,
    OriginalLInfProjectedConv2d,
    OriginalLInfProjectedLinear,
    OriginalParsevalL2Linear,
    OriginalSpectralNormLinear,
    OriginalStandardLinear,
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
    ParsevalL2LinearSpec,
    SpectralNormalLinearSpec,
    StandardConvSpec,
    StandardLinearSpec,
)


def original_linear(spec: LinearSpec, in_features: int, out_features: int) -> nn.Module:
    """One linear layer, with fresh random weights; of a type that the original has."""
    sizes, bias = (in_features, out_features), spec.bias
    match spec:
        case StandardLinearSpec():
            return OriginalStandardLinear(*sizes, bias=bias)
        case BjorckLinearSpec():
            options = bjorck_options(spec) | {"safe_scaling": spec.safe_scaling}
            return OriginalBjorckLinear(*sizes, bias=bias, **options)
        case LInfProjectedLinearSpec():
            return OriginalLInfProjectedLinear(*sizes, bias=bias)
        case SpectralNormalLinearSpec():
            return OriginalSpectralNormLinear(*sizes, bias=bias, power_iters=spec.power_iters)
        case ParsevalL2LinearSpec(bjorck_iter=iterations, bjorck_beta=beta):
            return OriginalParsevalL2Linear(
                *sizes, bias=bias, bjorck_iter=iterations, bjorck_beta=beta
            )
        case OrthogonalLinearSpec():
            raise AssertionError("The spec refuses what the original does not have.")
        case _:
            assert_never(spec)


def original_conv(
    spec: ConvSpec, in_channels: int, out_channels: int, kernel_size: int, **options: Any
) -> nn.Module:
    """One convolution, with fresh random weights; of a type that the original has.

    Args:
        spec: Which one.
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Height and width.
        **options: As of the layers.
    """
    sizes = (in_channels, out_channels, kernel_size)
    match spec:
        case StandardConvSpec():
            return nn.Conv2d(*sizes, **options)
        case BjorckConvSpec():
            return OriginalBjorckConv2d(*sizes, **(options | bjorck_options(spec)))
        case LInfProjectedConvSpec():
            return OriginalLInfProjectedConv2d(*sizes, **options)
        case BCOPConvSpec():
            raise AssertionError("The spec refuses what the original does not have.")
        case _:
            assert_never(spec)
