"""A proven upper bound on the Lipschitz constant of a network, layer by layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lnets.functional.operator_norm import gamma, product_upper_bound
from lnets.nn.activations import Abs, GroupSort, Householder, Maxout, NActivation
from lnets.nn.bounds import (
    LayerBound,
    Norm,
    batch_norm,
    convolution,
    dense,
    mean,
    pooling,
)
from lnets.nn.conv import LipschitzConv2d
from lnets.nn.linear import LipschitzLinear
from lnets.nn.networks.images import ImageShape
from lnets.nn.normalize import Normalize
from lnets.nn.residual import LipschitzResidual, Residual
from lnets.nn.scale import Scale

__all__ = ["Certificate", "LayerBound", "Norm", "bound_layer", "certify", "chain"]


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
    speak of the function that the weights define, evaluated exactly. From then on the model
    computes it, even if something was written through `.data` before.

    Args:
        model: A network in evaluation mode whose layers run one after another; residual blocks
            hold such chains.
        input_shape: Of one input, without the batch; needed where a bound depends on the size of an
            image.
        norm: Of inputs and outputs alike.

    Raises:
        ValueError: If the model is in training mode, has weights that are empty, not finite,
            float16 or bfloat16, or contains a module for which no bound is proven in this norm; or
            if inputs of `input_shape` do not fit it.
    """
    if norm not in ("l2", "linf"):
        raise ValueError(f"`norm` must be 'l2' or 'linf', got {norm!r}.")
    if any(module.training for module in model.modules()):
        raise ValueError("A model must be in evaluation mode to be certified; call model.eval().")
    model.eval()  # lets layers forget kept weights: writes through `.data` have left no trace
    if input_shape is not None and min(input_shape, default=1) < 1:
        raise ValueError(f"`input_shape` must hold sizes of at least 1, got {tuple(input_shape)}.")
    example = None if input_shape is None else torch.zeros(1, *input_shape)
    for name, parameter in model.named_parameters():
        _refuse_numbers(name, parameter)
        example = None if example is None else example.to(parameter)
    for name, buffer in model.named_buffers():
        _refuse_numbers(name, buffer)
    layers = _bound_chain(chain(model), norm, example)
    bound = product_upper_bound([layer.bound for layer in layers])
    return Certificate(norm, tuple(layers), bound)


def _refuse_numbers(name: str, numbers: Tensor) -> None:
    """Of a parameter or buffer."""
    if not numbers.numel():
        raise ValueError(
            f"A network must have no empty weight to be certified, got {tuple(numbers.shape)} in "
            f"`{name}`."
        )
    if numbers.is_floating_point() and numbers.dtype.itemsize < 4:
        raise ValueError(
            f"Weights must be float32 or float64 to be certified, got {numbers.dtype} in "
            f"`{name}`; its rounding is larger than what a certificate is about."
        )
    if not numbers.isfinite().all():
        raise ValueError(f"All numbers must be finite to be certified, got others in `{name}`.")


def chain(module: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    """The layers that the input runs through, in order."""
    if not is_chain(module):
        return [(name or "(root)", module)]
    return [
        layer
        for inner_name, inner in module._modules.items()  # named_children leaves out repetitions
        if inner is not None
        for layer in chain(inner, f"{name}.{inner_name}" if name else inner_name)
    ]


def is_chain(module: nn.Module) -> bool:
    """Whether all that a module does is to run its layers one after another.

    Args:
        module: Any. A sequence with a forward of its own or hooks may do anything.
    """
    sequence = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    return sequence and not (module._forward_hooks or module._forward_pre_hooks)


def _bound_chain(
    layers: list[tuple[str, nn.Module]], norm: Norm, example: Tensor | None
) -> list[LayerBound]:
    bounds = []
    for name, module in layers:
        bounds.append(bound_layer(name, module, norm, example))
        example = None if example is None else _outputs(name, module, example)
    return bounds


def _outputs(name: str, module: nn.Module, example: Tensor) -> Tensor:
    """Of a layer."""
    try:
        with torch.no_grad():
            outputs: Tensor = module(example)
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(
            f"`input_shape` must fit the network, got one with which `{name}`, a "
            f"{type(module).__name__}, is given {tuple(example.shape[1:])}: {error}"
        ) from error
    return outputs


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
    _refuse_altered(name, module)
    match module:
        case LipschitzLinear():
            return dense(name, kind, module.effective_weight(), norm)
        case nn.Linear():
            return dense(name, kind, module.weight, norm)
        case LipschitzConv2d() | nn.Conv2d():
            return convolution(name, module, norm, example)
        case nn.MaxPool2d() | nn.AvgPool2d():
            return pooling(name, module, norm)
        case nn.AdaptiveAvgPool2d():
            return mean(name, module, norm, example)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return batch_norm(name, module)
        case Residual() | LipschitzResidual():
            return _residual(name, module, norm, example)
        case Householder():
            bound = 1.0 if norm == "l2" else math.nextafter(math.sqrt(2), 2)
            return LayerBound(name, kind, bound, "reflections of pairs")
    for kinds, factor, method in _CONSTANTS:
        if isinstance(module, kinds):
            return LayerBound(name, kind, factor, method)
    if isinstance(module, nn.LeakyReLU):
        return LayerBound(name, kind, max(1.0, abs(module.negative_slope)), "steepest slope")
    if isinstance(module, Scale):
        return LayerBound(name, kind, abs(module.factor), "the factor")
    if isinstance(module, Normalize):
        steepest = math.nextafter(1 / float(module.std.double().min()), math.inf)
        return LayerBound(name, kind, steepest, "smallest standard deviation")
    raise ValueError(
        f"No Lipschitz bound is proven for `{name}`, a {kind}. Build the network from the "
        "layers of lnets.nn, or add a case with its proof to lnets/nn/certificate.py."
    )


def _refuse_altered(name: str, module: nn.Module) -> None:
    """What is proven is proven of our forwards and torch's, and of nothing around them."""
    owner = next(kind for kind in type(module).__mro__ if "forward" in vars(kind))
    if not owner.__module__.startswith(("lnets.nn", "torch.nn")):
        raise ValueError(
            f"No Lipschitz bound is proven for `{name}`, a {owner.__name__} with a forward of its "
            "own. Put what it adds into a layer that is known."
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(
            f"No Lipschitz bound is proven for `{name}`, which has hooks that may change what it "
            "computes (torch's weight_norm and spectral_norm are such); remove them."
        )


_CONSTANTS: tuple[tuple[tuple[type[nn.Module], ...], float, str], ...] = (
    (
        (GroupSort, ImageShape, nn.Flatten, nn.Identity, nn.PixelUnshuffle, nn.PixelShuffle),
        1.0,
        "permutes its input",
    ),
    ((nn.Dropout, nn.Dropout2d), 1.0, "does nothing in evaluation"),
    ((Maxout,), 1.0, "largest of each group"),
    ((nn.ReLU, nn.Tanh, Abs, NActivation), 1.0, "steepest slope"),
    ((nn.Sigmoid,), 0.25, "steepest slope"),
)


def _residual(
    name: str, module: Residual | LipschitzResidual, norm: Norm, example: Tensor | None
) -> LayerBound:
    """|a·f(x) + b·g(x)| moves at most as much as both summands together, in any norm."""
    total = 0.0
    for branch in module.branches():
        layers = _bound_chain(chain(branch.module, f"{name}.{branch.name}"), norm, example)
        total += branch.weight * product_upper_bound([layer.bound for layer in layers])
    # A weight, a product and a sum are rounded; the slack is for twice as many roundings.
    return LayerBound(name, type(module).__name__, total * (1 + gamma(8)), "sum of branches")
