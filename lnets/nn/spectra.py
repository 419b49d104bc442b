"""Singular values of the layers of a network."""

import torch
from torch import Tensor, nn

from lnets.functional.spectra import conv_singular_values
from lnets.nn.conv import LipschitzConv2d
from lnets.nn.effective import EffectiveWeight
from lnets.nn.linear import BjorckLinear, LipschitzLinear
from lnets.nn.orthogonal import OrthogonalLinear

_Dense = LipschitzLinear | nn.Linear
_Convolution = LipschitzConv2d | nn.Conv2d


def singular_values(model: nn.Module) -> dict[str, Tensor]:
    """Singular values of every dense layer and convolution, by its name in the network.

    Of the effective weights, so in evaluation mode of what is certified. A convolution's are those
    of `conv_singular_values`: of the operator on a small torus. Scales between layers belong to
    none of them; convolutions with groups are left out.

    Args:
        model: Any network with finite weights.

    Returns:
        Of each layer a vector, the largest first, on the model's device.
    """
    with torch.no_grad():
        return {
            name or "(root)": _values(layer).sort(descending=True).values
            for name, layer in model.named_modules()
            if isinstance(layer, _Dense) or (isinstance(layer, _Convolution) and layer.groups == 1)
        }


def orthonormality_error(model: nn.Module) -> float | None:
    """The largest |σ − 1| of all dense layers that are made orthonormal; None if there are none.

    Args:
        model: Any network with finite weights.
    """
    layers = [m for m in model.modules() if isinstance(m, BjorckLinear | OrthogonalLinear)]
    with torch.no_grad():
        values = [torch.linalg.svdvals(layer.effective_weight()) for layer in layers]
    return max((float((each - 1).abs().max()) for each in values), default=None)


def _values(layer: _Dense | _Convolution) -> Tensor:
    weight = layer.effective_weight() if isinstance(layer, EffectiveWeight) else layer.weight
    if isinstance(layer, _Dense):
        return torch.linalg.svdvals(weight)
    return conv_singular_values(weight, (layer.stride[0], layer.stride[1]))
