"""Image data sets, pixels in [0, 1]."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

DIGITS_SHAPE = (1, 8, 8)
"""Channels, height and width of a digit."""


def load_digits() -> tuple[Float[Tensor, "n pixels"], Int[Tensor, " n"]]:
    """The 1,797 handwritten digits of 8 × 8 pixels that scikit-learn ships, and their labels."""
    from sklearn.datasets import load_digits as bundled  # a second of imports

    digits = bundled()
    return torch.tensor(digits.data / 16), torch.tensor(digits.target)


def halves(n: int) -> tuple[Int[Tensor, " half"], Int[Tensor, " rest"]]:
    """Indices of two disjoint halves of n images, drawn once and for all.

    Args:
        n: How many images there are; the first half is the larger one.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    middle = (n + 1) // 2
    return order[:middle], order[middle:]
