"""An orthonormal linear layer that is trained by rotations."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.rotation import rotate, rotation_linear
from lnets.nn.orthogonal import OrthogonalLinear


class RotatedLinear(OrthogonalLinear):
    """Orthonormal up to rounding, and trained by small rotations of its rows or columns.

    What an optimizer changes is `rotation`, zero but between its update and `project_`, which
    applies it to the weight. So Adam's step sizes and every momentum belong to rotations, and
    updates leave the orthonormal matrices to second order only. Without `project_` after each
    update nothing is trained.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        drift: How far from 1 training may carry the squares of the singular values, as a root
            mean square, before the weight is brought back. 0 brings it back after each update.
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

    def project_(self) -> None:
        """Apply the rotation to the weight, and forget it."""
        self.weight.copy_(rotate(self.weight, self.rotation))
        self.rotation.zero_()
        super().project_()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        del destination[f"{prefix}rotation"]

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        weight = state_dict.get(f"{prefix}weight", self.weight)  # on meta, assigned with its device
        state_dict[f"{prefix}rotation"] = weight.new_zeros(self.rotation.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """The affine map."""
        y = rotation_linear(x, self.effective_weight(), self.rotation)
        return y if self.bias is None else y + self.bias.to(y.dtype)
