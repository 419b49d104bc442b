"""One interface for every attack, which believes none: what comes back is checked."""

import copy
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lnets.functional.margins import margins
from lnets.nn import to_plain
from lnets.nn.certificate import Norm
from lnets.specs.attacks import AttackSpec, PGDSpec
from lnets.tasks.attacks.libraries import (
    images_at_once,
    needs_start,
    perturbed,
    seeks_smallest,
)
from lnets.tasks.attacks.pgd import inside
from lnets.tasks.streams import stream_seed

# Per number of an image in float32, of what is just inside of a ball or of [0, 1].
_ROUNDING = 1e-6
# Whatever is brought back into a ball is inside of it after all roundings of float64.
_JUST_INSIDE = 1 - 1e-9
_CHUNK = 500
# The softmax of the true class is then 1 − 5e-5, which float32 tells from 1 to three digits.
_LARGEST_MARGIN = 10.0


class Target(nn.Module):
    """A classifier as attacks see it: ordinary layers, which count their questions.

    Logits are scaled, which changes no prediction: the largest margin on some images becomes 10.
    With larger ones the gradient of the cross entropy is lost to rounding in float32, and an attack
    that fails by that would pass for robustness; with smaller ones it pulls at all classes instead
    of the nearest.

    Args:
        model: Any classifier in evaluation mode.
        images: Some that it is attacked on, pixels in [0, 1], in the dtype that it computes in.
        labels: Of these.
    """

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.network = to_plain(copy.deepcopy(model).eval()).to(images.dtype)
        self.network.requires_grad_(False)
        self.queries = 0
        """Images that it has been asked to classify."""
        self.scale = 1.0
        """What logits are divided by."""
        self.eval()
        largest = float(margins(self.logits(images), labels).abs().max())
        self.scale = largest / _LARGEST_MARGIN if largest > 0 else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """The logits, scaled."""
        self.queries += len(x)
        return self.network(x) / self.scale

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """The same of many images at once, without counting them."""
        return torch.cat([self.network(x) for x in images.split(_CHUNK)]) / self.scale

    def predictions(self, images: Tensor) -> Tensor:
        """The classes of many images, without counting them."""
        return self.logits(images).argmax(dim=1)


@dataclass(frozen=True)
class Attacked:
    """What an attack has made of some images."""

    images: Tensor
    """In float64, inside of the ball and of [0, 1]; where it has failed the images themselves."""
    failed: Tensor
    """Where the attack has returned what is none: no numbers, or a perturbation that is too large;
    or had nothing to begin with."""
    queries: int
    """Images that the classifier was asked about."""
    seconds: float


def attack(
    spec: AttackSpec,
    target: Target,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float | None,
    norm: Norm,
    seed: int,
) -> Attacked:
    """Attack images that are classified correctly, in chunks that fit into memory.

    Args:
        spec: How.
        target: The classifier.
        images: Pixels in [0, 1].
        labels: From 0, one per image.
        epsilon: Size of perturbations; None for attacks that look for the smallest one.
        norm: Of perturbations.
        seed: Of the attack's random numbers; torch's own stay as they are.
    """
    assert (epsilon is None) == seeks_smallest(spec)
    before, clock = target.queries, time.perf_counter()
    starts = _starts(target, images, labels, norm) if needs_start(spec) else None
    run = functools.partial(perturbed, spec, target, epsilon=epsilon, norm=norm)
    check = functools.partial(checked, epsilon=epsilon, norm=norm)
    restarts, found = spec.restarts if isinstance(spec, PGDSpec) else 1, []
    chunks = torch.arange(len(images), device=images.device)
    with torch.random.fork_rng([images.device] if images.is_cuda else []):
        for i, chunk in enumerate(chunks.split(images_at_once(spec, images[0].numel()))):
            own = stream_seed(seed, spec.type, str(epsilon), i)
            torch.manual_seed(own)
            begin = None if starts is None else starts[chunk]
            answer = functools.partial(_answer, run, starts=begin, seed=own)
            found.append(_restarted(answer, check, target, images[chunk], labels[chunk], restarts))
    moved, failed = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Attacked(moved, failed, target.queries - before, time.perf_counter() - clock)


def _restarted(
    answer: Callable[[Tensor, Tensor], Tensor],
    check: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    target: Target,
    images: Tensor,
    labels: Tensor,
    restarts: int,
) -> tuple[Tensor, Tensor]:
    """Checked images, and where an attack has failed; what has stood is attacked again."""
    moved, failed = images.double(), torch.zeros_like(labels, dtype=torch.bool)
    left = torch.arange(len(images), device=images.device)
    for _ in range(restarts):
        x, y = images[left], labels[left]
        moved[left], bad = check(answer(x, y), x)
        failed[left] |= bad
        left = left[margins(target.logits(moved[left].float()), y) > 0]
        if not len(left):
            break
    return moved, failed


def _answer(
    run: Callable[..., Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    starts: Tensor | None,
    seed: int,
) -> Tensor:
    """What a library makes of images; NaN where there is nothing to begin with, or it gives up."""
    if starts is None:
        return run(images, labels, starts=None, seed=seed).detach()
    found = torch.full_like(images, torch.nan)
    some = (starts != images).flatten(1).any(dim=1)
    if some.any():
        found[some] = _started(run, images[some], labels[some], starts[some], seed)
    return found


def _started(
    run: Callable[..., Tensor], images: Tensor, labels: Tensor, starts: Tensor, seed: int
) -> Tensor:
    try:
        return run(images, labels, starts=starts, seed=seed).detach()
    except (AssertionError, ValueError):
        # foolbox gives up on all images where roundings turn the prediction of one at the boundary
        # that it walks along.
        if len(images) == 1:
            return torch.full_like(images, torch.nan)
        middle = len(images) // 2
        halves = (slice(middle), slice(middle, None))
        return torch.cat(
            [_started(run, images[half], labels[half], starts[half], seed) for half in halves]
        )


def checked(
    moved: Tensor, images: Tensor, epsilon: float | None, norm: Norm
) -> tuple[Tensor, Tensor]:
    """Attacked images in float64, inside of the ball and of [0, 1], and where they were not.

    Args:
        moved: What an attack has returned.
        images: What it was given.
        epsilon: How far it may go; None anywhere in [0, 1].
        norm: Of the ball.
    """
    exact, moved = images.double(), moved.double()
    numbers = images[0].numel()
    rounding = _ROUNDING * (numbers**0.5 if norm == "l2" else 1.0)
    # Comparisons with NaN are false.
    fine = ((moved >= -_ROUNDING) & (moved <= 1 + _ROUNDING)).flatten(1).all(dim=1)
    if epsilon is not None:
        fine &= distances(moved, exact, norm) <= epsilon + rounding
    moved = torch.where(fine[:, None, None, None], moved, exact).clamp(0, 1)
    if epsilon is not None:
        moved = inside(moved, exact, exact.new_tensor(epsilon * _JUST_INSIDE), norm)
    return moved, ~fine


def distances(moved: Tensor, images: Tensor, norm: Norm) -> Tensor:
    """How far images have been moved, one number per image."""
    order = 2 if norm == "l2" else torch.inf
    return (moved - images).flatten(1).norm(p=order, dim=1)


def _starts(target: Target, images: Tensor, labels: Tensor, norm: Norm) -> Tensor:
    """For each image the nearest other that is classified otherwise; itself if there is none."""
    predicted = target.predictions(images)
    flat = images.flatten(1)
    found = []
    for x, y in zip(flat.split(_CHUNK), labels.split(_CHUNK), strict=True):
        apart = torch.cdist(x, flat, p=2 if norm == "l2" else torch.inf)
        apart[predicted == y[:, None]] = torch.inf
        nearest = apart.min(dim=1)
        found.append(torch.where(nearest.values[:, None].isfinite(), flat[nearest.indices], x))
    return torch.cat(found).view_as(images)
