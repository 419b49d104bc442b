"""What a critic proves about the distance between two distributions."""

import copy
import hashlib

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cosine_similarity

from lnets.data.distributions import Distribution
from lnets.data.optima import Optimum, known_optimum
from lnets.functional.operator_norm import gamma
from lnets.functional.transport import confidence_width, dual_value, exact_wasserstein
from lnets.nn import certify, evaluate_with_error

DELTA = 0.05
"""Probability with which `wasserstein_lower_bound` may fail."""

_NUM_GRADIENTS = 4096
_GRADIENTS_AT_ONCE = 512
# Numbers of points that are drawn at once: 128 MiB.
_NUMBERS_AT_ONCE = 2**24
# Of samples, by their content: configurations are compared on the same ones, and their distance may
# take longer than training.
_SOLVED: dict[bytes, float] = {}


def evaluate(
    critic: nn.Module,
    distrib1: Distribution,
    distrib2: Distribution,
    num_samples: int,
    exact_points: int,
    generator: Generator,
) -> dict[str, float]:
    """Bounds that a critic proves, in float64, on samples independent of it.

    Args:
        critic: Any certifiable network with one output.
        distrib1: Where the critic is high.
        distrib2: Where the critic is low.
        num_samples: Held-out samples of each distribution at most.
        exact_points: The exact distance of the samples is computed up to this many of each.
        generator: Draws them.

    Returns:
        `test_dual`, the dual value; `wasserstein_estimate`, from which a bound on the rounding
        errors of this very evaluation has been subtracted, and `lipschitz_upper_bound`;
        `wasserstein_lower_bound` unless one of the distributions has no known support;
        `wasserstein_exact_sample` unless there are more than `exact_points` samples;
        `wasserstein_exact`, that of the distributions if it is known, else of the samples, with
        `tightness`, and `wasserstein_exact_error` where it is a mean over random points;
        `gradient_cosine` and `gradient_error` where optimal critics are known.

    Raises:
        MemoryError: If the exact distance does not fit into memory.
    """
    critic = copy.deepcopy(critic).double().eval()
    x = distrib1.held_out(num_samples, generator)
    y = distrib2.held_out(num_samples, generator)
    metrics = _estimate(critic, distrib1, distrib2, x, y)
    estimate, lipschitz = metrics["wasserstein_estimate"], metrics["lipschitz_upper_bound"]
    optimum = known_optimum(distrib1, distrib2)
    metrics |= _exact(x, y, exact_points, optimum)
    if metrics.get("wasserstein_exact", 0) > 0:
        metrics["tightness"] = estimate / metrics["wasserstein_exact"]
    if optimum is not None and optimum.distance > 0:
        metrics |= _compare_gradients(critic, lipschitz, optimum, x[0].numel(), generator)
    return metrics


@torch.no_grad()
def _estimate(
    critic: nn.Module, distrib1: Distribution, distrib2: Distribution, x: Tensor, y: Tensor
) -> dict[str, float]:
    """The dual value, the estimate, its lower bound, and the constant both were divided by."""
    # In this order the weights that are certified are kept for the evaluation.
    lipschitz = certify(critic, x.shape[1:]).lipschitz_upper_bound
    values, error = evaluate_with_error(critic, torch.cat((x, y)))
    values1, values2 = values.squeeze(1).split((len(x), len(y)))
    # Each mean errs by what the critic's values err by, and by the roundings of its own sum.
    size = max(float(values.abs().max()) for values in (values1, values2))
    error = 2 * (error + gamma(len(x) + len(y)) * size)
    dual = dual_value(values1, values2).item()
    estimate = (dual - error) / lipschitz
    width = confidence_width(
        values1 / lipschitz,
        values2 / lipschitz,
        ranges=(distrib1.diameter, distrib2.diameter),
        deviations=(distrib1.deviation, distrib2.deviation),
        delta=DELTA,
    )
    metrics = {
        "test_dual": dual,
        "wasserstein_estimate": estimate,
        "lipschitz_upper_bound": lipschitz,
    }
    if width < float("inf"):
        metrics["wasserstein_lower_bound"] = estimate - width
    return metrics


def _exact(x: Tensor, y: Tensor, exact_points: int, optimum: Optimum | None) -> dict[str, float]:
    """The distance of the distributions where it is known, and of the samples if they are few."""
    metrics = {}
    if max(len(x), len(y)) <= exact_points:
        exact = _exact_of_samples(x, y)
        metrics = {"wasserstein_exact_sample": exact, "wasserstein_exact": exact}
    if optimum is not None:
        metrics["wasserstein_exact"] = optimum.distance
        if optimum.standard_error is not None:
            metrics["wasserstein_exact_error"] = optimum.standard_error
    return metrics


def _exact_of_samples(x: Tensor, y: Tensor) -> float:
    digest = hashlib.sha256()
    for sample in (x, y):
        digest.update(str(tuple(sample.shape)).encode())
        digest.update(sample.cpu().contiguous().numpy().data)
    key = digest.digest()
    if key not in _SOLVED:
        _SOLVED[key] = exact_wasserstein(x, y)
    return _SOLVED[key]


def _compare_gradients(
    critic: nn.Module, lipschitz: float, optimum: Optimum, dim: int, generator: Generator
) -> dict[str, float]:
    """How near the gradients of a normalized critic are to those of every optimal one."""
    cosines, errors = [], []
    fitting = min(_NUM_GRADIENTS, max(1, _NUMBERS_AT_ONCE // dim))
    for done in range(0, _NUM_GRADIENTS, fitting):
        drawn = optimum.gradients(min(fitting, _NUM_GRADIENTS - done), generator)
        for points, wanted in zip(*(part.split(_GRADIENTS_AT_ONCE) for part in drawn), strict=True):
            points = points.detach().requires_grad_()
            (slopes,) = torch.autograd.grad(critic(points).sum(), points)
            slopes, wanted = slopes.flatten(1) / lipschitz, wanted.flatten(1)
            cosines.append(cosine_similarity(slopes, wanted))
            errors.append((slopes - wanted).square().sum(dim=1))
    return {
        "gradient_cosine": torch.cat(cosines).mean().item(),
        "gradient_error": torch.cat(errors).mean().item(),
    }
