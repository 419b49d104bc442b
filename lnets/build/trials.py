"""Networks of finished trials."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lnets.build.models import build_classifier
from lnets.errors import TrialError
from lnets.nn import BjorckLinear
from lnets.nn.conv import OrthonormalConv2d
from lnets.specs.classification import ClassificationSpec, FinetuneSpec
from lnets.specs.experiments import EXPERIMENT


def trained_classifier(weights: Path, field: str) -> tuple[ClassificationSpec, nn.Module]:
    """The experiment of a classification trial and its classifier, in evaluation mode.

    Args:
        weights: Of the trial; its experiment is beside them.
        field: What the trial is named by, for messages.

    Raises:
        TrialError: If it is not there, is damaged, or not of that task; or its weights are not
            finite.
    """
    trial = weights.parent.name
    if not weights.exists():
        raise TrialError(
            f"{field} must be the key of a finished trial of this store, got no {weights}; "
            "`lnets-sweep query` lists keys"
        )
    try:
        stored = json.loads((weights.parent / "experiment.json").read_text(encoding="utf-8"))
        experiment = EXPERIMENT.validate_json(json.dumps(stored["experiment"]))
        tensors = load_file(weights)
        if not isinstance(experiment, ClassificationSpec):
            raise TrialError(
                f"{field} must be a trial of task classification, got one of task "
                f"{experiment.task}: {trial}"
            )
        shape = experiment.data.input_shape
        model = build_classifier(experiment.model, experiment.normalization, shape)
        model.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrialError(
            f"{field} must be a trial whose files can be read, but {weights.parent} is damaged, or "
            "of another version of lnets; train it again"
        ) from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise TrialError(f"{field} must be a trial with finite weights, but {trial} has diverged")
    if experiment.finetune is not None:
        iterate_(model, experiment.finetune)
    return experiment, model.eval()


def iterate_(model: nn.Module, finetune: FinetuneSpec) -> None:
    """Give every iterated layer as many of Björck's iterations as finetuning has."""
    for layer in model.modules():
        if isinstance(layer, (BjorckLinear, OrthonormalConv2d)):
            layer.bjorck_iter = finetune.bjorck_iter
