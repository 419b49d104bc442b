"""Maps of matrices into the set whose rows have L1 norm at most a radius."""

import torch
from jaxtyping import Float
from torch import Tensor

from lnets.functional.tracing import is_tracing


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
        Michelot (1986), doi:10.1007/BF00938486; Condat (2016), doi:10.1007/s10107-015-0946-6.
    """
    if not radius > 0:
        raise ValueError(f"`radius` must be above 0, got {radius}.")
    size = weight.abs()
    # Relative to a row's largest entry the threshold keeps its digits however large the row is; it
    # moves along with any such shift, so the shift needs no gradient. Entries below the largest by
    # `radius` or more do not survive, and need not be told from each other.
    below = size - size.detach().amax(dim=-1, keepdim=True)
    with torch.no_grad():
        survive = _survivors(below, radius)
    # NaN for a row that is not finite, of which no entry survives.
    kept = torch.linalg.vecdot(survive, below).unsqueeze(-1)
    threshold = (kept - radius) / survive.sum(dim=-1, keepdim=True)
    shrunk = weight.sign() * (below - threshold).clamp_min(0)
    inside = size.detach().sum(dim=-1, keepdim=True) <= radius
    return torch.where(inside, weight, shrunk)


def _survivors(below: Tensor, radius: float) -> Tensor:
    """1 for entries that the projection leaves above 0, else 0.

    Newton's method from the left on a convex function, the sum of what exceeds a threshold minus
    the radius. Each step drops entries for good, until it drops none; mostly there are ten.

    `below` is how far entries are from the largest, so at most 0.
    """
    if is_tracing():  # which a loop until something holds cannot be
        ordered = below.clamp_min(-radius).sort(dim=-1, descending=True).values
        rank = torch.arange(1, below.shape[-1] + 1, device=below.device)
        rest = ordered.cumsum(dim=-1) - radius
        last = (ordered * rank > rest).sum(dim=-1, keepdim=True).clamp_min(1)
        return (below > rest.gather(-1, last - 1) / last).to(below.dtype)
    survive = (below > -radius).to(below.dtype)
    count = survive.sum(dim=-1, keepdim=True)
    while True:
        kept = torch.linalg.vecdot(survive, below).unsqueeze(-1)
        # Roundings must not bring an entry back, or this would not end.
        survive = (below > (kept - radius) / count).to(below.dtype).mul_(survive)
        before, count = count, survive.sum(dim=-1, keepdim=True)
        if torch.equal(count, before):
            return survive


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


def l1_sphere_rows(
    weight: Float[Tensor, "*batch out in"], *, zeros_grow: bool
) -> Float[Tensor, "*batch out in"]:
    """What the original LNets code computes in place of `project_l1_ball_rows`.

    Its threshold may be negative, so that rows inside the ball grow until their L1 norm is 1; its
    gradient takes the threshold for a constant.

    Args:
        weight: Any matrices.
        zeros_grow: Whether entries that are exactly 0 grow too, towards positive numbers.

    Returns:
        Rows of L1 norm 1 up to rounding, but for zeros that do not grow.

    Source:
        Condat (2016), doi:10.1007/s10107-015-0946-6, algorithm 1, which is for points outside.
    """
    size = weight.abs()
    with torch.no_grad():
        ordered = size.sort(dim=-1, descending=True).values
        sums = ordered.cumsum(dim=-1)
        rank = torch.arange(1, size.shape[-1] + 1, device=size.device)
        last = (sums < 1 + rank * ordered).sum(dim=-1, keepdim=True).clamp_min(1)
        threshold = (sums.gather(-1, last - 1) - 1) / last
    sign = torch.where(weight < 0, -1.0, 1.0) if zeros_grow else weight.sign()
    return sign.to(weight.dtype) * (size - threshold).clamp_min(0)
