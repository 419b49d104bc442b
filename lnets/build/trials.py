"""Networks of finished trials."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar, get_args

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lnets.build.models import build_classifier, build_critic, build_generator
from lnets.errors import TrialError
from lnets.nn import BjorckLinear
from lnets.nn.conv import OrthonormalConv2d
from lnets.specs.classification import ClassificationSpec, FinetuneSpec
from lnets.specs.experiment import ExperimentSpec, TrainingSpec
from lnets.specs.experiments import EXPERIMENT
from lnets.specs.gan import GanSpec
from lnets.specs.spec import Spec
from lnets.specs.wasserstein import WassersteinSpec

Named = TypeVar("Named")
_E = TypeVar("_E", bound=TrainingSpec)

Weights: TypeAlias = Callable[[str], Path]
"""The weights of a finished trial, by its key; its experiment is beside them."""


def no_store(trial_key: str) -> Path:
    """The weights of a trial where there is no store."""
    raise TrialError(
        f"what starts from trial {trial_key} needs a store that has it, got none; submit one"
    )


def refuse_misfit(spec: Spec, field: str, found: ExperimentSpec) -> None:
    """Refuse the trial that a field names by its key, if it cannot name one of such an experiment.

    Raises:
        TrialError: With the reason.
    """
    reason = spec.why_not_from(field, found)
    if reason is not None:
        raise TrialError(f"{field} must not be the trial {getattr(spec, field)}, because {reason}")


def trained_generator(weights: Path) -> tuple[GanSpec, nn.Module]:
    """A GAN's experiment and its generator, in evaluation mode.

    Args:
        weights: Of the trial.

    Raises:
        TrialError: If they are not there, are damaged, not a GAN's, or not finite.
    """
    experiment, tensors = _read(weights, "gan", GanSpec)
    generator = build_generator(experiment.generator, experiment.data.image_shape)
    return experiment, _loaded(generator, below("generator.", tensors), weights, "gan")


def trained_classifier(weights: Path, field: str) -> tuple[ClassificationSpec, nn.Module]:
    """A classifier's experiment and itself, in evaluation mode.

    Args:
        weights: Of the trial.
        field: What names the trial.

    Raises:
        TrialError: If they are not there, are damaged, not a classifier's, or not finite.
    """
    experiment, tensors = _read(weights, field, ClassificationSpec)
    shape = experiment.data.image_shape
    classifier = build_classifier(
        experiment.model, experiment.normalization, shape, faithful=experiment.faithful
    )
    if experiment.finetune is not None:
        iterate_(classifier, experiment.finetune)
    return experiment, _loaded(classifier, tensors, weights, field)


def trained_critic(weights: Path) -> tuple[WassersteinSpec | GanSpec, nn.Module]:
    """A critic's experiment and itself, in evaluation mode; of a GAN the one it was trained with.

    Args:
        weights: Of the trial.

    Raises:
        TrialError: If they are not there, are damaged, no critic's, or not finite.
    """
    experiment, tensors = _read(weights, "trial", WassersteinSpec, GanSpec)
    if isinstance(experiment, WassersteinSpec):
        critic = build_critic(
            experiment.model, experiment.distrib1.shape, faithful=experiment.faithful
        )
        return experiment, _loaded(critic, tensors, weights, "trial")
    assert isinstance(experiment, GanSpec)
    critic = build_critic(
        experiment.model, experiment.data.image_shape, faithful=experiment.faithful
    )
    return experiment, _loaded(critic, below("critic.", tensors), weights, "trial")


def iterate_(model: nn.Module, finetune: FinetuneSpec) -> None:
    """Give every iterated layer as many of Björck's iterations as finetuning has."""
    for layer in model.modules():
        if isinstance(layer, (BjorckLinear, OrthonormalConv2d)):
            layer.bjorck_iter = finetune.bjorck_iter


def below(prefix: str, named: Mapping[str, Named]) -> dict[str, Named]:
    """What is named with a prefix, without it."""
    return {k.removeprefix(prefix): value for k, value in named.items() if k.startswith(prefix)}


def refuse_missing(weights: Path, field: str) -> None:
    """Say that there are no weights of a trial.

    Args:
        weights: Where they would be.
        field: What names the trial.

    Raises:
        TrialError: If they are not there.
    """
    if not weights.exists():
        raise TrialError(
            f"{field} must be the key of a finished trial of this store, got no {weights}; "
            "`lnets-sweep query` lists keys"
        )


def _read(weights: Path, field: str, *kinds: type[_E]) -> tuple[_E, dict[str, Tensor]]:
    """The experiment of a trial, of one of some kinds, after its changes, and its weights."""
    refuse_missing(weights, field)
    try:
        stored = json.loads((weights.parent / "experiment.json").read_text())
        experiment = EXPERIMENT.validate_json(json.dumps(stored["experiment"]))
        tensors = load_file(weights)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(weights, field) from error
    if not isinstance(experiment, kinds):
        tasks = " or ".join(get_args(kind.model_fields["task"].annotation)[0] for kind in kinds)
        raise TrialError(
            f"{field} must be a trial of task {tasks}, got one of {experiment.task}: "
            f"{weights.parent.name}"
        )
    return experiment.changed(), tensors


def _loaded(model: nn.Module, tensors: dict[str, Tensor], weights: Path, field: str) -> nn.Module:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unreadable(weights, field) from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise TrialError(
            f"{field} must be a trial with finite weights, got {weights.parent.name}, which has "
            "diverged; lower its learning rates"
        )
    return model.eval()


def _unreadable(weights: Path, field: str) -> TrialError:
    return TrialError(
        f"{field} must be a trial whose files can be read, but {weights.parent} is damaged, or of "
        "another version of lnets; train it again"
    )
