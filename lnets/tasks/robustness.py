"""Attack classifiers that are trained already."""

from collections.abc import Sequence
from pathlib import Path

import torch

from lnets.build import build_data, refuse_misfit, trained_classifier
from lnets.errors import DataError
from lnets.specs.epsilons import named_epsilons
from lnets.specs.robustness import RobustnessSpec
from lnets.tasks.attacks.report import attack_certified, why_not_certified
from lnets.tasks.certified import certify_images
from lnets.tasks.files import TrialFiles
from lnets.tasks.outcome import Outcome
from lnets.tasks.streams import stream_seed


def evaluate(
    specs: Sequence[RobustnessSpec],
    seeds: Sequence[int],
    *,
    device: torch.device,
    files: TrialFiles,
) -> list[Outcome]:
    """Attack stored classifiers on test images, and certify them.

    Args:
        specs: Which classifiers, and how they are attacked.
        seeds: Of the attacks' random numbers.
        device: Where to evaluate.
        files: Where classifiers are, and where data for figures go.

    Raises:
        LnetsError: If a classifier, or its data, are not there.
    """
    folders: Sequence[Path | None] = files.folders or [None] * len(specs)
    return [
        _evaluate(spec, stream_seed(seed, "attacks"), device, files, folder)
        for spec, seed, folder in zip(specs, seeds, folders, strict=True)
    ]


def _evaluate(
    spec: RobustnessSpec, seed: int, device: torch.device, files: TrialFiles, folder: Path | None
) -> Outcome:
    trained, model = trained_classifier(files.weights(spec.classifier), "classifier")
    refuse_misfit(spec, "classifier", trained)
    try:
        test = build_data(trained.data, device).test.spread(spec.max_images)
    except DataError as error:
        raise DataError(f"The classifier {spec.classifier} needs its data: {error}") from error
    certified = certify_images(model.to(device), test, trained.certificate.norm)
    reason = why_not_certified(trained, spec.norm)
    named = named_epsilons(spec.epsilons) if reason is None else {}
    found = attack_certified(
        certified,
        test,
        spec,
        norm=spec.norm,
        reason=reason,
        seed=seed,
        folder=folder,
    )
    return Outcome("completed", certified.accuracies(named) | found, None)
