"""A proven upper bound on the Lipschitz constant of a network, layer by layer."""

import math
from collections.abc import Sequence
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
    linf_norm_upper_bound,
    product_upper_bound,
    spectral_norm_upper_bound,
)
from lnets.nn.activations import Abs, GroupSort, Householder, Maxout, NActivation
from lnets.nn.conv import LipschitzConv2d
from lnets.nn.linear import LipschitzLinear
from lnets.nn.scale import Scale

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


@dataclass(frozen=True)
class Certificate:
    """An upper bound on the Lipschitz constant of a network, inputs and outputs in one norm."""

    norm: Norm
    """The norm: L2 or L∞."""
    layers: tuple[LayerBound, ...]
    """The layers in their order."""
    lipschitz_upper_bound: float
    """The product of their bounds, rounded up."""

    def __str__(self) -> str:
        """The layers as a table, the bound of the whole below."""
        rows = [
            (layer.name, layer.module, f"{layer.bound:.9g}", layer.method) for layer in self.layers
        ]
        rows.append(("", "all", f"{self.lipschitz_upper_bound:.9g}", f"product, norm {self.norm}"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(
            "  ".join(
                [*(part.ljust(width) for part, width in zip(row, widths, strict=False)), row[3]]
            )
            for row in rows
        )


def certify(
    model: nn.Module, input_shape: Sequence[int] | None = None, *, norm: Norm = "l2"
) -> Certificate:
    """Prove an upper bound on the Lipschitz constant from the weights as they are.

    Bounds are computed in float64 with slack for rounding, whatever the dtype of the model. They
    speak of the function that the weights define, evaluated exactly.

    Args:
        model: A network in evaluation mode whose layers run one after another.
        input_shape: Of one input, without the batch; needed where a bound depends on the size of an
            image.
        norm: Of inputs and outputs alike.

    Raises:
        ValueError: If the model is in training mode, has weights that are not finite or are float16
            or bfloat16, or contains a module for which no bound is proven in this norm.
    """
    if norm not in ("l2", "linf"):
        raise ValueError(f"`norm` must be 'l2' or 'linf', got {norm!r}.")
    if model.training:
        raise ValueError("A model must be in evaluation mode to be certified; call model.eval().")
    if input_shape is not None and min(input_shape, default=1) < 1:
        raise ValueError(f"`input_shape` must hold sizes of at least 1, got {tuple(input_shape)}.")
    example = None if input_shape is None else torch.zeros(1, *input_shape)
    for name, parameter in model.named_parameters():
        if parameter.dtype.itemsize < 4:
            raise ValueError(
                f"Weights must be float32 or float64 to be certified, got {parameter.dtype} in "
                f"`{name}`; its rounding is larger than what a certificate is about."
            )
        example = None if example is None else example.to(parameter)
    layers = []
    for name, module in chain(model):
        layers.append(bound_layer(name, module, norm, example))
        with torch.no_grad():
            example = None if example is None else module(example)
    bound = product_upper_bound([layer.bound for layer in layers])
    return Certificate(norm, tuple(layers), bound)


def chain(module: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    """The layers that the input runs through, in order."""
    if not isinstance(module, nn.Sequential):
        return [(name or "(root)", module)]
    return [
        layer
        for inner_name, inner in module.named_children()
        for layer in chain(inner, f"{name}.{inner_name}" if name else inner_name)
    ]


def bound_layer(
    name: str, module: nn.Module, norm: Norm, example: Tensor | None = None
) -> LayerBound:
    """The bound of one layer, in evaluation mode.

    Args:
        name: What to call it.
        module: The layer.
        norm: Of inputs and outputs alike.
        example: A batch of inputs to this layer, of which only the shape counts.

    Raises:
        ValueError: If no bound is proven for it.
    """
    kind = type(module).__name__
    match module:
        case LipschitzLinear():
            return _dense(name, kind, module.effective_weight(), norm)
        case nn.Linear():
            return _dense(name, kind, module.weight, norm)
        case LipschitzConv2d() | nn.Conv2d():
            return _convolution(name, module, norm, example)
        case nn.MaxPool2d() | nn.AvgPool2d():
            return _pooling(name, module, norm)
        case Householder():
            bound = 1.0 if norm == "l2" else math.nextafter(math.sqrt(2), 2)
            return LayerBound(name, kind, bound, "reflections of pairs")
    for kinds, factor, method in _CONSTANTS:
        if isinstance(module, kinds):
            return LayerBound(name, kind, factor, method)
    if isinstance(module, Scale):
        return LayerBound(name, kind, abs(module.factor), "the factor")
    raise ValueError(
        f"No Lipschitz bound is proven for `{name}`, a {kind}. Build the network from the "
        "layers of lnets.nn, or add a case with its proof to lnets/nn/certificate.py."
    )


_CONSTANTS: tuple[tuple[tuple[type[nn.Module], ...], float, str], ...] = (
    (
        (GroupSort, nn.Flatten, nn.Identity, nn.PixelUnshuffle, nn.PixelShuffle),
        1.0,
        "permutes its input",
    ),
    ((nn.Dropout, nn.Dropout2d), 1.0, "does nothing in evaluation"),
    ((Maxout,), 1.0, "largest of each group"),
    ((nn.ReLU, nn.Tanh, Abs, NActivation), 1.0, "steepest slope"),
    ((nn.Sigmoid,), 0.25, "steepest slope"),
)


def _dense(name: str, kind: str, weight: Tensor, norm: Norm) -> LayerBound:
    if norm == "linf":
        return LayerBound(name, kind, linf_norm_upper_bound(weight), "largest row sum")
    bound = spectral_norm_upper_bound(weight)
    return LayerBound(name, kind, bound, "singular values in float64")


def _convolution(
    name: str, module: LipschitzConv2d | nn.Conv2d, norm: Norm, example: Tensor | None
) -> LayerBound:
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
        return LayerBound(name, kind, conv_linf_norm_upper_bound(kernel), "largest kernel sum")
    if example is None:
        raise ValueError(f"`input_shape` is needed to certify `{name}`, a {kind}.")
    bound = conv_spectral_norm_upper_bound(
        kernel,
        stride=(module.stride[0], module.stride[1]),
        padding=(module.padding[0], module.padding[1]),
        padding_mode=module.padding_mode,
        input_size=(example.shape[-2], example.shape[-1]),
    )
    return LayerBound(name, kind, bound, "frequencies, or overlapping patches")


def _pooling(name: str, module: nn.MaxPool2d | nn.AvgPool2d, norm: Norm) -> LayerBound:
    """A window's maximum moves no more than its entries, its mean 1/√size as much."""
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


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
