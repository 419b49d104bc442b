"""Layers whose effective weight is a function of the raw one, computed no more than needed."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lnets.functional.tracing import is_tracing, without_autocast

# What works otherwise in training than in evaluation.
_RANDOM = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


class EffectiveWeight(nn.Module):
    """A layer with a raw `weight` and an effective one, the only thing its forward may use.

    In training the effective weight is computed, with its gradient, in every forward: give all
    samples of a step to one forward. In evaluation it is proven as well. Unless gradients of the
    weight are wanted, it is then computed once and kept until the weight changes; what
    `torch.compile`, `torch.export` and `torch.func` trace cannot know that it has not, and proves
    it in every forward. `to_plain` saves them that. Writes through `weight.data` are not seen until
    the next `eval()`, since torch does not count them: write `with torch.no_grad():
    weight.copy_(...)` instead. Autocast is kept from the map and the proof.

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
        self._kept: tuple[list[tuple[Tensor, int]], Tensor] | None = None
        self._constant: Tensor | None = None

    def map_weight(self, weight: Tensor) -> Tensor:
        """The effective weight in training: differentiable, without side effects.

        Args:
            weight: Raw weight, in the layer's own shape.
        """
        raise TypeError(f"{type(self).__name__} must define `map_weight`.")

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The effective weight in evaluation: that of training, made to keep its bound for sure.

        By tensor operations only, so that it can be traced.

        Args:
            weight: Raw weight, in the layer's own shape.
        """
        return self.map_weight(weight)

    def project_(self) -> None:
        """What the layer does to its raw weight after each optimizer update; most do nothing."""

    def sources(self) -> tuple[Tensor, ...]:
        """The parameters that the effective weight is a function of."""
        return (self.weight,)

    def effective_weight(self) -> Tensor:
        """The weight that the layer applies to its input."""
        weight = self.weight
        if self.training:
            if self._constant is not None:
                return self._constant
            with without_autocast(weight):
                return self.map_weight(weight)
        sources = self.sources()
        # Tensors that torch.func or torch.compile puts in the weight's place must not be kept, nor
        # those made in inference mode, whose changes torch does not count.
        constant = not torch.compiler.is_compiling() and all(
            isinstance(source, nn.Parameter)
            and not source.is_inference()
            and not (torch.is_grad_enabled() and source.requires_grad)
            for source in sources
        )
        kept = self._kept
        if constant and kept and _unchanged(kept[0], sources):
            return kept[1]
        with without_autocast(weight):
            proven = self.prove_weight(weight)
        if constant and not is_tracing():
            self._kept = ([(source, source._version) for source in sources], proven)
        return proven

    def train(self, mode: bool = True) -> "EffectiveWeight":
        """Switch between training and evaluation; forgets the kept weight."""
        self._kept = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "EffectiveWeight":
        self._kept = None  # another dtype or device leaves the parameter and its version alone
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}


def _unchanged(kept: list[tuple[Tensor, int]], sources: tuple[Tensor, ...]) -> bool:
    pairs = zip(kept, sources, strict=True)
    return all(old is now and version == now._version for (old, version), now in pairs)


@contextlib.contextmanager
def as_constant(model: nn.Module) -> Iterator[None]:
    """Within it, a model in training is a function of its inputs alone.

    Effective weights are computed once, and not proven; parameters have no gradients; dropout and
    batch normalisation act as in evaluation.

    Args:
        model: Back to what it was at the end.
    """
    layers = [m for m in model.modules() if isinstance(m, EffectiveWeight) and m.training]
    random = [m for m in model.modules() if isinstance(m, _RANDOM) and m.training]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        for module in random:
            module.eval()
        for layer in layers:
            layer._constant = layer.effective_weight()
        yield
    finally:
        for layer in layers:
            layer._constant = None
        for module in random:
            module.train()
        for parameter in trained:
            parameter.requires_grad_()


def shrunk_to_one(weight: Tensor, bound: Tensor) -> Tensor:
    """A weight, or each of a stack, divided by a proven bound on its norm where that exceeds 1.

    A quotient is off by at most two roundings of itself, so the error of all together has at most
    the norm ε·‖W‖_F, and relative to a largest row sum at most ε; both are divided out too.

    Args:
        weight: In the dtype that it is used in.
        bound: In float64, on its L2 → L2 or L∞ → L∞ norm; one for each of a stack.
    """
    eps = torch.finfo(weight.dtype).eps
    frobenius = weight.detach().double().flatten(bound.ndim).norm(dim=-1)
    divisor = torch.where(bound <= 1, 1.0, bound * (1 + 3 * eps) + eps * frobenius)
    return weight / divisor.to(weight.dtype).view(*bound.shape, *[1] * (weight.ndim - bound.ndim))


def project_(model: nn.Module) -> None:
    """Let every layer of a model do what it does after an optimizer update.

    Call it after each `optimizer.step()` when a layer keeps a constraint by projection.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, EffectiveWeight):
                with without_autocast(module.weight):
                    module.project_()
