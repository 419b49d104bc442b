"""Attacks inside of certified radii: one that succeeds refutes a certificate."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from lnets.data.images import ImageData
from lnets.errors import TrialError
from lnets.functional.margins import margins
from lnets.nn.certificate import Norm
from lnets.specs.attacks import AutoAttackSpec
from lnets.tasks.attacks.attack import Target, checked, distances
from lnets.tasks.attacks.libraries import perturbed
from lnets.tasks.attacks.pgd import strongest
from lnets.tasks.certified import Certified
from lnets.tasks.streams import stream_seed

# Of a certified radius, within which an image is attacked.
_SHARE = 0.999
_CHUNK = 256
# Images for AutoAttack, which takes a hundred times as long as projected gradients.
_HARDEST = 32
# Of pictures that stand for images: how far pixels are from grey, and the radius around them. It is
# so small that they are still told apart where an attack looks far beyond it.
_CONTRAST, _EPSILON = 0.25, 0.02


@dataclass(frozen=True)
class Search:
    """What one attack has made of images inside of their radii."""

    name: str
    """The attack, and in what the classifier computes."""
    index: Tensor
    """Which images."""
    apart: Tensor
    """How far each has been moved."""
    reached: Tensor
    """How much of its margin each has lost there, as a share of what its certificate allows."""
    turned: Tensor
    """Which are classified wrongly, although they are inside."""
    failed: Tensor
    """For which the attack was none: no numbers, or not inside. This says nothing about them."""


def search_inside(network: nn.Module, certified: Certified, images: ImageData) -> Iterator[Search]:
    """Look for wrong predictions by projected gradients, and where they come nearest by AutoAttack.

    Each image is attacked within its own radius. Pixels may leave [0, 1], as certificates allow.
    Images are left out whose margin is so small that roundings could turn them, or whose radius so
    small that pixels have too few digits for it.

    Args:
        network: The classifier, whose plain export is attacked: as it is stored, or in float64.
        certified: The same in float64, and up to where these images are certified.
        images: All that are certified.

    Raises:
        TrialError: If its margins differ from the certified ones by so much that any image could
            be turned by that.
    """
    dtype = next(network.parameters()).dtype
    computed = f"in {str(dtype).removeprefix('torch.')}"
    if not (certified.radius > 0).any():
        return
    x, labels = images.pixels(slice(None)).to(dtype), images.labels
    target = Target(network, x, labels)
    clean = margins(target.logits(x), labels)
    rounding = (clean.double() * target.scale - certified.margin).abs().max()
    # What is left of a margin at that share of the radius is to be more than the roundings.
    safe = (1 - _SHARE) * certified.margin > 2 * rounding  # false if that is no number
    if not safe.any():
        raise TrialError(
            f"{computed} its margins differ by up to {rounding:.3g} from those that are certified, "
            f"of which the largest is {certified.margin.max():.3g}: such roundings, or another "
            "network, hide whatever attacks could find."
        )
    # Roundings of moved pixels are not to take them out of the ball.
    numbers = x[0].numel() ** 0.5 if certified.norm == "l2" else 1.0
    balls = _SHARE * certified.radius - torch.finfo(dtype).eps * numbers * (1 + certified.radius)
    safe &= balls > 0.5 * certified.radius
    reached = torch.full_like(certified.margin, -math.inf)

    def search(name: str, attack: Callable[..., Tensor], index: Tensor) -> Search:
        radii, within = certified.radius[index], balls[index].to(dtype)
        moved = attack(target, x[index], labels[index], within, certified.norm)
        apart = distances(moved.double(), x[index].double(), certified.norm)
        left = margins(target.logits(moved), labels[index])
        failed = ~((apart < radii) & left.isfinite())  # comparisons with NaN are false
        lost = (1 - left / clean[index]) / _SHARE
        return Search(
            f"{name} {computed}",
            index,
            apart,
            torch.where(failed, -math.inf, lost),
            ~failed & (left <= 0),
            failed,
        )

    index = safe.nonzero().flatten()
    if not len(index):
        return
    for chunk in index.split(_CHUNK):
        found = search("PGD", _projected_gradients, chunk)
        reached[chunk] = found.reached.double()
        yield found
    hardest = reached.topk(min(_HARDEST, len(index))).indices
    yield search("AutoAttack", _auto_attack, hardest.sort().values)


def _projected_gradients(
    target: Target, images: Tensor, labels: Tensor, radii: Tensor, norm: Norm
) -> Tensor:
    draws = Generator(images.device).manual_seed(stream_seed(0, "audit"))
    return strongest(target, images, labels, radii, norm=norm, generator=draws)


def _auto_attack(
    target: Target, images: Tensor, labels: Tensor, radii: Tensor, norm: Norm
) -> Tensor:
    balls = _Balls(target, images, radii)
    seed, attack = stream_seed(0, "audit"), AutoAttackSpec(type="autoattack")
    with torch.random.fork_rng([images.device] if images.is_cuda else []):
        found = perturbed(
            attack,
            balls,
            balls.centres,
            labels,
            epsilon=_EPSILON,
            norm=norm,
            starts=None,
            seed=seed,
        )
    moved, failed = checked(found.detach(), balls.centres, _EPSILON, norm)
    points = balls.around(moved, torch.arange(len(images), device=images.device))
    return torch.where(failed[:, None, None, None], torch.nan, points)


class _Balls(nn.Module):
    """A classifier as AutoAttack sees it, which knows float32, [0, 1] and one radius for all.

    The ball around each image becomes one of that radius around a picture of random dark and light
    pixels, from which every image is recognized.

    Args:
        target: The classifier.
        images: The middles of balls.
        radii: Of the balls.
    """

    def __init__(self, target: Target, images: Tensor, radii: Tensor) -> None:
        super().__init__()
        self._target, self._images = target, images
        self._factors = (radii / _EPSILON)[:, None, None, None]
        draws = Generator(images.device).manual_seed(stream_seed(0, "audit", "pictures"))
        noise = torch.rand(images.shape, generator=draws, device=images.device)
        self._signs = (noise - 0.5).sign()
        self.centres = 0.5 + _CONTRAST * self._signs

    def forward(self, pictures: Tensor) -> Tensor:
        """The logits of what pictures stand for, but for what all have in common."""
        likeness = (pictures - 0.5).flatten(1) @ self._signs.flatten(1).T
        logits = self._target(self.around(pictures, likeness.argmax(dim=1)))
        # Small differences would be lost to rounding otherwise.
        return (logits - logits.detach().amax(dim=1, keepdim=True)).float()

    def around(self, pictures: Tensor, which: Tensor) -> Tensor:
        """What pictures stand for, around images of known numbers."""
        by = pictures.to(self._images.dtype) - self.centres[which].to(self._images.dtype)
        return self._images[which] + by * self._factors[which]
