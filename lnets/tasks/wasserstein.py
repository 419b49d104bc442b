"""Bound the Wasserstein-1 distance between two distributions with a Lipschitz critic."""

import copy
import math
import time
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from lnets.build import (
    build_critic,
    build_distribution,
    build_optimizer,
    build_projections,
    build_schedule,
)
from lnets.data.distributions import Distribution, known_wasserstein
from lnets.functional.operator_norm import gamma
from lnets.functional.transport import confidence_width, dual_value, exact_wasserstein
from lnets.nn import certify, evaluation_error, project_
from lnets.specs.experiment import WassersteinSpec
from lnets.tasks.outcome import Outcome, Report

DELTA = 0.05
"""Probability with which `wasserstein_lower_bound` may fail."""

_MAX_EXACT = 5000
# Seeds of the streams of one trial differ in these high bits, so that no stream repeats another's.
_TRAINING_STREAM, _HELD_OUT_STREAM = 1 << 32, 2 << 32


def train(spec: WassersteinSpec, seed: int, *, device: torch.device, report: Report) -> Outcome:
    """Train a critic, then bound the distance on samples it has not seen.

    Args:
        spec: The experiment.
        seed: Of weights, training samples and held-out samples; the held-out samples depend on
            nothing else, so that configurations are compared on the same ones.
        device: Where to train; the bound is computed there too, in float64.
        report: Called every `log_every` steps with `train_dual`, the dual value on the training
            samples of these steps, not divided by a Lipschitz constant.
    """
    torch.manual_seed(seed)
    samples = Generator(device).manual_seed(_TRAINING_STREAM + seed)
    distrib1 = build_distribution(spec.distrib1, device)
    distrib2 = build_distribution(spec.distrib2, device)
    critic = build_critic(spec.model, spec.distrib1.shape).to(device)

    def draw() -> Tensor:
        return torch.cat([d.sample(spec.batch_size, samples) for d in (distrib1, distrib2)])

    start = time.perf_counter()
    steps, finite = _raise_dual(spec, critic, draw, report)
    cost = _cost(time.perf_counter() - start, steps)
    # Running statistics of batch normalisation overflow before its parameters do.
    state = critic.state_dict().values()
    if not finite or not all(torch.isfinite(tensor).all() for tensor in state):
        return Outcome("diverged", cost, critic)
    held_out = Generator(device).manual_seed(_HELD_OUT_STREAM + seed)
    bounds = evaluate(critic, distrib1, distrib2, spec.test_sample_size, held_out)
    if not all(math.isfinite(value) for value in bounds.values()):
        return Outcome("diverged", cost, critic)
    return Outcome("completed", bounds | cost, critic)


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
        values1, values2 = critic(x).squeeze(1), critic(y).squeeze(1)
        lipschitz = certify(critic, x.shape[1:]).lipschitz_upper_bound
        error = evaluation_error(critic, torch.cat((x, y)))
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
    exact = known_wasserstein(distrib1, distrib2)
    if exact is None and max(len(x), len(y)) <= _MAX_EXACT:
        exact = exact_wasserstein(x, y)
    if exact is not None:
        metrics["wasserstein_exact"] = exact
        if exact > 0:
            metrics["tightness"] = estimate / exact
    return metrics


def _raise_dual(
    spec: WassersteinSpec, critic: nn.Module, draw: Callable[[], Tensor], report: Report
) -> tuple[int, bool]:
    """Train the critic on batches of both samples; the steps taken, and whether all was finite."""
    optimizer = build_optimizer(spec.optim, critic.parameters())
    schedule = build_schedule(spec.optim.schedule, optimizer)
    projections = build_projections(spec.per_update_proj, spec.per_epoch_proj)
    recent = torch.zeros((), device=next(critic.parameters()).device)
    for step in range(1, spec.steps + 1):
        if spec.epoch_steps is not None and (step - 1) % spec.epoch_steps == 0:
            projections.start_epoch((step - 1) // spec.epoch_steps, critic, optimizer)
        # One forward for both samples: effective weights are computed once per step.
        dual = dual_value(*critic(draw()).split(spec.batch_size))
        optimizer.zero_grad()
        (-dual).backward()
        if spec.optim.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(critic.parameters(), spec.optim.max_grad_norm)
        optimizer.step()
        project_(critic)
        projections.after_update(critic)
        if schedule is not None:
            schedule.step()
        recent += dual.detach()
        if step % spec.log_every == 0 or step == spec.steps:
            train_dual = recent.item() / ((step - 1) % spec.log_every + 1)
            if not math.isfinite(train_dual):
                return step, False
            report(step, {"train_dual": train_dual})
            recent.zero_()
    return spec.steps, True


def _cost(seconds: float, steps: int) -> dict[str, float]:
    return {"train_seconds": seconds, "steps_per_second": steps / seconds}
