"""Maps of matrices into the set whose rows have L1 norm at most a radius."""

import torch
from jaxtyping import Float
from torch import Tensor


def project_l1_ball_rows(
    weight: Float[Tensor, "*batch out in"], radius: float = 1.0
) -> Float[Tensor, "*batch out in"]:
    """Move every row to the nearest point, in L2, of the L1 ball.

    Rows inside stay as they are, bit by bit; the others shrink towards zero by one threshold per
    row. The gradient is exact, that through the threshold included.

    Args:
        weight: Any matrices; their rows' L1 norm is their L∞ → L∞ operator norm.
        radius: Largest L1 norm of a row, above 0.

    Returns:
        Rows of L1 norm at most `radius`, up to rounding; NaN where a row is not finite.

    Raises:
        ValueError: If `radius` is not above 0.

    Source:
        Duchi et al. (2008), doi:10.1145/1390156.1390191; Condat (2016),
        doi:10.1007/s10107-015-0946-6.
    """
    if not radius > 0:
        raise ValueError(f"`radius` must be above 0, got {radius}.")
    size = weight.abs()
    # Relative to a row's largest entry the threshold keeps its digits however large the row is; it
    # moves along with any such shift, so the shift needs no gradient. Entries below the largest by
    # `radius` or more do not survive, and need not be told from each other.
    below = size - size.detach().amax(dim=-1, keepdim=True)
    ordered = below.clamp_min(-radius).sort(dim=-1, descending=True).values
    excess = ordered.cumsum(dim=-1) - radius
    rank = torch.arange(1, weight.shape[-1] + 1, device=weight.device)
    # The largest entry survives; of a row that is not finite none does, which becomes NaN.
    survivors = (ordered * rank > excess).sum(dim=-1, keepdim=True).clamp_min(1)
    threshold = excess.gather(-1, survivors - 1) / survivors
    shrunk = weight.sign() * (below - threshold).clamp_min(0)
    inside = size.detach().sum(dim=-1, keepdim=True) <= radius
    return torch.where(inside, weight, shrunk)


def scale_l1_rows(
    weight: Float[Tensor, "*batch out in"], *, scale_all: bool
) -> Float[Tensor, "*batch out in"]:
    """Divide rows by their L1 norm; zero rows stay zero.

    Args:
        weight: Any matrices.
        scale_all: Whether rows of an L1 norm below 1 are divided too, and so grow.

    Returns:
        Rows of L1 norm 1 (`scale_all`) or at most 1, up to rounding.
    """
    norm = weight.abs().sum(dim=-1, keepdim=True)
    if scale_all:
        return weight / torch.where(norm > 0, norm, 1)
    return weight / norm.clamp_min(1)
