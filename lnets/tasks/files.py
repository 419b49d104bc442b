"""Files of a trial: weights that it starts from, and where it goes on after it was cut off."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lnets.build.trials import Weights, no_store, refuse_missing
from lnets.errors import TrialError
from lnets.functional.orthogonal import orthonormality_defect
from lnets.nn.orthogonal import keeps_orthonormal
from lnets.tasks.outcome import PAUSED_AT

# Of a weight that training has left in the middle of its drift; a free one's is far larger.
_ORTHONORMAL = 1.0


@dataclass(frozen=True)
class TrialFiles:
    """Where a task finds and puts what must outlive it."""

    weights: Weights
    """The weights of a finished trial, by its key."""
    checkpoint: Path | None = None
    """Training that is cut off goes on from here; None starts anew."""
    folders: Sequence[Path] = ()
    """Where each trial may leave pictures and their data; empty keeps none."""
    pauses: Sequence[Path] = ()
    """Checkpoints of trials that train side by side and pause; empty never pauses."""


NO_FILES = TrialFiles(no_store)
"""Of a trial that starts from nothing, and never goes on."""


def load_weights(model: nn.Module, file: Path) -> None:
    """Give a network the weights of a trial.

    Args:
        model: Of the same architecture.
        file: What the trial left.

    Raises:
        TrialError: If there is no such file, or it is damaged or of another architecture.
    """
    state = _weights(file)
    mine, its = (
        {name: list(tensor.shape) for name, tensor in tensors.items()}
        for tensors in (model.state_dict(), state)
    )
    for name in {**mine, **its}:
        if mine.get(name) != its.get(name):
            raise TrialError(
                f"init_from must be a trial of the same model, but `{name}` has shape "
                f"{its.get(name, 'none')} in {file}, and {mine.get(name, 'none')} in this model; "
                "start from another trial, or give this one the other's model"
            )
    model.load_state_dict(state)
    for name, layer in model.named_modules():
        if keeps_orthonormal(layer):
            defect = float(orthonormality_defect(layer.get_parameter("weight").detach()))
            if not defect < _ORTHONORMAL:
                raise TrialError(
                    "init_from must be a trial of the same model; its weight of "
                    f"`{name}` is not orthonormal, as this layer's must be from the start"
                )


def _weights(file: Path) -> dict[str, Tensor]:
    refuse_missing(file, "init_from")
    try:
        with safe_open(file, "pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TrialError(
            f"init_from must be a trial whose weights are whole, but {file} is damaged ({error}); "
            "bring it back from a copy, or start from another trial"
        ) from None


def save_state(file: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace a checkpoint, or leave it whole as it was.

    Args:
        file: Where to.
        tensors: What is large.
        values: The rest, as JSON has it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # Two drivers may have the same trial at work.
    temporary = file.with_suffix(f".{os.getpid()}")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(state, temporary, {"values": json.dumps(dict(values))})
    temporary.replace(file)


def load_state(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `save_state` has written; None where there is nothing, or it is damaged."""
    try:
        with safe_open(file, "pt") as stored:
            values = json.loads(stored.metadata()["values"])
            return {name: stored.get_tensor(name) for name in stored.keys()}, values  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def position(file: Path) -> int | None:
    """Where the training of a checkpoint had come to, in its unit; None if there is none."""
    state = load_state(file)
    return None if state is None else state[1].get(PAUSED_AT)


def save_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Replace a .npz file of arrays, or leave it whole as it was.

    Args:
        file: Where to; its folder is made.
        arrays: By name.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    with temporary.open("wb") as stream:
        np.savez(stream, **dict[str, Any](arrays))
    temporary.replace(file)


def remove_state(file: Path) -> None:
    """Remove a checkpoint, and what processes that were killed while writing it have left."""
    for left in file.parent.glob(f"{file.stem}.*"):
        left.unlink(missing_ok=True)
