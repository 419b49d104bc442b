"""Sums of branches: residual blocks with a bound that a certificate can find."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn


class Branch(NamedTuple):
    """One summand of a residual block."""

    name: str
    """What the block calls it."""
    weight: float
    """What it is multiplied by, 0 or larger."""
    module: nn.Module
    """What it does to the input."""


class Residual(nn.Module):
    """y = shortcut(x) + block(x); its Lipschitz constant is at most the sum of both.

    Args:
        block: Any chain of layers.
        shortcut: Any chain of layers with outputs of the block's shape; None is the identity.
    """

    def __init__(self, block: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.block = block
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def branches(self) -> tuple[Branch, ...]:
        """The summands."""
        return Branch("shortcut", 1.0, self.shortcut), Branch("block", 1.0, self.block)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*other"]:
        """The sum."""
        shortcut, block = self.shortcut(x), self.block(x)
        _refuse_broadcast(shortcut, block)
        return shortcut + block


class LipschitzResidual(nn.Module):
    """y = (1 − α)·x + α·block(x): 1-Lipschitz, in any norm, if the block is.

    Args:
        block: Any chain of layers that keeps the shape.
        alpha: Share of the block, from 0 to 1.

    Raises:
        ValueError: If `alpha` is another number.
    """

    def __init__(self, block: nn.Module, alpha: float = 0.5) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"`alpha` must be from 0 to 1, got {alpha}.")
        self.block = block
        self.alpha = alpha

    def branches(self) -> tuple[Branch, ...]:
        """The summands."""
        shortcut = Branch("shortcut", 1 - self.alpha, nn.Identity().eval())
        return shortcut, Branch("block", self.alpha, self.block)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The weighted sum."""
        block = self.block(x)
        _refuse_broadcast(x, block)
        return (1 - self.alpha) * x + self.alpha * block

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"alpha={self.alpha}"


def _refuse_broadcast(shortcut: Tensor, block: Tensor) -> None:
    # Broadcasting repeats a branch, which is steeper than the branch itself.
    if shortcut.shape != block.shape:
        raise ValueError(
            "The branches of a residual block must have outputs of one shape, got "
            f"{tuple(shortcut.shape)} and {tuple(block.shape)}."
        )
