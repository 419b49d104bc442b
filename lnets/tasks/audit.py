"""Search trained networks for counterexamples to what their trials report.

They report Lipschitz constants. A classifier with one has images that no perturbation within a
radius turns, a critic no steeper slope: both are searched for a counterexample.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator

from lnets.build import (
    build_data,
    build_distribution,
    build_gan_images,
    build_gan_samples,
    trained_classifier,
    trained_critic,
    trained_generator,
)
from lnets.build.trials import Weights
from lnets.data.distributions import Distribution, ImageSamples
from lnets.errors import TrialError
from lnets.nn import empirical_lipschitz
from lnets.specs.gan import GanSpec
from lnets.tasks.attacks.inside import search_inside
from lnets.tasks.certified import certify_images
from lnets.tasks.streams import stream_seed

# Of a slope in float64.
_ROUNDING = 1e-9
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Finding:
    """What a search for counterexamples has found."""

    claimed: float
    """Lipschitz constant that the trial reports."""
    attacked: int
    """Images, or places from which slopes were climbed."""
    reached: float
    """The steepest slope that was met, as a share of the claimed constant."""
    violations: tuple[str, ...]
    """Counterexamples, in words."""


def audit_classifier(weights: Path, claimed: float, num_images: int) -> Finding:
    """Attack test images inside of their certified radii, as deployed in float32, and in float64.

    Args:
        weights: Of a classification trial.
        claimed: Lipschitz constant that it reports.
        num_images: Test images at most, evenly spread.

    Raises:
        LnetsError: If the trial, or its data, are not there; or if what was found is no
            counterexample, and an attack has failed.
    """
    spec, model = trained_classifier(weights, "trial")
    images = build_data(spec.data, _CPU).test.spread(num_images)
    certified = certify_images(model, images, spec.certificate.norm, claimed=claimed)
    searches = [
        search
        for network in (model, certified.exact)
        for search in search_inside(network, certified, images)
    ]
    if not searches and (certified.radius > 0).any():
        raise TrialError(
            f"its certified radii, at most {certified.radius.max():.3g}, are too small for attacks."
        )
    attacked = {i for search in searches for i in search.index.tolist()}
    reached = max((float(search.reached.max()) for search in searches), default=0.0)
    words = tuple(
        f"test image {i} of {len(images)} is turned by {search.name}, {apart:.6g} away, inside of "
        f"its certified radius {float(certified.radius[i]):.6g}"
        for search in searches
        for i, apart in zip(
            search.index[search.turned].tolist(), search.apart[search.turned].tolist(), strict=True
        )
    )
    for search in searches:
        if search.failed.any() and not words:
            raise TrialError(
                f"{search.name} has failed on {int(search.failed.sum())} of {len(search.index)} "
                "images: it returned no numbers, or left their certified radii."
            )
    return Finding(claimed, len(attacked), reached, words)


def audit_critic(weights: Path, claimed: float, find: Weights, num_points: int) -> Finding:
    """Climb the slopes of a critic from samples of both of its distributions.

    Args:
        weights: Of a Wasserstein trial, or a GAN.
        claimed: Lipschitz constant that it reports.
        find: Finds trials that samples come from.
        num_points: Samples of each side at most.

    Raises:
        LnetsError: If the trial, or its data, are not there, or slopes are no numbers.
    """
    spec, critic = trained_critic(weights)
    if isinstance(spec, GanSpec):
        _, generator = trained_generator(weights)
        sides: tuple[Distribution, ...] = (
            ImageSamples(*build_gan_images(spec.data, _CPU), flatten=False),
            build_gan_samples(spec, generator, flatten=False),
        )
    else:
        sides = tuple(build_distribution(d, _CPU, find) for d in (spec.distrib1, spec.distrib2))
    draws = Generator().manual_seed(stream_seed(0, "audit"))
    points = torch.cat([side.held_out(num_points, draws) for side in sides])
    with torch.random.fork_rng([]):
        torch.manual_seed(stream_seed(0, "audit", "slopes"))
        steepest = empirical_lipschitz(critic, points)
    if not math.isfinite(steepest):
        raise TrialError("its slopes are no numbers.")
    broken = steepest > claimed * (1 + _ROUNDING)
    words = (f"its slope is {steepest:.9g} somewhere, above {claimed:.9g}",) if broken else ()
    return Finding(claimed, len(points), steepest / claimed, words)
