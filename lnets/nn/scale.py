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


def scales(l_constant: float, count: int) -> list[Scale]:
    """Equal factors whose product is a constant, one behind each of so many layers; none for 1.

    Args:
        l_constant: The constant.
        count: Layers.

    Raises:
        ValueError: If the constant is not positive and finite.
    """
    if not 0 < l_constant < math.inf:
        raise ValueError(f"`l_constant` must be positive and finite, got {l_constant}.")
    return [] if l_constant == 1 else [Scale(l_constant ** (1 / count)) for _ in range(count)]
