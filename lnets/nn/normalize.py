"""Normalization of channels as a layer, so that it counts in a network's Lipschitz constant."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normalize(nn.Module):
    """y = (x − mean) / std, channel by channel.

    Args:
        mean: One number per channel.
        std: One number per channel.

    Raises:
        ValueError: If they are not as many, or not finite, or a `std` is not positive.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        means, stds = (torch.tensor(numbers, dtype=torch.float32) for numbers in (mean, std))
        if means.shape != stds.shape or not (means.isfinite() & (stds > 0) & stds.isfinite()).all():
            raise ValueError(
                "`mean` and `std` must be as many finite numbers, those of `std` positive, got "
                f"{list(mean)} and {list(std)}."
            )
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", means.view(-1, 1, 1))
        self.register_buffer("std", stds.view(-1, 1, 1))

    def forward(self, x: Float[Tensor, "*batch channels height width"]) -> Tensor:
        """The normalized images."""
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"
