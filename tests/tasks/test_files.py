"""Starting from stored weights, and going on from checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lnets.errors import TrialError
from lnets.tasks.files import NO_FILES, TrialFiles, load_state, save_state
from lnets.tasks.outcome import Outcome
from lnets.tasks.run import run_trials
from tests.tasks.digits import FEW, ONE_STEP, equal, outcome, spec, weights

pytestmark = pytest.mark.usefixtures("_quick")
BJORCK = {"type": "bjorck", "bjorck_iter": 3}


@pytest.fixture
def stored(tmp_path: Path) -> tuple[TrialFiles, Outcome]:
    """A store that has one trial, and that trial."""
    ended, _ = outcome(spec(data=FEW))
    save_file(ended.model.state_dict(), tmp_path / f"{'a' * 64}.safetensors")
    return TrialFiles(lambda key: tmp_path / f"{key}.safetensors"), ended


def test_training_starts_from_the_weights_of_a_trial(stored: tuple[TrialFiles, Outcome]) -> None:
    files, first = stored
    optim = {"type": "sgd", "lr": 1e-12}
    again, _ = outcome(spec(init_from="a" * 64, data=FEW, epochs=1, optim=optim), 5, files)
    assert again.metrics["clean_accuracy"] == first.metrics["clean_accuracy"]
    for a, b in zip(weights(first), weights(again), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)  # retractions, in float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_from": "b" * 64}, "must be the key of a finished trial of this store"),
        (
            {"model": {"layers": [32, 16, 10]}},
            r"weight` has shape \[32, 32\] in .*and \[16, 32\] in",
        ),
        ({"model": {"layers": [32, 10]}}, r"has shape \[32, 32\] in .*, and \[10, 32\] in this"),
        ({"normalization": {"mean": [0.0], "std": [1.0]}}, "has shape none in .*, and .* in this"),
        ({"model": {"linear": {"type": "orthogonal", "bias": False}}}, "has shape .*, and none in"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    stored: tuple[TrialFiles, Outcome], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrialError, match=f"^init_from .*{message}.*; ") as caught:
        outcome(spec(**{"init_from": "a" * 64, **changes}), files=stored[0])
    assert "\n" not in str(caught.value)
    with pytest.raises(TrialError, match="needs a store"):
        outcome(spec(init_from="a" * 64))


@pytest.mark.parametrize("left", [0, 5, 2000])
def test_damaged_weights_are_refused(stored: tuple[TrialFiles, Outcome], left: int) -> None:
    file = stored[0].weights("a" * 64)
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(TrialError, match=rf"^init_from .* {file} is damaged \(.*start from anothe"):
        outcome(spec(init_from="a" * 64), files=stored[0])


def test_weights_that_are_not_orthonormal_are_refused_where_they_must_be(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    files = TrialFiles(lambda _: file)
    save_file(outcome(spec(model={"linear": {"type": "standard"}}))[0].model.state_dict(), file)
    with pytest.raises(TrialError, match="is not orthonormal"):
        outcome(spec(init_from="a" * 64), files=files)
    forward = {"linear": {"type": "orthogonal", "mode": "forward"}}
    ended, _ = outcome(spec(init_from="a" * 64, model=forward, epochs=1), files=files)
    assert ended.metrics["lipschitz_upper_bound"] == pytest.approx(1)


RESUMED: dict[str, dict[str, Any]] = {
    "adam": {"optim": {"schedule": {"type": "exp", "decay": 0.99}}},
    "sgd": {"optim": {"type": "sgd", "lr": 0.05, "momentum": 0.0}},
    "nesterov": {"optim": {"type": "nesterov", "lr": 0.02, "schedule": {"type": "linear"}}},
    "aggmo": {"optim": {"type": "aggmo", "lr": 0.02, "schedule": {"type": "step",
              "milestones": [4, 8], "decay": 0.3}, "max_grad_norm": 1.0}},
    "rotate": {"model": {"linear": {"type": "orthogonal", "mode": "rotate"}}},
    "spectral": {"model": {"linear": {"type": "spectral_normal"}}, "spectral_jacobian": 0.1},
    "dropout": {"model": {"dropout": 0.3}, "normalization": {"mean": [0.3], "std": [0.5]}},
    "augmented": {"data": {**FEW, "augment": {"crop_padding": 1, "flip": True}}},
    "batch norm": {"model": {"type": "resnet32", "output_dim": 10}, "data": ONE_STEP},
    "selection": {"selection": {"patience": 2}, "optim": {"lr": 0.3}},
    "projection": {"model": {"linear": {"type": "standard"}}, "per_epoch_proj":
                   {"type": "l_2", "every_n_epochs": 2, "reset_optimizer": True}},
    "singular values": {"singular_values": {"every": 3}},
    "finetune": {"model": {"linear": BJORCK}, "selection": {"metric": "validation_loss"},
                 "finetune": {"epochs": 3, "lr": 1e-3, "bjorck_iter": 12}},
}  # fmt: skip


@pytest.mark.parametrize("name", RESUMED)
def test_what_was_cut_off_ends_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    """Cut off again and again: after every epoch but before its checkpoint."""
    experiment = spec(**{"epochs": 3, "data": FEW, "log_every": 2, **RESUMED[name]})
    expected, curve = outcome(experiment)
    file = tmp_path / "trial" / "checkpoint.safetensors"
    files = TrialFiles(NO_FILES.weights, file)
    seen = [0]
    for _ in range(7):
        ends: list[int] = []

        def in_the_second_epoch(step: int, metrics: Any, ends: list[int] = ends) -> bool:
            if "epoch" in metrics and step > seen[-1]:
                ends.append(step)
            return len(ends) == 2

        try:
            resumed, found = outcome(experiment, files=files, stop=in_the_second_epoch)
        except InterruptedError:
            assert ends[0] == values_of(file)["curve"][-1][0]
            seen.append(ends[0])
        else:
            break
    assert len(seen) > 2, "it must have been cut off twice"
    assert equal(expected, resumed)
    assert found == curve
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def values_of(file: Path) -> dict[str, Any]:
    state = load_state(file)
    assert state is not None
    return state[1]


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _rename_everything(file: Path) -> None:
    """As another version of this code may have it."""
    tensors, values = load_state(file)
    save_state(file, {f"new.{name}": tensor for name, tensor in tensors.items()}, values)


def _reshape(file: Path) -> None:
    tensors, values = load_state(file)
    save_state(file, {name: torch.zeros(3) for name in tensors}, values)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": _truncate,
    "renamed": _rename_everything,
    "reshaped": _reshape,
    "empty": lambda file: file.write_bytes(b""),
    "zeros": lambda file: file.write_bytes(b"\0" * 5000),
    "other": lambda file: save_file({"x": torch.zeros(1)}, file),
    "hollow": lambda file: save_state(file, {}, {}),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_none(name: str, tmp_path: Path) -> None:
    files = TrialFiles(NO_FILES.weights, tmp_path / "checkpoint.safetensors")
    finetune = {"epochs": 1, "lr": 1e-3, "bjorck_iter": 12}
    experiment = spec(data=FEW, epochs=2, model={"linear": BJORCK}, finetune=finetune)
    expected, curve = outcome(experiment)
    outcome(experiment, files=files)
    assert files.checkpoint is not None
    DAMAGES[name](files.checkpoint)
    found, again = outcome(experiment, files=files)
    assert equal(expected, found)
    assert curve == again


def test_a_checkpoint_of_what_diverges_is_gone_on_with(tmp_path: Path) -> None:
    files = TrialFiles(NO_FILES.weights, tmp_path / "checkpoint.safetensors")
    bad = spec(model={"linear": {"type": "standard"}}, optim={"type": "sgd", "lr": 1e3})
    assert outcome(bad, files=files)[0].status == "diverged"
    assert outcome(bad, files=files)[0].status == "diverged"


@pytest.mark.gpu
def test_a_gpu_trains_and_resumes_too(tmp_path: Path) -> None:
    files = TrialFiles(NO_FILES.weights, tmp_path / "checkpoint.safetensors")
    for optim in ({"type": "adam", "lr": 0.01}, {"type": "aggmo", "lr": 0.02}):
        experiment = spec(data=FEW, optim=optim, selection={})
        found = []
        for own in (NO_FILES, files, files):
            (ended,) = run_trials(
                [experiment], [0], device="cuda", threads=1, report=lambda *_: None, files=own
            )
            found.append(ended.metrics["mean_margin"])
        assert found[1:] == pytest.approx(found[:1] * 2, abs=1e-4)
        files.checkpoint.unlink()
