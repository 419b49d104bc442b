"""How alike generated and real images are to a classifier."""

from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from lnets.build import refuse_misfit, trained_classifier
from lnets.data.distributions import Distribution
from lnets.functional.features import frechet_distance, kernel_distance
from lnets.nn.certificate import chain
from lnets.specs.gan import GanSpec

_MOST = 10_000
_CHUNK = 500


class Features:
    """What a trained classifier makes of images before its last layer, in float64.

    Args:
        spec: The GAN, whose `features` names the classifier.
        weights: Of the classifier.
        device: Where images are.

    Raises:
        TrialError: If the trial is not there, is no classifier, or takes other images.
    """

    def __init__(self, spec: GanSpec, weights: Path, device: torch.device) -> None:
        classification, classifier = trained_classifier(weights, "features")
        refuse_misfit(spec, "features", classification)
        layers = [module for _, module in chain(classifier)]
        last = max(i for i, layer in enumerate(layers) if any(True for _ in layer.parameters()))
        self._network = nn.Sequential(*layers[:last]).double().to(device).eval()

    def compare(
        self, real: Distribution, generated: Distribution, generator: Generator
    ) -> dict[str, float]:
        """Distances between the features of held-out real images and as many generated ones.

        Args:
            real: Images.
            generated: Images that the generator makes.
            generator: Draws both.
        """
        held_out = real.held_out(_MOST, generator)
        made = generated.held_out(len(held_out), generator)
        first, second = self._of(held_out), self._of(made)
        return {
            "kernel_distance": kernel_distance(first, second).item(),
            "frechet_distance": frechet_distance(first, second).item(),
        }

    def _of(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            parts = [self._network(part).flatten(1) for part in images.split(_CHUNK)]
        return torch.cat(parts)
