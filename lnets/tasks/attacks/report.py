"""Attacks on a certified classifier: metrics, and data for figures in the trial's folder."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from lnets.data.images import ImageData
from lnets.functional.jacobian import jacobian_spectra
from lnets.nn.certificate import Norm
from lnets.specs.attacks import EvaluationSpec
from lnets.specs.classification import ClassificationSpec
from lnets.specs.epsilons import named_epsilons
from lnets.specs.figures import (
    GALLERY,
    INPUT_GRADIENTS,
    JACOBIANS,
    ROBUSTNESS,
    ROBUSTNESS_NOTES,
)
from lnets.tasks.attacks.attack import Target
from lnets.tasks.attacks.evaluation import Judge, Robustness, evaluate_robustness
from lnets.tasks.certified import Certified
from lnets.tasks.files import save_arrays

# Classes, and images of each, that pictures show.
_CLASSES = 10
# Images whose Jacobians are looked at, and numbers of all these Jacobians at most.
_JACOBIANS, _ENTRIES = 64, 2**24


def attack_certified(
    certified: Certified,
    images: ImageData,
    spec: EvaluationSpec,
    *,
    norm: Norm,
    reason: str | None,
    seed: int,
    folder: Path | None,
) -> dict[str, float]:
    """Metrics of all attacks together, and of each.

    Args:
        certified: The classifier, and what is proven of it.
        images: Of which it is.
        spec: The attacks.
        norm: Of perturbations.
        reason: Why that says nothing about these attacks; None if it does.
        seed: Of the attacks' random numbers.
        folder: Where `robustness.npz` and its like go; None keeps none.
    """
    x, labels = images.pixels(slice(None)), images.labels
    radius = certified.radius if reason is None else None
    judge = Judge(certified.exact, x, labels, certified.margin > 0, radius)
    target = Target(certified.exact, x, labels)
    epsilons = named_epsilons(spec.epsilons)
    found = evaluate_robustness(
        judge, target, spec.attacks, norm=norm, epsilons=epsilons, seed=seed
    )
    metrics = found.metrics()
    if folder is not None:
        _save_notes(folder / ROBUSTNESS_NOTES, found, reason)
        save_arrays(folder / ROBUSTNESS, _curves(found, metrics))
        save_arrays(folder / GALLERY, _gallery(found, target))
        shown = _of_each_class(labels)
        gradients = _input_gradients(target, x[shown], labels[shown])
        save_arrays(folder / INPUT_GRADIENTS, gradients)
        save_arrays(folder / JACOBIANS, _jacobians(target, x))
    return metrics


def why_not_certified(trained: ClassificationSpec, norm: Norm) -> str | None:
    """Why nothing is certified of a classifier under attacks in a norm; None if something is.

    Args:
        trained: The experiment that the classifier is of.
        norm: Of perturbations.
    """
    if trained.faithful:
        return "the classifier is a faithful one of the original's, of which nothing is proven"
    if trained.certificate.norm != norm:
        return f"the classifier is certified in {trained.certificate.norm}, and attacked in {norm}"
    return None


def _save_notes(file: Path, found: Robustness, reason: str | None) -> None:
    """What numbers do not say."""
    notes = {
        "norm": found.norm,
        "images": len(found.judge.labels),
        "why_not_certified": reason,
        "failures": {
            attempt.kind: dict(zip(found.epsilons, attempt.failed.sum(dim=1).tolist(), strict=True))
            for attempt in found.attempts
        },
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")


def _curves(found: Robustness, metrics: dict[str, float]) -> dict[str, np.ndarray]:
    judge, names, epsilons = found.judge, list(found.epsilons), list(found.epsilons.values())
    radii, certified = np.full(len(judge.labels), np.nan), np.full(len(epsilons), np.nan)
    if judge.radius is not None:
        radii = judge.radius.cpu().numpy()
        certified = np.array([(radii > epsilon).mean() for epsilon in epsilons])
    worst = found.worst()
    arrays = {
        "epsilon": np.array(epsilons),
        "clean_accuracy": np.array(float(judge.correct.double().mean())),
        "adversarial_accuracy": np.array([worst.get(name, math.nan) for name in names]),
        "certified_accuracy": certified,
        "certified_radius": radii,
    }
    for attempt in found.attempts:
        shares = [metrics.get(f"{attempt.kind}_accuracy@{name}", math.nan) for name in names]
        arrays[f"{attempt.kind}_accuracy"] = np.array(shares)
        arrays[f"{attempt.kind}_distance"] = attempt.distance.cpu().numpy()
    return arrays


def _gallery(found: Robustness, target: Target) -> dict[str, np.ndarray]:
    """Of each class the first image that is turned, by the attack that moves it least."""
    judge = found.judge
    apart = torch.stack([attempt.distance for attempt in found.attempts])
    nearest = apart.min(dim=0)
    turned = (judge.correct & nearest.values.isfinite()).nonzero().flatten()
    shown = turned[_of_each_class(judge.labels[turned])]
    which = nearest.indices[shown]
    moved = torch.stack([attempt.moved for attempt in found.attempts])[which, shown]
    clean, kinds = judge.images[shown], [found.attempts[i].kind for i in which.tolist()]
    arrays = {
        "clean": clean,
        "perturbation": moved - clean,
        "adversarial": moved,
        "label": judge.labels[shown],
        "prediction": target.predictions(clean),
        "adversarial_prediction": target.predictions(moved),
        "distance": nearest.values[shown],
    }
    return {k: v.cpu().numpy() for k, v in arrays.items()} | {"attack": np.array(kinds, dtype=str)}


def _input_gradients(target: Target, x: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    """Of some images the gradient of the cross entropy with each class, as attacks see logits.

    That of large logits with the class they name would be lost to rounding.
    """
    classes = target.logits(x).shape[1]
    gradients: list[Tensor] = []
    for other in range(min(classes, _CLASSES)):
        moving = x.clone().requires_grad_()
        wanted = torch.full_like(labels, other)
        loss = F.cross_entropy(target(moving), wanted, reduction="sum")
        gradients += torch.autograd.grad(loss, moving)
    arrays = {"image": x, "label": labels, "gradient": torch.stack(gradients, dim=1)}
    return {name: array.cpu().numpy() for name, array in arrays.items()}


def _jacobians(target: Target, x: Tensor) -> dict[str, np.ndarray]:
    """Singular values at some images, the largest first."""
    numbers = target.logits(x[:1]).shape[1] * x[0].numel()
    count = max(1, min(_JACOBIANS, _ENTRIES // numbers))
    with torch.no_grad():
        spectra = jacobian_spectra(target.network, x[:count])
    return {"singular_values": spectra.cpu().numpy()}


def _of_each_class(labels: Tensor) -> Tensor:
    """Where the first of each class stands, of the first ten classes."""
    firsts = [(labels == label).nonzero()[:1].flatten() for label in range(_CLASSES)]
    return torch.cat(firsts)
