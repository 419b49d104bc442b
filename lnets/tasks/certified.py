"""What a trained classifier is worth: its accuracy, and what of it is proven to be robust."""

import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lnets.build.losses import Loss
from lnets.data.images import ImageData
from lnets.functional.margins import certified_radius, margins
from lnets.nn import certify, dead_unit_rates, empirical_lipschitz, evaluate_with_error, to_plain
from lnets.nn.certificate import Norm
from lnets.specs.metrics import CERTIFIED

# Images that are evaluated at once.
_CHUNK = 500
# Test images near which the steepest slope is searched.
_STARTS = 64
_THROUGHPUT_SECONDS = 0.5


@dataclass(frozen=True)
class Certified:
    """A classifier in float64, what it says of some images, and what of that is proven."""

    exact: nn.Module
    """In evaluation mode."""
    norm: Norm
    """Of perturbations."""
    lipschitz: float
    """Upper bound in that norm: proven, or claimed."""
    logits: Tensor
    """Of all images."""
    margin: Tensor
    """Of all images, in logits."""
    radius: Tensor
    """Up to which each image's prediction is proven to stay, in pixels."""

    def accuracies(self, epsilons: Mapping[str, float]) -> dict[str, float]:
        """Clean accuracy, and certified ones by the names they have in metrics.

        Args:
            epsilons: Sizes of perturbations by their names.
        """
        clean = {"clean_accuracy": float((self.margin > 0).double().mean())}
        return clean | {
            CERTIFIED + name: float((self.radius > epsilon).double().mean())
            for name, epsilon in epsilons.items()
        }


def certify_images(
    model: nn.Module, images: ImageData, norm: Norm, *, claimed: float | None = None
) -> Certified:
    """Evaluate a copy of a classifier in float64, and certify it.

    Args:
        model: Any certifiable classifier.
        images: Not those that it was trained on.
        norm: Of perturbations.
        claimed: Lipschitz constant that is taken to be true; None proves one.
    """
    exact, lipschitz = copy.deepcopy(model).eval().double(), claimed
    if lipschitz is None:
        lipschitz = certify(exact, images.images.shape[1:], norm=norm).lipschitz_upper_bound
    found, radii = [], []
    for x, labels in _chunks(images):
        logits, error = evaluate_with_error(exact, x.double())
        # Two logits are off by √2 times their error together at most.
        radii.append(certified_radius(margins(logits, labels) - 2 * error, lipschitz, norm))
        found.append(logits)
    logits = torch.cat(found)
    margin = margins(logits, images.labels)
    return Certified(exact, norm, lipschitz, logits, margin, torch.cat(radii))


def evaluate(
    model: nn.Module,
    test: ImageData,
    loss: Loss,
    certified: Certified,
    *,
    epsilons: Mapping[str, float],
) -> dict[str, float]:
    """Metrics on test images; whatever is certified, of the network evaluated in float64.

    Args:
        model: Any certifiable classifier.
        test: Images that it has not seen.
        loss: Of all images together, each one's share of the mean.
        certified: What `certify_images` has found about these.
        epsilons: Sizes of perturbations, by the names they have in metrics.
    """
    used, starts = copy.deepcopy(model).eval(), test.pixels(slice(_STARTS))
    return certified.accuracies(epsilons) | {
        "test_loss": float(loss(certified.logits, test.labels).mean()),
        "median_certified_radius": float(certified.radius.median()),
        "mean_margin": float(certified.margin.mean()),
        "lipschitz_upper_bound": certified.lipschitz,
        "empirical_lipschitz": empirical_lipschitz(certified.exact, starts, norm=certified.norm),
        "dead_units": _dead_units(used, test),
        "images_per_second": _throughput(used, test),
    }


def validate(model: nn.Module, images: ImageData, loss: Loss) -> dict[str, float]:
    """Loss and accuracy in float32.

    Args:
        model: A classifier, which is put into evaluation mode.
        images: Not those that it was trained on.
        loss: Of all images together, each one's share of the mean.
    """
    logits = _logits(model.eval(), images)
    correct = margins(logits, images.labels) > 0
    return {
        "validation_loss": float(loss(logits, images.labels).mean()),
        "validation_accuracy": float(correct.double().mean()),
    }


def certified_accuracy(model: nn.Module, images: ImageData, *, norm: Norm, epsilon: float) -> float:
    """Share of images certified at an epsilon, evaluated in float32: for choices in training.

    Args:
        model: A certifiable classifier, which is put into evaluation mode.
        images: Not those that it was trained on.
        norm: Of perturbations.
        epsilon: Their size.
    """
    lipschitz = certify(model.eval(), images.images.shape[1:], norm=norm).lipschitz_upper_bound
    margin = margins(_logits(model, images), images.labels)
    radius = certified_radius(margin, lipschitz, norm)
    return float((radius > epsilon).double().mean())


def _logits(model: nn.Module, images: ImageData) -> Tensor:
    """All at once: some losses are of all images together."""
    with torch.no_grad():
        return torch.cat([model(x) for x, _ in _chunks(images)])


def _chunks(images: ImageData) -> Iterator[tuple[Tensor, Tensor]]:
    for first in range(0, len(images), _CHUNK):
        part = slice(first, first + _CHUNK)
        yield images.pixels(part), images.labels[part]


def _dead_units(model: nn.Module, images: ImageData) -> float:
    """Share of units that no image makes positive, the mean over layers; 0 without any unit."""
    some = torch.tensor([1 / len(images)])
    try:
        alive = dead_unit_rates(model, (x for x, _ in _chunks(images)), some)
    except ValueError:  # a network without activations
        return 0.0
    return 1 - float(torch.stack(list(alive.values())).mean())


def _throughput(model: nn.Module, images: ImageData) -> float:
    """Images per second of the plain export, the best of many batches."""
    plain = to_plain(model)
    x = images.pixels(slice(_CHUNK))
    best, end = math.inf, time.perf_counter() + _THROUGHPUT_SECONDS
    with torch.no_grad():
        while time.perf_counter() < end or best == math.inf:
            start = time.perf_counter()
            plain(x)
            if x.is_cuda:
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
    return len(x) / best
