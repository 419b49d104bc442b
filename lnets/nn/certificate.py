"""A proven upper bound on the Lipschitz constant of a network, layer by layer."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from lnets.functional.operator_norm import (
    linf_norm_upper_bound,
    product_upper_bound,
    spectral_norm_upper_bound,
)
from lnets.nn.activations import Abs, GroupSort, Householder, Maxout, NActivation
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


def certify(model: nn.Module, *, norm: Norm = "l2") -> Certificate:
    """Prove an upper bound on the Lipschitz constant from the weights as they are.

    Bounds are computed in float64 with slack for rounding, whatever the dtype of the model. They
    speak of the function that the weights define, evaluated exactly.

    Args:
        model: A network of dense layers in evaluation mode, run one after another.
        norm: Of inputs and outputs alike.

    Raises:
        ValueError: If the model is in training mode, has weights that are not finite or are float16
            or bfloat16, or contains a module for which no bound is proven in this norm.
    """
    if norm not in ("l2", "linf"):
        raise ValueError(f"`norm` must be 'l2' or 'linf', got {norm!r}.")
    if model.training:
        raise ValueError("A model must be in evaluation mode to be certified; call model.eval().")
    for name, parameter in model.named_parameters():
        if parameter.dtype.itemsize < 4:
            raise ValueError(
                f"Weights must be float32 or float64 to be certified, got {parameter.dtype} in "
                f"`{name}`; its rounding is larger than what a certificate is about."
            )
    layers = tuple(_bound(name, module, norm) for name, module in _chain(model, ""))
    bound = product_upper_bound([layer.bound for layer in layers])
    return Certificate(norm, layers, bound)


def _chain(module: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    """The layers that the input runs through, in order."""
    if not isinstance(module, nn.Sequential):
        return [(name or "(root)", module)]
    return [
        layer
        for inner_name, inner in module.named_children()
        for layer in _chain(inner, f"{name}.{inner_name}" if name else inner_name)
    ]


def _bound(name: str, module: nn.Module, norm: Norm) -> LayerBound:
    kind = type(module).__name__
    match module:
        case LipschitzLinear():
            return _dense(name, kind, module.effective_weight(), norm)
        case nn.Linear():
            return _dense(name, kind, module.weight, norm)
        case Scale():
            return LayerBound(name, kind, abs(module.factor), "the factor")
        case GroupSort() | nn.Flatten() | nn.Identity():
            return LayerBound(name, kind, 1.0, "permutes its input")
        case nn.Dropout() | nn.Dropout2d():
            return LayerBound(name, kind, 1.0, "does nothing in evaluation")
        case Maxout():
            return LayerBound(name, kind, 1.0, "largest of each group")
        case nn.ReLU() | nn.Tanh() | Abs() | NActivation():
            return LayerBound(name, kind, 1.0, "steepest slope")
        case nn.Sigmoid():
            return LayerBound(name, kind, 0.25, "steepest slope")
        case Householder():
            bound = 1.0 if norm == "l2" else math.nextafter(math.sqrt(2), 2)
            return LayerBound(name, kind, bound, "reflections of pairs")
        case _:
            raise ValueError(
                f"No Lipschitz bound is proven for `{name}`, a {kind}. Build the network from the "
                "layers of lnets.nn, or add a case with its proof to lnets/nn/certificate.py."
            )


def _dense(name: str, kind: str, weight: Tensor, norm: Norm) -> LayerBound:
    if norm == "linf":
        return LayerBound(name, kind, linf_norm_upper_bound(weight), "largest row sum")
    bound = spectral_norm_upper_bound(weight)
    return LayerBound(name, kind, bound, "singular values in float64")
