"""Aggregated momentum."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import torch
from torch import Tensor


class AggMo(torch.optim.Optimizer):
    """The mean of several heavy-ball steps, one for each momentum.

    For every β: buffer ← β · buffer + gradient, then the weight moves by −lr times the mean of the
    buffers. There is no damping by 1 − β.

    Args:
        params: What to optimize.
        lr: Learning rate.
        betas: Momentum of each buffer, in [0, 1).
        weight_decay: L2 penalty, added to the gradient.

    Raises:
        ValueError: If a hyperparameter is out of range.

    Source:
        Lucas et al. (2019), arXiv:1804.00325.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.1,
        betas: Sequence[float] = (0.0, 0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        if lr < 0 or weight_decay < 0:
            raise ValueError(
                f"`lr` and `weight_decay` must not be negative, got {lr} and {weight_decay}."
            )
        if not betas or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"`betas` must be one or more numbers in [0, 1), got {betas}.")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step.

        Args:
            closure: Computes loss and gradients anew, where a caller needs that.

        Returns:
            What `closure` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        gradients = [p.grad for p in params]
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, params, alpha=group["weight_decay"]))
        step = -group["lr"] / len(group["betas"])
        for i, beta in enumerate(group["betas"]):
            if beta == 0:
                torch._foreach_add_(params, gradients, alpha=step)
                continue
            buffers = [self._buffer(p, i) for p in params]
            torch._foreach_mul_(buffers, beta)
            torch._foreach_add_(buffers, gradients)
            torch._foreach_add_(params, buffers, alpha=step)

    def _buffer(self, param: Tensor, index: int) -> Tensor:
        name = f"momentum_{index}"
        state = self.state[param]
        if name not in state:
            state[name] = torch.zeros_like(param)
        buffer = state[name]
        assert isinstance(buffer, Tensor)
        return buffer
