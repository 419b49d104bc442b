"""Attack a classifier that is trained already."""

import math
from typing import Literal, Self

from pydantic import model_validator

from lnets.specs.attacks import EvaluationSpec
from lnets.specs.classification import ClassificationSpec
from lnets.specs.epsilons import Norm
from lnets.specs.experiment import ExperimentSpec
from lnets.specs.metrics import CLASSIFICATION, Metric, attack_metrics, certified_metrics
from lnets.specs.overrides import dotted
from lnets.specs.references import TrialReference
from lnets.specs.spec import rule_broken


class RobustnessSpec(EvaluationSpec, ExperimentSpec):
    """Attack a stored classifier on the test images, without training it again."""

    task: Literal["robustness"]
    """What a trial does."""
    classifier: TrialReference
    """Key of a finished classification trial of the same store, or a name under the sweep's
    `needs`. A sweep's `search` may take all trials of another one: `{sweep: other.yaml}`."""
    norm: Norm
    """Of perturbations. Where it is not the one in which the classifier is certified, nothing is
    certified."""

    @property
    def metrics(self) -> dict[str, Metric]:
        """What a trial reports; figures of attacks that fail are missing."""
        epsilons = [str(epsilon) for epsilon in self.epsilons]
        known = attack_metrics(self) | certified_metrics(epsilons)
        return known | {name: CLASSIFICATION[name] for name in ("clean_accuracy", "peak_memory")}

    def why_alone(self) -> str | None:
        """Nothing is trained."""
        return "attacks are of one classifier"

    def why_not_shared(self, workers: int) -> str | None:
        """Nothing is trained."""
        return "trials of robustness are run by one process"

    def why_not_from(self, field: str, needed: ExperimentSpec) -> str | None:
        """Only trials of classification leave a classifier, of images that are wide enough."""
        if not isinstance(needed, ClassificationSpec):
            return f"a trial of {needed.task} has no classifier"
        problems = self.misfits(self.norm, math.prod(needed.data.image_shape))
        return next((f"{dotted(path)} {message}" for path, message in problems), None)

    @model_validator(mode="after")
    def _attacks_are_in_the_norm(self) -> Self:
        problems = list(self.misfits(self.norm))
        if problems:
            raise rule_broken(*problems)
        return self
