"""What a critic proves about the distance between two distributions."""

import copy

import torch
from torch import Generator, Tensor, nn

from lnets.data.distributions import Distribution, known_wasserstein
from lnets.functional.operator_norm import gamma
from lnets.functional.transport import confidence_width, dual_value, exact_wasserstein
from lnets.nn import certify, evaluate_with_error

DELTA = 0.05
"""Probability with which `wasserstein_lower_bound` may fail."""

_MAX_EXACT = 5000


def evaluate(
    critic: nn.Module,
    distrib1: Distribution,
    distrib2: Distribution,
    num_samples: int,
    generator: Generator,
) -> dict[str, float]:
    """Bounds that a critic proves, in float64, on samples independent of it.

    Args:
        critic: Any certifiable network with one output.
        distrib1: Where the critic is high.
        distrib2: Where the critic is low.
        num_samples: Held-out samples of each distribution at most.
        generator: Draws them.

    Returns:
        `wasserstein_estimate`, from whose dual value a bound on the rounding errors of this very
        evaluation has been subtracted, `wasserstein_lower_bound`, `lipschitz_upper_bound`, and
        `wasserstein_exact` with `tightness` unless there are too many samples for the exact value.
    """
    critic = copy.deepcopy(critic).double().eval()
    x = distrib1.held_out(num_samples, generator)
    y = distrib2.held_out(num_samples, generator)
    with torch.no_grad():
        # In this order the weights that are certified are kept for the evaluation.
        lipschitz = certify(critic, x.shape[1:]).lipschitz_upper_bound
        values, error = evaluate_with_error(critic, torch.cat((x, y)))
    values1, values2 = values.squeeze(1).split((len(x), len(y)))
    # Each mean errs by what the critic's values err by, and by the roundings of its own sum.
    size = max(float(values.abs().max()) for values in (values1, values2))
    error = 2 * (error + gamma(len(x) + len(y)) * size)
    estimate = (dual_value(values1, values2).item() - error) / lipschitz
    width = confidence_width(
        values1 / lipschitz,
        values2 / lipschitz,
        ranges=(distrib1.diameter, distrib2.diameter),
        delta=DELTA,
    )
    metrics = {
        "wasserstein_estimate": estimate,
        "wasserstein_lower_bound": estimate - width,
        "lipschitz_upper_bound": lipschitz,
    }
    exact = _exact(distrib1, distrib2, x, y)
    if exact is None:
        return metrics
    tightness = {"tightness": estimate / exact} if exact > 0 else {}
    return {**metrics, "wasserstein_exact": exact, **tightness}


def _exact(distrib1: Distribution, distrib2: Distribution, x: Tensor, y: Tensor) -> float | None:
    """The distance of the distributions where it is known, else of the samples if they are few."""
    known = known_wasserstein(distrib1, distrib2)
    if known is not None or max(len(x), len(y)) > _MAX_EXACT:
        return known
    return exact_wasserstein(x, y)
