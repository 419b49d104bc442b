"""The same function in torch's own layers: for evaluation, attacks and export."""

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from lnets.nn.certificate import is_chain
from lnets.nn.conv import LipschitzConv2d
from lnets.nn.linear import LipschitzLinear
from lnets.nn.rotated import RotatedLinear

# Both sides multiply by the same matrices, so they differ by the order of sums at most.
_AGREEMENT = 1e-6


def to_plain(model: nn.Module, example: Tensor | None = None) -> nn.Module:
    """A new model in which ordinary layers carry the proven effective weights.

    `nn.Linear` and `nn.Conv2d` take the place of Lipschitz layers, `nn.Sequential` that of networks
    which are one; all else is copied. Parameters stay frozen where they are, and layers that share
    a weight or a bias share it in the new model too, unless their effective weights differ.

    Every new layer is compared with the old one on random inputs of its own.

    Args:
        model: Any model in evaluation mode; it is not changed.
        example: Inputs on which the whole of both is compared as well.

    Raises:
        ValueError: If the model is in training mode.
        ArithmeticError: If a layer, or the whole, disagrees by more than 1e-6 of the output's size.
    """
    if any(module.training for module in model.modules()):
        raise ValueError("A model must be in evaluation mode to be converted; call model.eval().")
    model.eval()  # lets layers forget kept weights: writes through `.data` have left no trace
    # What deepcopy finds here it takes instead of a copy, in every place.
    twins: dict[int, Any] = {}
    weights: dict[int, nn.Parameter] = {}
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if isinstance(module, (LipschitzLinear, LipschitzConv2d)):
            twins[id(module)] = _plain(module, weights, twins)
            _refuse_disagreement(name or "(root)", module, twins[id(module)], _inputs(module))
    for module in reversed(modules.values()):  # from the inside out
        if is_chain(module):
            layers = [(name, copy.deepcopy(m, twins)) for name, m in module._modules.items()]
            twins.setdefault(id(module), nn.Sequential(OrderedDict(layers)).eval())
    plain: nn.Module = copy.deepcopy(model, twins)
    if example is not None:
        _refuse_disagreement("(root)", model, plain, example)
    return plain


def _plain(
    layer: LipschitzLinear | LipschitzConv2d,
    weights: dict[int, nn.Parameter],
    twins: dict[int, Any],
) -> nn.Module:
    """An ordinary layer with the weight that a Lipschitz layer uses in evaluation.

    `weights` has the effective weights of raw ones; `twins` is as in `to_plain`.
    """
    bias = layer.bias is not None
    plain: nn.Linear | nn.Conv2d
    if isinstance(layer, LipschitzLinear):
        plain = nn.Linear(layer.in_features, layer.out_features, bias=bias, device="meta")
    else:
        plain = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            bias=bias,
            padding_mode="circular" if layer.padding_mode == "circular" else "zeros",
            device="meta",
        )
    with torch.no_grad():
        weight = layer.effective_weight()
    shared = weights.get(id(layer.weight))
    if shared is None or not torch.equal(shared, weight):
        trained = layer.rotation if isinstance(layer, RotatedLinear) else layer.weight
        shared = nn.Parameter(weight.clone(), trained.requires_grad)
        weights[id(layer.weight)] = shared
    plain.weight = shared
    plain.bias = copy.deepcopy(layer.bias, twins)
    return plain.eval()


def _inputs(layer: LipschitzLinear | LipschitzConv2d) -> Tensor:
    """Random, but no numbers that a user's seed has been set for."""
    shape: tuple[int, ...] = (4,)
    if isinstance(layer, LipschitzLinear):
        shape += (layer.in_features,)
    else:
        sizes = zip(layer.kernel_size, layer.padding, strict=True)
        shape += (layer.in_channels, *(kernel + padding for kernel, padding in sizes))
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(layer.weight)


def _refuse_disagreement(name: str, model: nn.Module, plain: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        expected, got = model(x), plain(x)
    difference = float((expected - got).abs().max())
    if not difference <= _AGREEMENT * max(1.0, float(expected.abs().max())):
        raise ArithmeticError(
            f"The plain model must agree with the original, got a difference of {difference} in "
            f"`{name}`. Remove hooks and forwards of its own from what is to be converted."
        )
