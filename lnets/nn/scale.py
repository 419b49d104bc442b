"""Multiplication by a constant: how a network gets its Lipschitz constant."""

import math

from jaxtyping import Float
from torch import Tensor, nn


class Scale(nn.Module):
    """y = factor · x.

    Args:
        factor: Any finite number.

    Raises:
        ValueError: If it is not finite.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        if not math.isfinite(factor):
            raise ValueError(f"`factor` must be finite, got {factor}.")
        self.factor = factor

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The scaled input."""
        return x if self.factor == 1 else x * self.factor

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{self.factor}"
