"""The layers as the original LNets code computes them, for comparison with its numbers.

They compute in evaluation what they compute in training, and divide nothing out. `certify` sees
what their weights have become, which may be any norm.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from lnets.functional.orthonormalize import iterate_bjorck
from lnets.functional.projections import l1_sphere_rows, scale_l1_rows
from lnets.nn.conv import BjorckConv2d, LInfProjectedConv2d, LipschitzConv2d
from lnets.nn.linear import (
    BjorckLinear,
    LInfProjectedLinear,
    LipschitzLinear,
    ParsevalL2Linear,
    SpectralNormLinear,
)


def reset_linear_(weight: Tensor, bias: Tensor | None) -> None:
    """The original's initial weights of dense layers: all singular values are 1/√in.

    Args:
        weight: Changed in place.
        bias: Changed in place; uniform in ±1/√in.
    """
    bound = 1 / math.sqrt(weight.shape[1])
    nn.init.orthogonal_(weight, gain=bound)
    if bias is not None:
        nn.init.uniform_(bias, -bound, bound)


class _OriginalLinear(LipschitzLinear):
    def reset_parameters(self) -> None:
        reset_linear_(self.weight, self.bias)

    def prove_weight(self, weight: Tensor) -> Tensor:
        return self.map_weight(weight)


class _OriginalConv2d(LipschitzConv2d):
    def reset_weight(self) -> None:
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def prove_weight(self, weight: Tensor) -> Tensor:
        return self.map_weight(weight)


class OriginalStandardLinear(nn.Linear):
    """An ordinary linear layer with the original's initial weights."""

    def reset_parameters(self) -> None:
        """Smaller than torch's."""
        reset_linear_(self.weight, self.bias)


class OriginalBjorckLinear(_OriginalLinear, BjorckLinear):
    """Björck's iterations from W/√(out·in) with `safe_scaling`, else from W itself.

    The former do not converge in wide layers, the latter diverge from norm √5 on. The arguments are
    those of `BjorckLinear`.
    """

    def map_weight(self, weight: Tensor) -> Tensor:
        """As many iterations as were asked for, converged or not."""
        scale = math.sqrt(self.out_features * self.in_features) if self.safe_scaling else 1.0
        return iterate_bjorck(
            weight / scale,
            iterations=self.bjorck_iter,
            order=self.bjorck_order,
            beta=self.bjorck_beta,
        )


class OriginalLInfProjectedLinear(_OriginalLinear, LInfProjectedLinear):
    """Rows are moved to the L1 sphere, also from inside. The arguments are those of its base."""

    def map_weight(self, weight: Tensor) -> Tensor:
        """Rows of L1 norm 1."""
        return l1_sphere_rows(weight, zeros_grow=False)


class OriginalSpectralNormLinear(_OriginalLinear, SpectralNormLinear):
    """The raw weight divided by uᵀWv, where v is of the u before. The arguments are its base's.

    The iteration's state is a buffer here; there, the optimizer moves it too.
    """

    def map_weight(self, weight: Tensor) -> Tensor:
        """W / (uᵀ W v), the gradient through both."""
        with torch.no_grad():
            u, v = self.u, self.u
            for _ in range(self.power_iters):
                v = F.normalize(u @ weight, dim=-1)
                u = F.normalize(v @ weight.mT, dim=-1)
            if self.training:
                self.u.copy_(u)
        return weight / ((u @ weight) * v).sum(dim=-1, keepdim=True)


class OriginalParsevalL2Linear(_OriginalLinear, ParsevalL2Linear):
    """`ParsevalL2Linear` without its proof. The arguments are those of its base."""


class OriginalBjorckConv2d(_OriginalConv2d, BjorckConv2d):
    """Björck's iterations from the kernel, as a matrix, divided by the root of its size.

    Overlapping patches are not accounted for, so its norm is up to √overlap. The arguments are
    those of `BjorckConv2d`.
    """

    def map_weight(self, weight: Tensor) -> Tensor:
        """The reshaped weight after the iterations."""
        matrix = iterate_bjorck(
            weight.flatten(1) / math.sqrt(weight.numel()),
            iterations=self.bjorck_iter,
            order=self.bjorck_order,
            beta=self.bjorck_beta,
        )
        return matrix.unflatten(1, weight.shape[1:])


class OriginalLInfProjectedConv2d(_OriginalConv2d, LInfProjectedConv2d):
    """Kernels are moved to the L1 sphere, also from inside. The arguments are its base's."""

    def map_weight(self, weight: Tensor) -> Tensor:
        """The kernel of each output channel, of L1 norm 1."""
        return l1_sphere_rows(weight.flatten(1), zeros_grow=False).unflatten(1, weight.shape[1:])


def _l_2(weight: Tensor, *, bjorck_iter: int, bjorck_beta: float, bjorck_order: int) -> Tensor:
    return iterate_bjorck(weight, iterations=bjorck_iter, order=bjorck_order, beta=bjorck_beta)


def _l_inf_projected(weight: Tensor) -> Tensor:
    return l1_sphere_rows(weight, zeros_grow=True)


ORIGINAL_PROJECTIONS: dict[str, Callable[..., Tensor]] = {
    "l_2": _l_2,
    "l_inf_projected": _l_inf_projected,
    "l_inf_scaled": scale_l1_rows,
}
"""Of raw weights, by name: `l_2` diverges from norm √5 on, `l_inf_projected` moves rows to the L1
sphere, also from inside."""
