"""How far a float64 evaluation of a network may be off by rounding."""

import math

import torch
from torch import Tensor, nn

from lnets.functional.operator_norm import gamma
from lnets.nn.certificate import LayerBound, bound_layer, chain
from lnets.nn.conv import LipschitzConv2d
from lnets.nn.linear import LipschitzLinear
from lnets.nn.scale import Scale

# Of tanh and sigmoid in units of the last place; libraries promise 1 to 4.
_ELEMENTARY = 8


def evaluation_error(model: nn.Module, x: Tensor) -> float:
    """Bound on the error of every output of a network, as computed, at given inputs.

    A layer passes on the error of its input, at most its Lipschitz constant as large, and adds its
    own: a product with a matrix of n columns at most γₙ₊₂·(‖W‖_F·‖x‖ + ‖b‖).

    Args:
        model: Certifiable, in evaluation mode, float64.
        x: Inputs, which are taken to be exact.

    Returns:
        In output units, an L2 norm over the outputs of one input.

    Source:
        Higham (2002), Accuracy and Stability of Numerical Algorithms, section 3.5.
    """
    error = 0.0
    with torch.no_grad():
        for name, module in chain(model):
            size = _largest(x)
            bound = bound_layer(name, module, "l2", x)
            x = module(x)
            pixels = x[0, 0].numel() if x.ndim > 2 else 1
            error = bound.bound * error + _own_error(module, bound, size, _largest(x), pixels)
    # The roundings of this formula itself are far below the slack of γₙ₊₂ over γₙ.
    return error * (1 + 1e-9)


def _own_error(module: nn.Module, bound: LayerBound, size: float, out: float, pixels: int) -> float:
    if isinstance(module, (LipschitzLinear, nn.Linear)):
        weight: Tensor = module.weight
        if isinstance(module, LipschitzLinear):
            weight = module.effective_weight()
        offset = 0.0 if module.bias is None else float(module.bias.norm())
        return gamma(weight.shape[1] + 2) * (float(weight.norm()) * size + offset)
    if isinstance(module, (LipschitzConv2d, nn.Conv2d)):
        kernel: Tensor = module.weight
        if isinstance(module, LipschitzConv2d):
            kernel = module.effective_weight()
        # Every output is a product with a row of k numbers, every input is in at most k of them.
        k = kernel[0].numel()
        offset = 0.0 if module.bias is None else float(module.bias.norm()) * math.sqrt(pixels)
        return gamma(k + 2) * (math.sqrt(k) * float(kernel.norm()) * size + offset)
    if isinstance(module, Scale):
        return gamma(1) * out
    if isinstance(module, (nn.Tanh, nn.Sigmoid)):
        return gamma(_ELEMENTARY) * out
    # The rest sorts, selects or flips signs, which is exact, or adds a few products.
    return 0.0 if bound.method == "permutes its input" else gamma(_ELEMENTARY) * (size + out)


def _largest(x: Tensor) -> float:
    """The largest norm of a sample."""
    return float(x.flatten(1).norm(dim=1).max())
