"""How steep a network is found to be: a lower bound, which certifies nothing."""

import copy
import math

import torch
from torch import Tensor, nn

from lnets.functional.jacobian import jacobians
from lnets.nn.certificate import Norm
from lnets.nn.plain import to_plain

# How many of the steepest points found have their Jacobian computed.
_EXACT = 8
# Entries of Jacobians held at once: 128 MiB in float64.
_ENTRIES = 2**24
# Distance of a pair and length of its step, first and last, in units of `step_size`. Far pairs see
# over kinks and cross many of them; near ones see what the Jacobian sees.
_DISTANCES = (100.0, 0.1)
_LENGTHS = (10.0, 0.1)
# Pairs search at scales from 1 to 10 to the power of this, as no single one suits all networks.
_SCALES = 2.0


def empirical_lipschitz(
    model: nn.Module,
    points: Tensor,
    *,
    norm: Norm = "l2",
    steps: int = 50,
    step_size: float = 0.05,
    chunk: int = 256,
) -> float:
    """The largest Jacobian norm that a search from some points finds, in float64.

    From every point a pair x, y climbs ‖f(x) − f(y)‖ / ‖x − y‖, whose supremum is the Lipschitz
    constant, and which has a gradient even where f is piecewise linear. A step turns the pair as
    the power method does, moves its middle along the gradient and draws its ends together. The
    search is in float32; the Jacobians at the steepest points that it met are exact.

    Args:
        model: Differentiable almost everywhere; searched as it is in evaluation mode, with the
            weights that a certificate speaks of.
        points: Where the search starts, one per row.
        norm: Of inputs and outputs alike.
        steps: Steps of ascent.
        step_size: Length of a step in that norm, in input units, on the smallest scale; the largest
            is a hundred times as large. Steps are ten times as long at first, a tenth at last.
        chunk: How many pairs move at once, which bounds the memory.

    Returns:
        A lower bound on the Lipschitz constant, in output per input unit.

    Source:
        Higham (1992), doi:10.1007/BF01396242, on the power method in other norms than L2.
    """
    # The plain twin keeps its weights in float64, where the layers would compute them anew.
    exact = to_plain(copy.deepcopy(model).eval()).requires_grad_(False)
    searched = copy.deepcopy(exact).float()
    starts = points.detach().float().split(chunk)
    found = [_climb(searched, x, norm, steps, step_size) for x in starts]
    slopes, places = (torch.cat(parts) for parts in zip(*found, strict=True))
    steepest = places[slopes.topk(min(_EXACT, len(slopes))).indices]
    return _largest_norm(exact.double(), steepest.double(), norm)


def _climb(
    model: nn.Module, middle: Tensor, norm: Norm, steps: int, step_size: float
) -> tuple[Tensor, Tensor]:
    """The largest slope that each pair met at one of its ends, and that end."""
    direction = _steepest(torch.randn_like(middle), norm)
    best, places = middle.new_full((len(middle),), -1.0), middle
    scales = step_size * torch.logspace(0, _SCALES, len(middle)).to(middle)
    for step in range(steps + 1):
        done = step / steps if steps else 1.0
        half = direction * _over(scales * _between(_DISTANCES, done) / 2, middle)
        ends = torch.stack((middle + half, middle - half))
        pulled = _pull(model, ends, norm)
        for end, gradient in zip(ends, pulled, strict=True):
            # In the dual norm |Jᵀu| never exceeds the norm of J, as u has dual norm 1.
            slopes = gradient.flatten(1).norm(dim=1, p=2 if norm == "l2" else 1)
            better = slopes > best
            best = torch.where(better, slopes, best)
            places = torch.where(_over(better, end), end, places)
        towards, lengths = pulled[0] - pulled[1], scales * _between(_LENGTHS, done)
        # Where both ends lie in one linear piece, walk at random.
        towards = _unless_zero(towards, torch.randn_like(towards))
        middle = middle + _over(lengths, middle) * _steepest(towards, norm)
        direction = _steepest(_unless_zero(pulled[0] + pulled[1], direction), norm)
    return best, places


def _pull(model: nn.Module, ends: Tensor, norm: Norm) -> Tensor:
    """Jᵀu at both ends, where u, of dual norm 1, measures the difference of the outputs."""
    with torch.enable_grad():
        ends = ends.detach().requires_grad_()
        outputs = model(ends.flatten(0, 1)).flatten(1)
        first, second = outputs.detach().chunk(2)
        difference = _unless_zero(first - second, torch.randn_like(first))
        if norm == "l2":
            u = _steepest(difference, norm)
        else:
            largest = difference.abs().argmax(dim=1, keepdim=True)
            u = torch.zeros_like(difference)
            u.scatter_(1, largest, difference.gather(1, largest).sign())
        (pulled,) = torch.autograd.grad(outputs, ends, torch.cat((u, u)))
    return pulled


def _largest_norm(model: nn.Module, x: Tensor, norm: Norm) -> float:
    """The largest operator norm of the Jacobians at some points; NaN if any has no numbers."""
    with torch.no_grad():
        count = max(1, _ENTRIES // (model(x[:1]).numel() * x[0].numel()))
        found = []
        for part in x.split(count):
            jacobian = jacobians(model, part).flatten(2)
            if not jacobian.isfinite().all():
                return math.nan
            if norm == "linf":
                found.append(jacobian.abs().sum(dim=2).amax(dim=1))
            else:
                found.append(torch.linalg.matrix_norm(jacobian, ord=2))
    return float(torch.cat(found).max())


def _steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """Of the vectors of norm 1 the one that climbs most, sample by sample."""
    if norm == "linf":
        return gradient.sign()
    lengths = gradient.flatten(1).norm(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / _over(lengths, gradient)


def _unless_zero(vectors: Tensor, otherwise: Tensor) -> Tensor:
    """Each sample, or the other in its place if all of it is zero."""
    return torch.where(_over(vectors.flatten(1).any(dim=1), vectors), vectors, otherwise)


def _over(values: Tensor, batch: Tensor) -> Tensor:
    """One value per sample, in a shape that goes with the samples."""
    return values.view(-1, *[1] * (batch.ndim - 1))


def _between(ends: tuple[float, float], done: float) -> float:
    """From the first to the second, geometrically."""
    return float(ends[0] * (ends[1] / ends[0]) ** done)
