"""An orthonormal linear layer that is trained by rotations."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.rotation import rotate, rotation_linear
from lnets.nn.linear import affine
from lnets.nn.orthogonal import OrthogonalLinear


class RotatedLinear(OrthogonalLinear):
    """Orthonormal up to rounding, and trained by small rotations of its rows or columns.

    What an optimizer changes is `rotation`, by which the weight is rotated to first order. So
    Adam's step sizes and every momentum belong to rotations, and updates leave the orthonormal
    matrices to second order only. `project_`, after each update, puts the rotation into the weight
    when it has grown so far that this second order begins to count.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        drift: How far from 1 training may carry the squares of the singular values, as a root
            mean square, before the weight is brought back. 0 brings it back after each update.
            Rotations are put into the weight when they alone would carry them a quarter as far.
        bias: Whether to add a bias.

    Raises:
        ValueError: If a size is not positive, or `drift` is not in [0, 1].
    """

    def __init__(
        self, in_features: int, out_features: int, *, drift: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__(in_features, out_features, drift=drift, bias=bias)
        self.weight.requires_grad_(False)
        side = max(in_features, out_features)
        self.rotation = nn.Parameter(torch.zeros(side, side))

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The rotated weight, brought back, and divided by a proven bound where that exceeds 1."""
        skew = 0.5 * (self.rotation - self.rotation.mT)
        return super().prove_weight(rotate(weight, skew))

    def map_weight(self, weight: Tensor) -> Tensor:
        """The rotated weight."""
        return rotate(weight, self.rotation)

    def sources(self) -> tuple[Tensor, ...]:
        """The weight and its rotation."""
        return self.weight, self.rotation

    def project_(self) -> None:
        """Put the rotation into the weight, and forget it, where it is large enough."""
        weight, rotation = self.weight, self.rotation
        angle = rotation.flatten(-2).norm(dim=-1) / math.sqrt(rotation.shape[-1])
        due = angle > 0.5 * math.sqrt(self.drift)
        # On a GPU, to look at it is to wait for it.
        if weight.is_cuda or due.all():
            weight.copy_(rotate(weight, rotation))
            rotation.zero_()
        elif due.any():
            weight[due] = rotate(weight[due], rotation[due])
            rotation[due] = 0
        else:
            return
        super().project_()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        del destination[f"{prefix}rotation"]
        if self.rotation.any():
            destination[f"{prefix}weight"] = rotate(self.weight, self.rotation).detach()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        weight = state_dict.get(f"{prefix}weight", self.weight)  # on meta, assigned with its device
        state_dict[f"{prefix}rotation"] = weight.new_zeros(self.rotation.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """The affine map."""
        if not self.training:
            return affine(x, self.effective_weight(), self.bias)
        y = rotation_linear(x, self.weight, self.rotation)
        return y if self.bias is None else y + self.bias.to(y.dtype)
