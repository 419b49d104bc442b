"""A proven upper bound on the Lipschitz constant of a network, layer by layer."""

from dataclasses import dataclass

from torch import nn

from lnets.functional.operator_norm import product_upper_bound, spectral_norm_upper_bound
from lnets.nn.activations import Abs, GroupSort, Maxout
from lnets.nn.linear import BjorckLinear
from lnets.nn.scale import Scale


@dataclass(frozen=True)
class LayerBound:
    """What one layer contributes."""

    name: str
    """The layer's name in the network."""
    module: str
    """Its class."""
    bound: float
    """Upper bound on its L2 → L2 Lipschitz constant."""
    method: str
    """How the bound was found."""


@dataclass(frozen=True)
class Certificate:
    """An upper bound on the L2 → L2 Lipschitz constant of a network."""

    layers: tuple[LayerBound, ...]
    """The layers in their order."""
    lipschitz_upper_bound: float
    """The product of their bounds, rounded up."""


def certify(model: nn.Module) -> Certificate:
    """Prove an upper bound on the Lipschitz constant from the weights as they are.

    Bounds are computed in float64 with slack for rounding, whatever the dtype of the model. They
    speak of the function that the weights define, evaluated exactly.

    Args:
        model: A network of dense layers in evaluation mode, run one after another.

    Raises:
        ValueError: If the model is in training mode, has weights that are not finite, or contains
            a module for which no bound is proven.
    """
    if model.training:
        raise ValueError("A model must be in evaluation mode to be certified; call model.eval().")
    layers = tuple(_bound(name, module) for name, module in _chain(model, ""))
    return Certificate(layers, product_upper_bound([layer.bound for layer in layers]))


def _chain(module: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    """The layers that the input runs through, in order."""
    if not isinstance(module, nn.Sequential):
        return [(name or "(root)", module)]
    return [
        layer
        for inner_name, inner in module.named_children()
        for layer in _chain(inner, f"{name}.{inner_name}" if name else inner_name)
    ]


def _bound(name: str, module: nn.Module) -> LayerBound:
    kind = type(module).__name__
    match module:
        case BjorckLinear():
            bound = spectral_norm_upper_bound(module.effective_weight())
            return LayerBound(name, kind, bound, "singular values in float64")
        case nn.Linear():
            bound = spectral_norm_upper_bound(module.weight)
            return LayerBound(name, kind, bound, "singular values in float64")
        case Scale():
            return LayerBound(name, kind, abs(module.factor), "the factor")
        case GroupSort() | nn.Flatten() | nn.Identity():
            return LayerBound(name, kind, 1.0, "permutes its input")
        case Maxout():
            return LayerBound(name, kind, 1.0, "largest of each group")
        case nn.ReLU() | nn.Tanh() | Abs():
            return LayerBound(name, kind, 1.0, "steepest slope")
        case nn.Sigmoid():
            return LayerBound(name, kind, 0.25, "steepest slope")
        case _:
            raise ValueError(
                f"No Lipschitz bound is proven for `{name}`, a {kind}. Build the network from the "
                "layers of lnets.nn, or add a case with its proof to lnets/nn/certificate.py."
            )
