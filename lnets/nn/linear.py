"""Linear layers with a bound on their operator norm."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from lnets.functional.operator_norm import linf_norm_upper_bound, spectral_norm_upper_bound
from lnets.functional.orthonormalize import bjorck, iterate_bjorck
from lnets.functional.projections import project_l1_ball_rows
from lnets.nn.arguments import refuse_below, refuse_bjorck
from lnets.nn.effective import EffectiveWeight, shrunk_to_one


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """An affine map; a stack of weights maps a stack of inputs, and has biases of one row."""
    if weight.ndim == 2:
        return F.linear(x, weight, bias)
    return x @ weight.mT if bias is None else torch.baddbmm(bias, x, weight.mT)


class LipschitzLinear(EffectiveWeight):
    """y = x Wᵀ + b with an effective weight W: what the layers below have in common.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        bias: Whether to add a bias.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        super().__init__()
        refuse_below(1, in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Orthonormal weight, bias uniform in ±1/√(the larger of in and out)."""
        nn.init.orthogonal_(self.weight)
        if self.bias is not None:
            # An orthonormal weight with more rows than columns has short rows: a bias as large as
            # nn.Linear's would put the kinks of activations where no data are.
            bound = 1 / math.sqrt(max(self.in_features, self.out_features))
            nn.init.uniform_(self.bias, -bound, bound)

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The weight of training, divided by a proven bound on its norm where that exceeds 1."""
        effective = self.map_weight(weight)
        return shrunk_to_one(effective, spectral_norm_upper_bound(effective))

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """The affine map."""
        return affine(x, self.effective_weight(), self.bias)

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class BjorckLinear(LipschitzLinear):
    """Orthonormal by Björck's iteration from the raw weight; the derivative is the iterations'.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        bjorck_iter: Iterations.
        bjorck_order: 1 to 4.
        bjorck_beta: Step size of order 1, in (0, 0.5].
        safe_scaling: The original's scale √(out·in) instead of a proven one, for comparison.
        bias: Whether to add a bias.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bjorck_iter: int = 20,
        bjorck_order: int = 1,
        bjorck_beta: float = 0.5,
        safe_scaling: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(in_features, out_features, bias=bias)
        refuse_bjorck(bjorck_iter, bjorck_beta, bjorck_order)
        self.bjorck_iter = bjorck_iter
        self.bjorck_order = bjorck_order
        self.bjorck_beta = bjorck_beta
        self.safe_scaling = safe_scaling

    def map_weight(self, weight: Tensor) -> Tensor:
        """As many iterations as were asked for, from a proven scale."""
        return bjorck(
            weight,
            iterations=self.bjorck_iter,
            order=self.bjorck_order,
            beta=self.bjorck_beta,
            safe_scaling=self.safe_scaling,
        )

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        options = f"bjorck_iter={self.bjorck_iter}, bjorck_order={self.bjorck_order}"
        return f"{super().extra_repr()}, {options}"


class LInfProjectedLinear(LipschitzLinear):
    """1-Lipschitz from L∞ to L∞: every row is projected onto the L1 ball.

    A row inside the ball stays as it is; the gradient is that of the projection.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        bias: Whether to add a bias.

    Source:
        Condat (2016), doi:10.1007/s10107-015-0946-6; Anil, Lucas, Grosse (2019), arXiv:1811.05381.
    """

    def map_weight(self, weight: Tensor) -> Tensor:
        """Rows projected onto the L1 ball."""
        return project_l1_ball_rows(weight)

    def prove_weight(self, weight: Tensor) -> Tensor:
        """The projected rows, divided by a proven bound on their L1 norms where that exceeds 1."""
        rows = self.map_weight(weight)
        return shrunk_to_one(rows, linf_norm_upper_bound(rows))


class SpectralNormLinear(LipschitzLinear):
    """The raw weight divided by its largest singular value, estimated by power iteration.

    The estimate is from below, so in training the norm may exceed 1; in evaluation a proven bound
    is divided out. The iteration moves in training only, and its state is a buffer.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        power_iters: Power iterations per forward in training.
        bias: Whether to add a bias.

    Raises:
        ValueError: If an argument is out of range.

    Source:
        Miyato et al. (2018), arXiv:1802.05957.
    """

    def __init__(
        self, in_features: int, out_features: int, *, power_iters: int = 1, bias: bool = True
    ) -> None:
        super().__init__(in_features, out_features, bias=bias)
        refuse_below(1, power_iters=power_iters)
        self.power_iters = power_iters
        self.u: Tensor
        self.register_buffer("u", F.normalize(torch.randn(out_features), dim=0))

    def map_weight(self, weight: Tensor) -> Tensor:
        """W / (uᵀ W v), the gradient through both."""
        with torch.no_grad():
            u = self.u
            for _ in range(self.power_iters if self.training else 0):
                u = F.normalize(F.normalize(u @ weight, dim=-1) @ weight.mT, dim=-1)
            if self.training:
                self.u.copy_(u)
            u = u.clone()
            v = F.normalize(u @ weight, dim=-1)
        # A stack's u is a row for each of its weights.
        norm = ((u @ weight) * v).sum(dim=-1, keepdim=True)
        return weight / norm.clamp_min(torch.finfo(weight.dtype).tiny)


class ParsevalL2Linear(LipschitzLinear):
    """The raw weight, drawn towards orthonormal by Björck's iterations after each update.

    In training it is orthonormal only roughly; in evaluation a proven bound is divided out.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        bjorck_iter: Iterations after each update.
        bjorck_beta: Their step size, in (0, 0.5].
        bias: Whether to add a bias.

    Raises:
        ValueError: If an argument is out of range.

    Source:
        Cissé et al. (2017), arXiv:1704.08847.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bjorck_iter: int = 1,
        bjorck_beta: float = 0.5,
        bias: bool = True,
    ) -> None:
        super().__init__(in_features, out_features, bias=bias)
        refuse_bjorck(bjorck_iter, bjorck_beta)
        self.bjorck_iter = bjorck_iter
        self.bjorck_beta = bjorck_beta

    def map_weight(self, weight: Tensor) -> Tensor:
        """The raw weight itself."""
        return weight

    def project_(self) -> None:
        """Some of Björck's iterations, without any scale."""
        self.weight.copy_(
            iterate_bjorck(self.weight, iterations=self.bjorck_iter, beta=self.bjorck_beta)
        )
