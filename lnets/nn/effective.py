"""Layers whose effective weight is a function of the raw one, computed no more than needed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class EffectiveWeight(nn.Module):
    """A layer with a raw `weight` and an effective one, the only thing its forward may use.

    In training the effective weight is computed, with its gradient, in every forward: give all
    samples of a step to one forward. In evaluation, unless gradients of the weight are wanted, it
    is computed once and kept until the weight changes. Writes through `weight.data` are not seen
    until the next `eval()`, since torch does not count them: write `with torch.no_grad():
    weight.copy_(...)` instead. Inside `torch.func` and `torch.compile` evaluation uses the weight
    of training, because a proof needs its numbers; `to_plain` has the proven one there too.

    Raises:
        ValueError: If it is built in `torch.inference_mode`.
    """

    weight: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        if torch.is_inference_mode_enabled():
            raise ValueError(
                "Layers must be built outside torch.inference_mode, whose tensors cannot be "
                "trained; use torch.no_grad, or build them before."
            )
        self._kept: tuple[Tensor, int, Tensor] | None = None

    def map_weight(self, weight: Tensor) -> Tensor:
        """The effective weight in training: differentiable, without side effects.

        Args:
            weight: Raw weight, in the layer's own shape.
        """
        raise TypeError(f"{type(self).__name__} must define `map_weight`.")

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The effective weight in evaluation: that of training, made to keep its bound for sure.

        Args:
            weight: Raw weight, in the layer's own shape.
        """
        return self.map_weight(weight)

    def project_(self) -> None:
        """What the layer does to its raw weight after each optimizer update; most do nothing."""

    def effective_weight(self) -> Tensor:
        """The weight that the layer applies to its input."""
        weight = self.weight
        if self.training:
            return self._map_in_full(weight)
        # Tensors that torch.func or torch.compile puts in the weight's place must not be kept.
        passing = torch.compiler.is_compiling() or not isinstance(weight, nn.Parameter)
        if passing:
            return self.map_weight(weight)
        # Tensors made in inference mode do not count their changes.
        if weight.is_inference() or (torch.is_grad_enabled() and weight.requires_grad):
            return self.prove_weight(weight)
        kept = self._kept
        if kept is None or kept[0] is not weight or kept[1] != weight._version:
            kept = (weight, weight._version, self.prove_weight(weight))
            self._kept = kept
        return kept[2]

    def _map_in_full(self, weight: Tensor) -> Tensor:
        """`map_weight` in the weight's own precision, also where products are shortened."""
        kind = weight.device.type
        # The device of shapes without numbers knows no autocast.
        if weight.is_meta or not torch.is_autocast_enabled(kind):
            return self.map_weight(weight)
        with torch.autocast(kind, enabled=False):
            return self.map_weight(weight)

    def train(self, mode: bool = True) -> "EffectiveWeight":
        """Switch between training and evaluation; forgets the kept weight."""
        self._kept = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "EffectiveWeight":
        self._kept = None  # another dtype or device leaves the parameter and its version alone
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}


def shrunk_to_one(weight: Tensor, upper_bound: Callable[[Tensor], Tensor]) -> Tensor:
    """A weight, or each of a stack, divided by a proven bound on its norm where that exceeds 1.

    A quotient is off by at most two roundings of itself, so the error of all together has at most
    the norm ε·‖W‖_F, and relative to a largest row sum at most ε; both are divided out too.

    Args:
        weight: Finite, in the dtype that it is used in.
        upper_bound: A proven bound on its L2 → L2 or L∞ → L∞ norm, in float64, one for each of a
            stack.
    """
    bounds = upper_bound(weight).to(weight.device)
    if (bounds <= 1).all():
        return weight
    eps = torch.finfo(weight.dtype).eps
    frobenius = weight.detach().double().flatten(bounds.ndim).norm(dim=-1)
    divisors = torch.where(bounds <= 1, 1, bounds * (1 + 3 * eps) + eps * frobenius)
    return weight / divisors.to(weight).view(*bounds.shape, *[1] * (weight.ndim - bounds.ndim))


def project_(model: nn.Module) -> None:
    """Let every layer of a model do what it does after an optimizer update.

    Call it after each `optimizer.step()` when a layer keeps a constraint by projection.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, EffectiveWeight):
                module.project_()
