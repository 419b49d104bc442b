"""Projected gradients of our own: fast, for training, and with a radius per image, for audits.

Images may have further dimensions in front of the batch, one for each of several classifiers.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from lnets.functional.margins import margins
from lnets.nn.certificate import Norm

Logits: TypeAlias = Callable[[Tensor], Tensor]
# Of an image: channels, height and width.
_IMAGE = 3


def pgd(
    logits: Logits,
    images: Tensor,
    labels: Tensor,
    radius: float | Tensor,
    *,
    norm: Norm,
    steps: int,
    step_size: float | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Images where the cross entropy is larger, by as many steps along its gradient.

    Args:
        logits: The classifier, images in, logits out.
        images: Pixels in [0, 1].
        labels: From 0, one per image.
        radius: Of the ball that attacked images stay in: one, or one per image.
        norm: Of the ball.
        steps: How many.
        step_size: Their length; None is 2.5·radius/steps.
        start: Where to begin, inside of the ball and of [0, 1]; None at the images.

    Returns:
        The last images, inside of the ball and of [0, 1].

    Source:
        Madry et al. (2018), arXiv:1706.06083.
    """
    radii = _per_image(radius, images)
    length = 2.5 * radii / steps if step_size is None else _per_image(step_size, images)
    moved = images if start is None else start
    for _ in range(steps):
        _, gradient = _ascent(_cross_entropy, logits, moved, labels)
        moved = inside(moved + length * steepest(gradient, norm), images, radii, norm)
        moved = moved.clamp(0, 1)
    return moved


def strongest(
    logits: Logits,
    images: Tensor,
    labels: Tensor,
    radii: Tensor,
    *,
    norm: Norm,
    steps: int = 50,
    restarts: int = 5,
    generator: Generator,
) -> Tensor:
    """In a ball around each image the place with the smallest margin that a search meets.

    Steps along the gradient of the margin, from half the radius down to nothing; first from the
    image, then from anywhere. Pixels may leave [0, 1], as certificates allow.

    Args:
        logits: The classifier, images in, logits out, in the images' dtype.
        images: Around which to search.
        labels: From 0, one per image.
        radii: Of the balls, one per image.
        norm: Of the balls.
        steps: How many per restart.
        restarts: How often to begin.
        generator: Of the beginnings, on the images' device.

    Returns:
        Images, on which the classifier is wrong wherever the search has met such a place.
    """
    spread = _per_image(radii, images)
    best, least = images, torch.full_like(radii, math.inf)
    for restart in range(restarts):
        moved = random_start(images, radii, norm, generator) if restart else images
        for step in range(steps + 1):
            margin, gradient = _ascent(margins, logits, moved, labels)
            lower = margin < least
            least = torch.where(lower, margin, least)
            best = torch.where(_per_image(lower, images), moved, best)
            length = 0.5 * (1 - step / steps) * spread
            moved = inside(moved - length * steepest(gradient, norm), images, spread, norm)
    return best


def random_start(
    images: Tensor, radius: float | Tensor, norm: Norm, generator: Generator
) -> Tensor:
    """Images moved to anywhere in a ball, uniformly; pixels may leave [0, 1].

    Args:
        images: Around which.
        radius: Of the ball: one, or one per image.
        norm: Of the ball.
        generator: On the images' device.
    """
    radii, dtype, device = _per_image(radius, images), images.dtype, images.device
    if norm == "linf":
        share = torch.rand(images.shape, generator=generator, dtype=dtype, device=device)
        return images + radii * (2 * share - 1)
    noise = torch.randn(images.shape, generator=generator, dtype=dtype, device=device)
    shape = images.shape[:-_IMAGE]
    share = torch.rand(shape, generator=generator, dtype=dtype, device=device)
    share = share ** (1 / images.shape[-_IMAGE:].numel())
    return images + radii * _per_image(share, images) * steepest(noise, norm)


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """Of the perturbations of size 1 the one along a gradient, image by image; zeros stay."""
    if norm == "linf":
        return gradient.sign()
    return gradient / _length(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)


def inside(moved: Tensor, images: Tensor, radii: Tensor, norm: Norm) -> Tensor:
    """The nearest images inside of balls around others.

    Args:
        moved: What is to be inside.
        images: In the middle.
        radii: In a shape that goes with the images.
        norm: Of the balls.
    """
    by = moved - images
    if norm == "linf":
        return images + torch.minimum(torch.maximum(by, -radii), radii)
    tiny = torch.finfo(by.dtype).tiny
    return images + by * (radii / _length(by).clamp_min(tiny)).clamp_max(1)


def _ascent(
    value: Callable[[Tensor, Tensor], Tensor], logits: Logits, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """A function of each image's logits and label, and its gradient in the image."""
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        values = value(logits(images), labels)
        (gradient,) = torch.autograd.grad(values.sum(), images)
    return values.detach(), gradient


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none")


def _length(images: Tensor) -> Tensor:
    return images.flatten(-_IMAGE).norm(dim=-1)[..., None, None, None]


def _per_image(values: float | Tensor, images: Tensor) -> Tensor:
    """One value, or one per image, in a shape that goes with the images."""
    if not isinstance(values, Tensor):
        return images.new_tensor(values)
    return values[..., None, None, None]
