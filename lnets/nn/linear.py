"""Linear layers whose effective weight is a function of the raw one."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.orthonormalize import bjorck


class BjorckLinear(nn.Module):
    """y = x Wᵀ + b with W orthonormal by Björck's iteration from the raw weight.

    In training the effective weight is computed, with its gradient, in every forward: give both
    samples of a pair to one forward. In evaluation it is computed once and kept until a weight
    changes.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        bjorck_iter: Iterations of the orthonormalization.
        bjorck_order: 1 to 4.
        bjorck_beta: Step size of order 1.
        bias: Whether to add a bias.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bjorck_iter: int = 20,
        bjorck_order: int = 1,
        bjorck_beta: float = 0.5,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.bjorck_iter = bjorck_iter
        self.bjorck_order = bjorck_order
        self.bjorck_beta = bjorck_beta
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self._cached: tuple[tuple[Any, ...], Tensor] | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Orthonormal weight, bias uniform in ±1/√in."""
        nn.init.orthogonal_(self.weight)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            nn.init.uniform_(self.bias, -bound, bound)

    def effective_weight(self) -> Float[Tensor, "out in"]:
        """The matrix that the layer multiplies by."""
        if self.training or torch.is_grad_enabled():
            return self._orthonormalized()
        weight = self.weight
        state = (weight._version, weight.data_ptr(), weight.dtype, weight.device)
        if self._cached is None or self._cached[0] != state:
            self._cached = (state, self._orthonormalized())
        return self._cached[1]

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """The affine map."""
        return nn.functional.linear(x, self.effective_weight(), self.bias)

    def train(self, mode: bool = True) -> "BjorckLinear":
        """Switch between training and evaluation; forgets the kept weight."""
        self._cached = None
        return super().train(mode)

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return (
            f"{self.in_features}, {self.out_features}, bjorck_iter={self.bjorck_iter}, "
            f"bjorck_order={self.bjorck_order}, bias={self.bias is not None}"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cached": None}

    def _orthonormalized(self) -> Tensor:
        return bjorck(
            self.weight,
            iterations=self.bjorck_iter,
            order=self.bjorck_order,
            beta=self.bjorck_beta,
        )
