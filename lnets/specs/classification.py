"""Train a classifier, and certify how robust it is."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.attacks import AdversarialSpec, EvaluationSpec
from lnets.specs.certificate import CertificateSpec
from lnets.specs.data import DataSpec
from lnets.specs.epsilons import named_epsilons, too_large
from lnets.specs.experiment import ExperimentSpec, TrainingSpec, is_made_orthonormal
from lnets.specs.figures import SingularValuesSpec
from lnets.specs.layers import BjorckFields, norm_kept
from lnets.specs.losses import CrossEntropySpec, HingeKantorovichRubinsteinSpec, LossSpec
from lnets.specs.metrics import (
    CLASSIFICATION,
    VALIDATION,
    Metric,
    attack_metrics,
    certified_metrics,
    unproven,
)
from lnets.specs.model import ModelSpec
from lnets.specs.network import Shape
from lnets.specs.optim import LinearScheduleSpec
from lnets.specs.references import TrialReference
from lnets.specs.spec import Broken, Spec, rule_broken, show


class NormalizationSpec(Spec):
    """A first layer that shifts and divides channels; it counts in the Lipschitz constant."""

    mean: tuple[Annotated[float, Field(ge=-1e6, le=1e6)], ...] = Field(min_length=1)
    """Subtracted from each channel's pixels."""
    std: tuple[Annotated[float, Field(ge=1e-6, le=1e6)], ...] = Field(min_length=1)
    """By which each channel is divided then."""


class SelectionSpec(Spec):
    """Which weights are kept: those that were best on the validation images after an epoch."""

    metric: Literal[
        "validation_accuracy",
        "validation_loss",
        "validation_certified_accuracy",
        "validation_adversarial_accuracy",
    ] = "validation_accuracy"
    """By which figure; certified at the smallest epsilon, adversarial as trained."""
    patience: int | None = Field(None, ge=1)
    """Epochs without a better figure after which training ends early; null never does."""


class FinetuneSpec(Spec):
    """Training after the training: with more of Björck's iterations, until nothing is left out."""

    epochs: int = Field(ge=1, le=100_000)
    """Epochs of it."""
    lr: float = Field(gt=0, le=1e3)
    """Learning rate, kept."""
    bjorck_iter: int = Field(ge=1, le=200)
    """Iterations of every Björck layer."""


class ClassificationSpec(TrainingSpec):
    """Train a classifier of images, and certify its accuracy under perturbations."""

    task: Literal["classification"]
    """What a trial does."""
    data: DataSpec
    """The images, and which are trained on and held out."""
    model: ModelSpec
    """The classifier; it has an output for each class."""
    normalization: NormalizationSpec | None = None
    """What is done to pixels, which are in [0, 1], before the model; null does nothing."""
    loss: LossSpec = CrossEntropySpec(type="cross_entropy")
    """What is made small."""
    spectral_jacobian: float = Field(0.0, ge=0)
    """Weight of a penalty on the norm of the batch's Jacobians."""
    adversarial: AdversarialSpec | None = None
    """Against which attack it is trained; null trains on the images as they are."""
    epochs: int = Field(ge=1, le=100_000)
    """Passes over the training images; a last batch that is not full is left out."""
    batch_size: int = Field(128, ge=1, le=1_000_000)
    """Images per step; no more than there are are used."""
    max_train_seconds: float | None = Field(None, gt=0)
    """Wall time after which training ends, wherever it is: for comparisons at equal cost. Learning
    rates fall by the share of it that has passed. Numbers then depend on the machine."""
    selection: SelectionSpec | None = None
    """Which epoch's weights are kept; null keeps the last ones. Never by test images."""
    finetune: FinetuneSpec | None = None
    """Training after the training; null does none."""
    init_from: TrialReference | None = None
    """A trial whose weights training starts from: the key of a finished one of the same store, or
    a name under the sweep's `needs`."""
    certificate: CertificateSpec = CertificateSpec()
    """Against what the trained classifier is certified."""
    evaluation: EvaluationSpec | None = None
    """How it is attacked when it is trained, in the certificate's norm; null leaves it in peace."""
    singular_values: SingularValuesSpec | None = None
    """When singular values of the classifier's layers are recorded; null never does."""

    @property
    def metrics(self) -> dict[str, Metric]:
        """What a trial reports; figures of attacks that fail are missing."""
        known = certified_metrics(list(self.certified_epsilons())) | CLASSIFICATION
        if self.evaluation is not None:
            known |= attack_metrics(self.evaluation)
        reported = {"validation_adversarial_accuracy": self.adversarial is not None}
        certified = "validation_certified_accuracy"
        reported[certified] = self.selection is not None and self.selection.metric == certified
        if self.data.has_validation:
            known |= {k: v for k, v in VALIDATION.items() if reported.get(k, True)}
        if not is_made_orthonormal(self.model):
            del known["orthonormality_error"]
        return unproven(known) if self.faithful else known

    def certified_epsilons(self) -> dict[str, float]:
        """By the names that they have in metrics: those of the certificate and the attacks."""
        attacked = () if self.evaluation is None else self.evaluation.epsilons
        return named_epsilons([*self.certificate.epsilons, *attacked])

    @property
    def input_batch(self) -> Shape:
        """Images of a step."""
        return self.batch_size, *self.data.image_shape

    def lipschitz_constant(self) -> float:
        """That the network is designed for; margins are multiplied by it."""
        return float(getattr(self.model, "l_constant", 1.0))

    def why_alone(self) -> str | None:
        """The reason why trials must be trained one by one; None if they need not."""
        if self.normalization is not None:
            return "a network with normalization is trained by itself"
        if self.spectral_jacobian:
            return "a spectral-Jacobian penalty is of one network"
        if self.max_train_seconds is not None:
            return "seconds of training are counted for one network"
        if self.selection is not None and self.selection.patience is not None:
            return "each network stops early by itself"
        return super().why_alone()

    def why_not_shared(self, workers: int) -> str | None:
        """What is of a whole batch cannot be computed from shares of it."""
        if self.batch_size < workers:
            return f"{workers} processes cannot share a batch of {self.batch_size}"
        if isinstance(self.loss, HingeKantorovichRubinsteinSpec):
            return "the dual value of hinge_kr is of whole batches"
        if self.spectral_jacobian:
            return "the spectral-Jacobian penalty is of whole batches"
        return self.model.why_not_split()

    def why_not_from(self, field: str, needed: ExperimentSpec) -> str | None:
        """Weights to start from are those of a classifier of the same layers."""
        if not isinstance(needed, ClassificationSpec):
            return f"a trial of {needed.task} has no classifier"
        if (needed.normalization is None) != (self.normalization is None):
            return "only one of the two classifiers has a normalization"
        mine, its = (spec.model.sizes(spec.data.image_shape) for spec in (self, needed))
        if mine != its:
            return f"its classifier has {show(its)}, and this one {show(mine)}"
        return None

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        problems = [*self._bad_model(), *self._bad_selection(), *self._bad_finetuning()]
        problems += [*self._bad_normalization(), *self._bad_schedule()]
        problems = problems or [*self._bad_norm(), *self._bad_attacks()]
        if problems:
            raise rule_broken(*problems)
        return self

    def _bad_model(self) -> Iterator[Broken]:
        shape, classes = self.data.image_shape, self.data.num_classes
        misfits = self.model.misfits(shape)
        yield from ((("model", *path), message) for path, message in misfits)
        if classes < 2:
            message = f"must have two classes at least, got {self.data.dataset} with {classes}"
            yield ("data", "dataset"), message
        elif not misfits and (found := self.model.output_shape(shape)) != (classes,):
            outputs = getattr(self.model, self.model.OUTPUT)
            verb = "end in" if isinstance(outputs, tuple) else "be"
            message = (
                f"must {verb} {classes}, the number of classes of {self.data.dataset}, got "
                f"{show(outputs)}"
            )
            if len(found) > 1:
                message += ", and classes as numbers, not as images"
            yield ("model", self.model.OUTPUT), message

    def _bad_selection(self) -> Iterator[Broken]:
        if self.selection is not None and not self.data.has_validation:
            message = (
                "needs validation images, and `data.split` holds none out; hold some out, or leave "
                "selection out"
            )
            yield ("selection",), message
        elif (
            self.faithful
            and self.selection is not None
            and self.selection.metric == "validation_certified_accuracy"
        ):
            message = "must be another one with faithful, under which nothing is certified"
            yield ("selection", "metric"), message
        elif (
            self.selection is not None
            and self.selection.metric == "validation_adversarial_accuracy"
            and self.adversarial is None
        ):
            message = "needs adversarial training, whose attack it is of; add `adversarial: …`"
            yield ("selection", "metric"), message

    def _bad_finetuning(self) -> Iterator[Broken]:
        if self.finetune is None:
            return
        layers = [getattr(self.model, name, None) for name in ("linear", "conv")]
        iterations = [layer.bjorck_iter for layer in layers if isinstance(layer, BjorckFields)]
        if not iterations:
            message = (
                "must be left out where no layer of the model is iterated (bjorck, bjorck_conv2d, "
                "bcop_conv2d), because it raises bjorck_iter"
            )
            yield ("finetune",), message
        elif self.finetune.bjorck_iter < max(iterations):
            message = (
                f"must not be below the model's bjorck_iter, {max(iterations)}, which it raises, "
                f"got {self.finetune.bjorck_iter}"
            )
            yield ("finetune", "bjorck_iter"), message

    def _bad_normalization(self) -> Iterator[Broken]:
        channels = self.data.image_shape[0]
        for name in ("mean", "std"):
            given = getattr(self.normalization, name, None)
            if given is not None and len(given) != channels:
                message = f"must have one number per channel, {channels}, got {show(given)}"
                yield ("normalization", name), message

    def _bad_schedule(self) -> Iterator[Broken]:
        schedule = self.optim.schedule
        if self.max_train_seconds is None or schedule is None:
            return
        if not isinstance(schedule, LinearScheduleSpec) or schedule.end is not None:
            message = (
                "must be {type: linear} without end, or left out, where max_train_seconds ends "
                "training at a step that nobody knows"
            )
            yield ("optim", "schedule"), message

    def _bad_norm(self) -> Iterator[Broken]:
        bounded = {norm: next(_bounded_in(self, norm), None) for norm in ("l2", "linf")}
        other = {"l2": "linf", "linf": "l2"}[self.certificate.norm]
        if all(bounded.values()):
            message = (
                f"must keep bounds in one norm, got {bounded['l2']} in l2 and {bounded['linf']} in "
                "linf; together they have a useful bound in none"
            )
            yield ("model",), message
        elif bounded[other]:
            message = (
                f"must be {other}, because {bounded[other]} keeps a bound in that norm only; got "
                f"{self.certificate.norm}"
            )
            yield ("certificate", "norm"), message

    def _bad_attacks(self) -> Iterator[Broken]:
        norm, numbers = self.certificate.norm, math.prod(self.data.image_shape)
        if self.evaluation is not None:
            for path, message in self.evaluation.misfits(norm, numbers):
                yield ("evaluation", *path), message
        for path, message in self.certificate.misfits(numbers):
            yield ("certificate", *path), message
        if (attack := self.adversarial) is not None:
            wrong = too_large(attack.epsilon, attack.norm, numbers)
            if wrong is not None:
                yield ("adversarial", "epsilon"), wrong


def _bounded_in(spec: ClassificationSpec, norm: str) -> Iterator[str]:
    """Fields that keep a network's bound in one norm, and leave no useful one in others."""
    for name in ("linear", "conv"):
        kind = getattr(getattr(spec.model, name, None), "type", "standard")
        if norm_kept(kind) == norm:
            yield f"model.{name} ({kind})"
    for name in ("per_update_proj", "per_epoch_proj"):
        projection = getattr(spec, name)
        if projection is not None and norm_kept(projection.type) == norm:
            yield f"{name} ({projection.type})"
