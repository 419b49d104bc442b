"""How many test images stay classified correctly, whatever attack is tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lnets.errors import TrialError
from lnets.functional.margins import margins
from lnets.nn import evaluate_with_error
from lnets.nn.certificate import Norm
from lnets.specs.attacks import AttackSpec
from lnets.specs.metrics import ADVERSARIAL
from lnets.specs.spec import many
from lnets.tasks.attacks.attack import Target, attack, distances
from lnets.tasks.attacks.libraries import seeks_smallest

# Attacks that end at a boundary go on so far along their way: that of the exact network is nearby.
_BEYOND = (1.0, 1.001, 1.01)
_QUARTILES = {"lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75}
_CHUNK = 500


@dataclass(frozen=True)
class Judge:
    """Says whether an image is still classified correctly: the network in float64, as certified."""

    exact: nn.Module
    """In evaluation mode, float64."""
    images: Tensor
    """All that are evaluated, pixels in [0, 1]."""
    labels: Tensor
    """Of these."""
    correct: Tensor
    """Which are classified correctly as they are."""
    radius: Tensor | None
    """Up to which each is certified, in the norm of the attacks; None where nothing is."""

    def wrong(self, kind: str, index: Tensor, moved: Tensor, apart: Tensor) -> Tensor:
        """Where perturbed images are classified wrongly.

        Args:
            kind: The attack's type.
            index: Which images they are of.
            moved: They themselves, in float64.
            apart: How far each has been moved.

        Raises:
            TrialError: If one is certified not to be: the certificate is broken.
        """
        labels = self.labels[index]
        chunks = zip(moved.split(_CHUNK), labels.split(_CHUNK), strict=True)
        with torch.no_grad():
            found = torch.cat([margins(self.exact(x), y) <= 0 for x, y in chunks])
        if self.radius is None:
            return found
        # No perturbation turns these; what is left is the rounding of this very evaluation.
        certified = (found & (self.radius[index] > apart)).nonzero().flatten()
        if len(certified):
            logits, error = evaluate_with_error(self.exact, moved[certified])
            certain = certified[margins(logits, labels[certified]) + 2 * error < 0]
            if len(certain):
                first = int(certain[0])
                image = int(index[first])
                raise TrialError(
                    f"{kind} has turned {many(len(certain), 'image')} inside of certified radii: "
                    f"image {image} of {len(self.labels)} by {float(apart[first]):.6g}, where "
                    f"{float(self.radius[image]):.6g} is certified. The certificate is broken."
                )
            found[certified] = False
        return found


@dataclass(frozen=True)
class Attempt:
    """What one attack has found out about all images."""

    kind: str
    """The attack's type."""
    standing: Tensor
    """By epsilon and image: classified correctly, and not turned."""
    failed: Tensor
    """By epsilon and image: the attack was none, so that standing says nothing."""
    distance: Tensor
    """Of the perturbation that turned an image; infinite where none did, 0 where it was wrong."""
    moved: Tensor
    """Images turned, or as they were, in float32."""
    queries: int
    """Images that the classifier was asked about."""
    attacked: int
    """Images that were attacked."""
    seconds: float
    """Of all epsilons."""

    def metrics(self, epsilons: Sequence[str], correct: Tensor) -> dict[str, float]:
        """By their names; without figures at an epsilon where the attack has failed."""
        found: dict[str, float] = {}
        for name, standing, failed in zip(epsilons, self.standing, self.failed, strict=True):
            if not failed.any():
                found[f"accuracy@{name}"] = float(standing.double().mean())
                if correct.any():
                    kept = float(standing[correct].double().mean())
                    found |= {f"defense_rate@{name}": kept, f"success_rate@{name}": 1 - kept}
        turned = self.distance[correct & self.distance.isfinite()]
        if len(turned):
            for name, share in _QUARTILES.items():
                # A distance that there is: half-way to the next would be nobody's.
                quantile = torch.quantile(turned, share, interpolation="lower")
                found[f"{name}_distance"] = float(quantile)
        found |= {"queries": self.queries / max(1, self.attacked), "seconds": self.seconds}
        found["failures"] = float(self.failed.sum())
        return {f"{self.kind}_{name}": value for name, value in found.items()}


@dataclass(frozen=True)
class Robustness:
    """What all attacks together have found out."""

    norm: Norm
    epsilons: Mapping[str, float]
    """By the names that they have in metrics."""
    judge: Judge
    attempts: Sequence[Attempt]

    def worst(self) -> dict[str, float]:
        """Accuracy under all attacks at each epsilon where every image has been attacked."""
        found: dict[str, float] = {}
        for i, name in enumerate(self.epsilons):
            standing = torch.stack([a.standing[i] for a in self.attempts]).all(dim=0)
            untried = torch.stack([a.failed[i] for a in self.attempts]).all(dim=0)
            if not (standing & untried).any():
                found[name] = float(standing.double().mean())
        return found

    def metrics(self) -> dict[str, float]:
        """Of each attack, and of all together."""
        found = {f"{ADVERSARIAL}{name}": share for name, share in self.worst().items()}
        for attempt in self.attempts:
            found |= attempt.metrics(list(self.epsilons), self.judge.correct)
        return found | {"attack_seconds": sum(attempt.seconds for attempt in self.attempts)}


def evaluate_robustness(
    judge: Judge,
    target: Target,
    attacks: Sequence[AttackSpec],
    *,
    norm: Norm,
    epsilons: Mapping[str, float],
    seed: int,
) -> Robustness:
    """Try every attack on every image that is classified correctly.

    An attack in a ball is tried at rising epsilons, on what has stood so far: an image that is
    turned by a small perturbation is turned at every larger epsilon too. One that looks for the
    smallest perturbation is tried once.

    Args:
        judge: The classifier and the images.
        target: The same classifier, as attacks see it.
        attacks: Each of another type.
        norm: Of perturbations.
        epsilons: Their sizes, rising, by the names that they have in metrics.
        seed: Of the attacks' random numbers.
    """
    radii = list(epsilons.values())
    attempts = [
        _smallest(judge, target, spec, norm, radii, seed)
        if seeks_smallest(spec)
        else _in_balls(judge, target, spec, norm, radii, seed)
        for spec in attacks
    ]
    return Robustness(norm, epsilons, judge, attempts)


def _in_balls(
    judge: Judge, target: Target, spec: AttackSpec, norm: Norm, epsilons: list[float], seed: int
) -> Attempt:
    images, standing = judge.images, judge.correct.clone()
    moved, distance = images.clone(), _no_distance(judge)
    stood, failed = [], []
    queries, attacked, seconds = 0, int(standing.sum()), 0.0
    for epsilon in epsilons:
        index = standing.nonzero().flatten()
        failed.append(torch.zeros_like(standing))
        if len(index):
            x, labels = images[index], judge.labels[index]
            found = attack(spec, target, x, labels, epsilon=epsilon, norm=norm, seed=seed)
            queries, seconds = queries + found.queries, seconds + found.seconds
            apart = distances(found.images, x.double(), norm)
            wrong = judge.wrong(spec.type, index, found.images, apart)
            turned, perturbed = index[wrong], found.images[wrong]
            standing[turned] = False
            moved[turned] = perturbed.float()
            distance[turned] = apart[wrong]
            failed[-1][index] = found.failed & ~wrong
        stood.append(standing.clone())
    return Attempt(
        spec.type,
        torch.stack(stood),
        torch.stack(failed),
        distance,
        moved,
        queries,
        attacked,
        seconds,
    )


def _smallest(
    judge: Judge, target: Target, spec: AttackSpec, norm: Norm, epsilons: list[float], seed: int
) -> Attempt:
    images, distance = judge.images, _no_distance(judge)
    moved, failed = images.clone(), torch.zeros_like(judge.correct)
    index = judge.correct.nonzero().flatten()
    queries, attacked, seconds = 0, len(index), 0.0
    if attacked:
        x, labels = images[index], judge.labels[index]
        found = attack(spec, target, x, labels, epsilon=None, norm=norm, seed=seed)
        queries, seconds = found.queries, found.seconds
        failed[index] = found.failed
        for factor in _BEYOND:
            farther = (x.double() + factor * (found.images - x.double())).clamp(0, 1)
            apart = distances(farther, x.double(), norm)
            wrong = judge.wrong(spec.type, index, farther, apart) & distance[index].isinf()
            distance[index[wrong]] = apart[wrong]
            moved[index[wrong]] = farther[wrong].float()
    stood = torch.stack([distance > epsilon for epsilon in epsilons])
    return Attempt(
        spec.type,
        stood,
        failed.expand(len(epsilons), -1),
        distance,
        moved,
        queries,
        attacked,
        seconds,
    )


def _no_distance(judge: Judge) -> Tensor:
    """Nothing needs to be moved where the classifier is wrong; nothing has turned the rest yet."""
    correct = judge.correct
    return torch.where(correct, torch.inf, 0.0).to(torch.float64)
