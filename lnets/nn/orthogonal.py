"""A linear layer that is orthonormal up to rounding."""

import math
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.operator_norm import spectral_norm_upper_bound
from lnets.functional.orthogonal import (
    cayley,
    orthonormality_defect,
    qr,
    retract,
    tangent_linear,
)
from lnets.functional.polar import polar, polar_express, polar_express_coefficients
from lnets.nn.effective import shrunk_to_one
from lnets.nn.linear import LipschitzLinear

# Smallest singular value that polar_express must serve, relative to a bound on the largest.
_LOWER = 1e-3

Method = Literal["polar", "polar_express", "qr", "cayley"]
Mode = Literal["forward", "retract"]


class OrthogonalLinear(LipschitzLinear):
    """Orthonormal up to rounding.

    In `forward` mode the raw weight is free, and a method maps it. In `retract` mode the raw weight
    is itself kept orthonormal: its gradient is the part along the orthonormal matrices, and
    `project_` brings it back after each update. The forward is then a plain product.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        method: `polar`, the nearest orthonormal matrix; `polar_express`, the same by products only;
            `qr`; `cayley`. Of use in `forward` mode.
        mode: `forward` or `retract`.
        drift: In `retract` mode, how far from 1 training may carry the squares of the singular
            values, as a root mean square, before the weight is brought back. 0 brings it back
            after each update; more is cheaper. In evaluation the weight is orthonormal
            anyway. Of no effect on a GPU.
        bias: Whether to add a bias.

    Raises:
        ValueError: If `method` or `mode` is unknown, or `drift` is not in [0, 1].
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        method: Method = "polar",
        mode: Mode = "retract",
        drift: float = 0.0,
        bias: bool = True,
    ) -> None:
        if method not in ("polar", "polar_express", "qr", "cayley"):
            raise ValueError(f"`method` must be one of {get_args(Method)}, got {method!r}.")
        if mode not in ("forward", "retract"):
            raise ValueError(f"`mode` must be 'forward' or 'retract', got {mode!r}.")
        if not 0 <= drift <= 1:
            raise ValueError(f"`drift` must be in [0, 1], got {drift}.")
        super().__init__(in_features, out_features, bias=bias)
        self.method = method
        self.mode = mode
        self.drift = drift
        self._coefficients = polar_express_coefficients(_LOWER)

    def map_weight(self, weight: Tensor) -> Tensor:
        """The orthonormal matrix that the raw weight stands for."""
        if self.mode == "retract":
            # Evaluation that is traced has no proven weight, but need not bear the drift.
            drifted = self.drift > 0 and not self.training
            return retract(weight, steps=4) if drifted else weight
        match self.method:
            case "polar":
                return polar(weight)
            case "polar_express":
                return polar_express(weight, coefficients=self._coefficients)
            case "qr":
                return qr(weight)
            case "cayley":
                return cayley(weight)

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The orthonormal matrix, divided by a proven bound on its norm where that exceeds 1."""
        mapped = retract(weight) if self.mode == "retract" else self.map_weight(weight)
        return shrunk_to_one(mapped, spectral_norm_upper_bound)

    def project_(self) -> None:
        """In `retract` mode: back to the orthonormal matrices."""
        weight = self.weight
        if self.mode == "forward":
            return
        if weight.is_cuda:
            # To learn how far it has drifted, and how many steps are enough, is to wait for it.
            weight.copy_(retract(weight, steps=2))
        elif self.drift == 0:
            weight.copy_(retract(weight))
        else:
            # Beyond a defect of 1 in one direction the way back is long.
            most = min(1.0, self.drift * math.sqrt(min(weight.shape[-2:])))
            drifted = orthonormality_defect(weight) > most
            if drifted.all():
                weight.copy_(retract(weight))
            elif drifted.any():
                weight[drifted] = retract(weight[drifted])

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """The affine map."""
        if self.mode == "retract" and self.training:
            y = tangent_linear(x, self.weight)
            return y if self.bias is None else y + self.bias.to(y.dtype)
        return super().forward(x)

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{super().extra_repr()}, method={self.method}, mode={self.mode}"


def keeps_orthonormal(module: nn.Module) -> bool:
    """Whether a layer keeps its raw weight orthonormal, so that nothing else may change it.

    Args:
        module: Any.
    """
    return isinstance(module, OrthogonalLinear) and module.mode == "retract"
