"""Proven Lipschitz bounds of single layers in evaluation mode."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lnets.functional.convolution import (
    conv_linf_norm_upper_bound,
    conv_spectral_norm_upper_bound,
    overlap_factor,
)
from lnets.functional.operator_norm import (
    gamma,
    linf_norm_upper_bound,
    spectral_norm_upper_bound,
)
from lnets.nn.conv import LipschitzConv2d

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d
Norm = Literal["l2", "linf"]


@dataclass(frozen=True)
class LayerBound:
    """What one layer contributes."""

    name: str
    """The layer's name in the network."""
    module: str
    """Its class."""
    bound: float
    """Upper bound on its Lipschitz constant in the certificate's norm."""
    method: str
    """How the bound was found."""


def dense(name: str, kind: str, weight: Tensor, norm: Norm) -> LayerBound:
    """The norm of a matrix.

    Args:
        name: What to call the layer.
        kind: Its class.
        weight: The matrix as it is used.
        norm: Of inputs and outputs alike.
    """
    if norm == "linf":
        return LayerBound(name, kind, float(linf_norm_upper_bound(weight)), "largest row sum")
    bound = float(spectral_norm_upper_bound(weight))
    return LayerBound(name, kind, bound, "singular values in float64")


def convolution(
    name: str, module: LipschitzConv2d | nn.Conv2d, norm: Norm, example: Tensor | None
) -> LayerBound:
    """The norm of a convolution on images of one size.

    Args:
        name: What to call the layer.
        module: The convolution.
        norm: Of inputs and outputs alike.
        example: A batch of its inputs, of which only the shape counts; needed in L2.

    Raises:
        ValueError: If no bound is proven for its options, or the example is missing or no image.
    """
    kind = type(module).__name__
    if module.groups != 1 or tuple(module.dilation) != (1, 1):
        raise ValueError(
            f"No Lipschitz bound is proven for groups or dilation other than 1, got groups="
            f"{module.groups} and dilation={module.dilation} in `{name}`."
        )
    if module.padding_mode not in ("zeros", "circular") or isinstance(module.padding, str):
        raise ValueError(
            "No Lipschitz bound is proven for a padding other than so many zeros or circular "
            f"pixels, got {module.padding_mode!r} and {module.padding!r} in `{name}`."
        )
    kernel: Tensor = module.weight
    if isinstance(module, LipschitzConv2d):
        kernel = module.effective_weight()
    if norm == "linf":
        bound = float(conv_linf_norm_upper_bound(kernel))
        return LayerBound(name, kind, bound, "largest kernel sum")
    if example is None:
        raise ValueError(f"`input_shape` is needed to certify `{name}`, a {kind}.")
    bound = conv_spectral_norm_upper_bound(
        kernel,
        stride=(module.stride[0], module.stride[1]),
        padding=(module.padding[0], module.padding[1]),
        padding_mode=module.padding_mode,
        input_size=_image_size(name, example),
    )
    return LayerBound(name, kind, bound, "frequencies, or overlapping patches")


def pooling(name: str, module: nn.MaxPool2d | nn.AvgPool2d, norm: Norm) -> LayerBound:
    """A window's maximum moves no more than its entries, its mean 1/√size as much.

    Args:
        name: What to call the layer.
        module: The pooling.
        norm: Of inputs and outputs alike.

    Raises:
        ValueError: If no bound is proven for its options.
    """
    kind = type(module).__name__
    sizes = [_pair(module.kernel_size), _pair(module.stride)]
    plain = not module.ceil_mode
    if isinstance(module, nn.MaxPool2d):
        plain = plain and _pair(module.dilation) == (1, 1)
    else:
        plain = plain and module.count_include_pad and module.divisor_override is None
    if not plain:
        raise ValueError(
            f"No Lipschitz bound is proven for the options of `{name}`, a {kind}; leave out "
            "ceil_mode, dilation, count_include_pad and divisor_override."
        )
    if norm == "linf":
        return LayerBound(name, kind, 1.0, "largest or mean of each window")
    squared = float(overlap_factor(*sizes))
    if isinstance(module, nn.AvgPool2d):
        squared /= math.prod(sizes[0])
    bound = 1.0 if squared == 1 else math.nextafter(math.sqrt(squared), math.inf)
    return LayerBound(name, kind, bound, "windows that share a pixel")


def mean(name: str, module: nn.AdaptiveAvgPool2d, norm: Norm, example: Tensor | None) -> LayerBound:
    """The mean of n pixels moves no more than they do, in L2 only 1/√n as much.

    Args:
        name: What to call the layer.
        module: The pooling, to one pixel.
        norm: Of inputs and outputs alike.
        example: A batch of its inputs, of which only the shape counts; None takes n to be 1.

    Raises:
        ValueError: If it pools to more than one pixel, or the example is no image.
    """
    kind = type(module).__name__
    if module.output_size not in (1, (1, 1)):
        raise ValueError(
            "No Lipschitz bound is proven for adaptive pooling to more than one pixel, got "
            f"{module.output_size} in `{name}`."
        )
    if norm == "linf" or example is None:
        return LayerBound(name, kind, 1.0, "mean of all pixels")
    pixels = math.prod(_image_size(name, example))
    bound = math.nextafter(1 / math.nextafter(math.sqrt(pixels), 0), math.inf)
    return LayerBound(name, kind, min(1.0, bound), "mean of all pixels")


def batch_norm(name: str, module: BatchNorm) -> LayerBound:
    """The steepest channel of y = γ·(x − mean)/√(var + eps) + β with stored mean and var.

    The factors are those of a diagonal matrix, so the largest is the norm in L2 and in L∞. Five
    roundings in float64 lead to the bound; the slack is for eight.

    Args:
        name: What to call the layer.
        module: Batch normalisation in evaluation mode.

    Raises:
        ValueError: If it uses statistics of the batch, which couple its samples, or its numbers
            are not finite, or a variance is negative.
    """
    if module.training or module.running_var is None or module.running_mean is None:
        raise ValueError(
            f"Batch normalisation must use stored statistics to be certified, got `{name}` with "
            "those of the batch; call eval() and leave track_running_stats on."
        )
    var = module.running_var.detach().to(device="cpu", dtype=torch.float64) + module.eps
    numbers = [var, module.running_mean, *module.parameters()]
    if not all(torch.isfinite(x).all() for x in numbers) or not (var > 0).all():
        raise ValueError(
            "Batch normalisation must have finite numbers and positive variances to have a bound, "
            f"got others in `{name}`."
        )
    slopes = 1 / var.sqrt()
    if module.affine:
        slopes = slopes * module.weight.detach().to(slopes).abs()
    bound = float(slopes.max()) * (1 + gamma(8))
    return LayerBound(name, type(module).__name__, bound, "steepest channel")


def _image_size(name: str, example: Tensor) -> tuple[int, int]:
    if example.ndim != 4:
        raise ValueError(
            f"`input_shape` must be such that `{name}` is given (channels, height, width), got "
            f"{tuple(example.shape[1:])}."
        )
    return example.shape[-2], example.shape[-1]


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
