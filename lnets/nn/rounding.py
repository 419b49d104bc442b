"""How far a float64 evaluation of a network may be off by rounding."""

import math

import torch
from torch import Tensor, nn

from lnets.functional.operator_norm import gamma
from lnets.nn.bounds import BatchNorm, LayerBound
from lnets.nn.certificate import bound_layer, chain
from lnets.nn.conv import LipschitzConv2d
from lnets.nn.linear import LipschitzLinear
from lnets.nn.normalize import Normalize
from lnets.nn.residual import LipschitzResidual, Residual
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
    return evaluate_with_error(model, x)[1]


def evaluate_with_error(model: nn.Module, x: Tensor) -> tuple[Tensor, float]:
    """The outputs of a network, and `evaluation_error` of them.

    Args:
        model: As there.
        x: As there.
    """
    with torch.no_grad():
        outputs, error = _chain_error(chain(model), x, 0.0)
    # The roundings of this formula itself are far below the slack of γₙ₊₂ over γₙ.
    return outputs, error * (1 + 1e-9)


def _chain_error(
    layers: list[tuple[str, nn.Module]], x: Tensor, error: float
) -> tuple[Tensor, float]:
    """Outputs as computed, and a bound on their error given one on that of the inputs."""
    for name, module in layers:
        if isinstance(module, (Residual, LipschitzResidual)):
            x, error = _residual_error(name, module, x, error)
            continue
        bound = bound_layer(name, module, "l2", x)
        y = module(x)
        error = bound.bound * error + _own_error(module, bound, x, y)
        x = y
    return x, error


def _residual_error(
    name: str, module: Residual | LipschitzResidual, x: Tensor, error: float
) -> tuple[Tensor, float]:
    """Each branch passes on its own error; its weight, the product and the sum are rounded."""
    total = 0.0
    for branch in module.branches():
        layers = chain(branch.module, f"{name}.{branch.name}")
        y, inner = _chain_error(layers, x, error)
        total += branch.weight * (inner + gamma(3) * _largest(y))
    return module(x), total


def _own_error(module: nn.Module, bound: LayerBound, x: Tensor, y: Tensor) -> float:
    """What the evaluation of one layer adds, given its inputs and outputs as computed."""
    size, out = _largest(x), _largest(y)
    pixels = y[0, 0].numel() if y.ndim > 2 else 1
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
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        # Whether the mean is subtracted before or after its factor, no term has over 7 roundings.
        return gamma(_ELEMENTARY) * (bound.bound * size + math.sqrt(pixels) * _offset(module))
    if isinstance(module, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
        # A sum over a window and a division.
        window = x[0, 0].numel()
        if isinstance(module, nn.AvgPool2d):
            kernel_size = module.kernel_size
            window = kernel_size**2 if isinstance(kernel_size, int) else math.prod(kernel_size)
        return gamma(window + 2) * bound.bound * size
    if isinstance(module, (Scale, Normalize)):
        return gamma(2) * out
    if isinstance(module, (nn.Tanh, nn.Sigmoid)):
        return gamma(_ELEMENTARY) * out
    # The rest sorts, selects or flips signs, which is exact, or adds a few products.
    return 0.0 if bound.method == "permutes its input" else gamma(_ELEMENTARY) * (size + out)


def _offset(module: BatchNorm) -> float:
    """Norm over the channels of what batch normalisation subtracts and adds, after its factors."""
    if module.running_mean is None or module.running_var is None:
        raise AssertionError("Such batch normalisation has no bound.")
    slopes = (module.running_var + module.eps).rsqrt()
    if not module.affine:
        return float((module.running_mean * slopes).norm())
    return float((module.running_mean * slopes * module.weight).norm() + module.bias.norm())


def _largest(x: Tensor) -> float:
    """The largest norm of a sample."""
    return float(x.flatten(1).norm(dim=1).max())
