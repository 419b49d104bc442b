"""What a trained classifier is worth on test images: accuracy, certificates, attacks."""

import math
from pathlib import Path

import torch
from torch import nn

from lnets.build.losses import Loss
from lnets.data.images import ImageData
from lnets.specs.classification import ClassificationSpec
from lnets.specs.metrics import unproven
from lnets.tasks.certified import certify_images, evaluate
from lnets.tasks.streams import stream_seed


def metrics_of_tests(
    spec: ClassificationSpec,
    model: nn.Module,
    test: ImageData,
    loss: Loss,
    seed: int,
    folder: Path | None,
) -> dict[str, float]:
    """All metrics that test images give; attacks are left out where one is not finite.

    Args:
        spec: Of the trial.
        model: Its classifier.
        test: All test images.
        loss: Of all images together, each one's share of the mean.
        seed: Of the trial.
        folder: Where data for figures of attacks go; None keeps none.
    """
    attacks, norm = spec.evaluation, spec.certificate.norm
    images = test if attacks is None else test.spread(attacks.max_images)
    torch.manual_seed(stream_seed(seed, "evaluation"))
    certified = certify_images(model, images, norm)
    found = evaluate(model, images, loss, certified, epsilons=spec.certified_epsilons())
    found = unproven(found) if spec.faithful else found
    if attacks is None or not all(map(math.isfinite, found.values())):
        return found
    from lnets.tasks.attacks.report import attack_certified, why_not_certified  # seconds of imports

    return found | attack_certified(
        certified,
        images,
        attacks,
        norm=norm,
        reason=why_not_certified(spec, norm),
        seed=stream_seed(seed, "attacks"),
        folder=folder,
    )
