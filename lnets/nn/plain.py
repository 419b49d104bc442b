"""The same function in torch's own layers: for evaluation, attacks and export."""

import copy

import torch
from torch import Tensor, nn

from lnets.nn.conv import LipschitzConv2d
from lnets.nn.linear import LipschitzLinear

# Both sides multiply by the same matrices, so they differ by the order of sums at most.
_AGREEMENT = 1e-6


def to_plain(model: nn.Module, example: Tensor | None = None) -> nn.Module:
    """A new model in which ordinary layers carry the proven effective weights.

    Args:
        model: Any model in evaluation mode; it is not changed.
        example: Inputs on which the two are compared; None compares nothing but the weights.

    Raises:
        ValueError: If the model is in training mode.
        ArithmeticError: If the two disagree on the example by more than 1e-6 of the output's size.
    """
    if any(module.training for module in model.modules()):
        raise ValueError("A model must be in evaluation mode to be converted; call model.eval().")
    model.eval()  # lets layers forget kept weights: writes through `.data` have left no trace
    plain = _plain(model)
    if example is not None:
        with torch.no_grad():
            expected, got = model(example), plain(example)
        difference = float((expected - got).abs().max())
        if not difference <= _AGREEMENT * max(1.0, float(expected.abs().max())):
            raise ArithmeticError(
                f"The plain model must agree with the original, got a difference of {difference}."
            )
    return plain


def _plain(module: nn.Module) -> nn.Module:
    if isinstance(module, LipschitzLinear):
        return _filled(
            nn.Linear(module.in_features, module.out_features, bias=module.bias is not None),
            module,
        )
    if isinstance(module, LipschitzConv2d):
        return _filled(
            nn.Conv2d(
                module.in_channels,
                module.out_channels,
                module.kernel_size,
                module.stride,
                module.padding,
                bias=module.bias is not None,
                padding_mode="circular" if module.padding_mode == "circular" else "zeros",
            ),
            module,
        )
    twin = copy.copy(module)
    twin._modules = {
        name: None if child is None else _plain(child) for name, child in module._modules.items()
    }
    twin._parameters = {
        name: None if p is None else nn.Parameter(p.detach().clone(), p.requires_grad)
        for name, p in module._parameters.items()
    }
    twin._buffers = {
        name: None if b is None else b.detach().clone() for name, b in module._buffers.items()
    }
    return twin


def _filled(plain: nn.Module, layer: LipschitzLinear | LipschitzConv2d) -> nn.Module:
    """An ordinary layer with the weight that a Lipschitz layer uses in evaluation."""
    with torch.no_grad():
        weight = layer.effective_weight()
    state = {"weight": weight} | ({} if layer.bias is None else {"bias": layer.bias.detach()})
    plain = plain.to(weight)
    plain.load_state_dict(state)
    return plain.eval()
