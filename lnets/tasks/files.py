"""Files of a trial: weights that it starts from, and where it goes on after it was cut off."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lnets.errors import TrialError


@dataclass(frozen=True)
class TrialFiles:
    """Where a task finds and puts what must outlive it."""

    weights: Callable[[str], Path]
    """The weights of a finished trial, by its key."""
    checkpoint: Path | None = None
    """Training that is cut off goes on from here; None starts anew."""


def _no_weights(trial_key: str) -> Path:
    raise TrialError(f"init_from needs a store that has the trial {trial_key}, got none")


NO_FILES = TrialFiles(_no_weights)
"""Of a trial that starts from nothing, and never goes on."""


def load_weights(model: nn.Module, file: Path) -> None:
    """Give a network the weights of a trial.

    Args:
        model: Of the same architecture.
        file: What the trial left.

    Raises:
        TrialError: If there is no such file, or it is of another architecture.
    """
    if not file.exists():
        raise TrialError(
            f"init_from must be the key of a finished trial of this store, got no {file}; "
            "`lnets-sweep query` lists keys"
        )
    with safe_open(file, "pt") as stored:
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise TrialError(f"init_from must be a trial of the same model; {error}") from error


def save_state(file: Path, tensors: Mapping[str, Tensor], numbers: Mapping[str, float]) -> None:
    """Replace a checkpoint, or leave it whole as it was.

    Args:
        file: Where to.
        tensors: What is large.
        numbers: What is not.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(state, temporary, {"numbers": json.dumps(dict(numbers))})
    temporary.replace(file)


def load_state(file: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    """What `save_state` has written."""
    with safe_open(file, "pt") as stored:
        numbers = json.loads(stored.metadata()["numbers"])
        return {name: stored.get_tensor(name) for name in stored.keys()}, numbers  # noqa: SIM118
