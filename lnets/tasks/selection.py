"""Which weights of a training are kept: by validation images, never by test images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lnets.build import below
from lnets.build.losses import Loss
from lnets.data.images import ImageData
from lnets.specs.classification import ClassificationSpec
from lnets.specs.epsilons import epsilon_value
from lnets.tasks import processes
from lnets.tasks.adversarial import TrainingAttack
from lnets.tasks.certified import certified_accuracy, validate


@dataclass(frozen=True)
class Kept:
    """Weights of the end of an epoch, and what validation said of them."""

    score: float
    figures: dict[str, float]
    model: nn.Module


class Selection:
    """The weights kept so far of every classifier in training.

    Args:
        spec: Says by which figure; without one the last weights are kept.
        images: For validation; there may be none without a figure.
        loss: Per image.
    """

    def __init__(self, spec: ClassificationSpec, images: ImageData, loss: Loss) -> None:
        self._spec, self._images, self._loss = spec, images, loss
        self.kept: dict[int, Kept] = {}
        self._waited = 0

    @property
    def out_of_patience(self) -> bool:
        """Whether too many epochs have passed without a better figure; of one classifier only."""
        selection = self._spec.selection
        patience = None if selection is None else selection.patience
        return patience is not None and self._waited >= patience

    def begin(self) -> None:
        """Forget what has been kept: another training begins."""
        self.kept, self._waited = {}, 0

    def consider(self, index: int, epoch: int, model: nn.Module) -> dict[str, float]:
        """What validation says after an epoch; keeps the weights where they are to be kept.

        Args:
            index: Of the trial.
            epoch: Epochs so far.
            model: A copy of the classifier, its weights finite.

        Returns:
            Nothing without validation images. Where a figure is not finite nothing is kept.
        """
        if not len(self._images):
            return {}
        selection, best = self._spec.selection, self.kept.get(index)
        figures = processes.of_first(validate, model, self._images, self._loss)
        if self._spec.adversarial is not None:
            attack = TrainingAttack(self._spec.adversarial, self._spec.lipschitz_constant())
            found = processes.of_first(attack.accuracy, model, self._images)
            figures["validation_adversarial_accuracy"] = found
        figures |= {"epoch": float(epoch)}
        if not all(map(math.isfinite, figures.values())):
            return figures
        score = 0.0
        if selection is not None:
            if selection.metric == "validation_certified_accuracy":
                figures[selection.metric] = processes.of_first(self._certified, model)
            score = figures[selection.metric]
            score = -score if selection.metric == "validation_loss" else score
        better = selection is None or best is None or score > best.score
        if better:
            self.kept[index] = Kept(score, figures, model)
        self._waited = 0 if better else self._waited + 1
        return figures

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All of a single trial: tensors, and what goes into JSON."""
        kept = self.kept.get(0)
        if kept is None:
            return {}, {"waited": self._waited}
        tensors = {f"kept.{name}": tensor for name, tensor in kept.model.state_dict().items()}
        return tensors, {"waited": self._waited, "score": kept.score, "figures": kept.figures}

    def load(
        self, tensors: Mapping[str, Tensor], values: Mapping[str, Any], model: nn.Module
    ) -> None:
        """Go on from there.

        Args:
            tensors: As from `state`.
            values: As from there.
            model: A classifier for the weights kept.
        """
        self._waited = values["waited"]
        if "score" in values:
            model.eval().load_state_dict(below("kept.", tensors))
            self.kept[0] = Kept(values["score"], values["figures"], model)

    def _certified(self, model: nn.Module) -> float:
        certificate = self._spec.certificate
        epsilon = epsilon_value(certificate.epsilons[0])
        return certified_accuracy(model, self._images, norm=certificate.norm, epsilon=epsilon)
