"""Training that pauses and goes on gives the numbers of training in one go."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import TrialError
from lnets.specs.experiments import EXPERIMENT
from lnets.tasks.files import NO_FILES, TrialFiles, load_state, position, save_state
from lnets.tasks.outcome import Outcome
from lnets.tasks.run import run_trials
from tests.conftest import CLASSIFIER
from tests.tasks.gans import data_of

SPENT = 1e6
TIMES = ("seconds", "per_second", "per_epoch", "peak_memory")
pytestmark = pytest.mark.usefixtures("_quick")


class Trials:
    """Trials of one experiment with several learning rates, whose seeds are their indices."""

    def __init__(self, experiment: dict[str, Any], lrs: list[float], folder: Path) -> None:
        optim = experiment["optim"]
        self._experiments = [
            EXPERIMENT.validate_json(json.dumps({**experiment, "optim": {**optim, "lr": lr}}))
            for lr in lrs
        ]
        self.pauses = [folder / f"{i}" / "checkpoint.safetensors" for i in range(len(lrs))]

    def run(
        self,
        until: int | None = None,
        *,
        only: int | None = None,
        kept: bool = True,
        cut_off: int | None = None,
    ) -> tuple[list[Outcome], list[Any]]:
        chosen = range(len(self._experiments)) if only is None else [only]
        curve: list[Any] = []
        pauses = [self.pauses[i] for i in chosen]

        def report(i: int, step: int, metrics: Any) -> None:
            if step == cut_off:
                raise InterruptedError
            curve.append((i, step, dict(metrics)))

        alone = pauses[0] if len(pauses) == 1 else None
        files = TrialFiles(NO_FILES.weights, alone, (), pauses) if kept else NO_FILES
        ended = run_trials(
            [self._experiments[i] for i in chosen],
            list(chosen),
            device="cpu",
            threads=1,
            report=report,
            files=files,
            until=until,
        )
        return ended, curve


def numbers(outcome: Outcome) -> dict[str, float]:
    return {name: value for name, value in outcome.metrics.items() if not name.endswith(TIMES)}


def critic(tiny: dict[str, Any], linear: dict[str, Any], optim: dict[str, Any]) -> dict[str, Any]:
    experiment = copy.deepcopy(tiny["experiment"])
    experiment["model"] |= {"layers": [8, 8, 1], "linear": linear}
    experiment |= {"steps": 100, "log_every": 10, "batch_size": 8, "singular_values": {"every": 30}}
    return {**experiment, "optim": {**optim, "schedule": {"type": "linear"}}}


@pytest.mark.parametrize("lrs", [[0.01], [0.01, 0.01, 0.005]], ids=["alone", "together"])
@pytest.mark.parametrize(
    "optim", [{"type": "adam"}, {"type": "aggmo"}, {"type": "sgd", "momentum": 0.9}]
)
@pytest.mark.parametrize(
    "linear",
    [
        {"type": "bjorck"},
        {"type": "orthogonal"},
        {"type": "orthogonal", "mode": "rotate"},
        {"type": "spectral_normal"},
    ],
)
def test_critics_that_pause(
    tiny: dict[str, Any],
    linear: dict[str, Any],
    optim: dict[str, Any],
    lrs: list[float],
    tmp_path: Path,
) -> None:
    trials = Trials(critic(tiny, linear, optim), lrs, tmp_path)
    whole, curve = trials.run(kept=False)
    for until in (30, 70):
        paused, _ = trials.run(until)
        assert [outcome.status for outcome in paused] == ["paused"] * len(lrs)
        assert {outcome.metrics["paused_at"] for outcome in paused} == {until}
        assert paused[0].metrics["wasserstein_estimate"] != whole[0].metrics["wasserstein_estimate"]
    ended, whole_curve = trials.run()
    assert [outcome.status for outcome in ended] == ["completed"] * len(lrs)
    assert list(map(numbers, ended)) == list(map(numbers, whole))
    assert sorted(map(str, whole_curve)) == sorted(map(str, curve))


def test_critics_that_have_paused_at_different_steps_go_on_one_by_one(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    experiment = critic(tiny, {"type": "orthogonal"}, {"type": "adam"})
    trials = Trials(experiment, [0.01, 0.02], tmp_path)
    trials.run(30)
    trials.run(70, only=1)
    with pytest.raises(TrialError, match="different steps"):
        trials.run()
    whole, _ = trials.run(kept=False)
    for only in range(2):
        (ended,), _ = trials.run(only=only)
        found, expected = numbers(ended), numbers(whole[only])
        assert found == pytest.approx(expected, abs=1e-5)  # sums in another order


@pytest.mark.parametrize("lrs", [[0.01], [0.01, 0.005]], ids=["alone", "together"])
def test_critics_that_are_cut_off_go_on(
    tiny: dict[str, Any], lrs: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnets.tasks.wasserstein._CHECKPOINT_SECONDS", 0.0)
    experiment = critic(tiny, {"type": "orthogonal"}, {"type": "adam"})
    trials = Trials(experiment, lrs, tmp_path)
    whole, curve = trials.run(kept=False)
    with pytest.raises(InterruptedError):
        trials.run(cut_off=70)
    assert [position(file) for file in trials.pauses] == [60] * len(lrs)
    for file in trials.pauses:
        tensors, values = load_state(file) or ({}, {})
        save_state(file, tensors, {**values, "seconds": SPENT})
    ended, whole_curve = trials.run()
    assert all(outcome.metrics["train_seconds"] > SPENT for outcome in ended)
    assert list(map(numbers, ended)) == list(map(numbers, whole))
    assert sorted(map(str, whole_curve)) == sorted(map(str, curve))


def test_a_critic_that_was_cut_off_behind_a_pause_still_pauses_there(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = critic(tiny, {"type": "orthogonal"}, {"type": "adam"})
    expected, _ = Trials(experiment, [0.01], tmp_path / "other").run(30)
    trials = Trials(experiment, [0.01], tmp_path)
    monkeypatch.setattr("lnets.tasks.wasserstein._CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(InterruptedError):
        trials.run(cut_off=70)
    found, _ = trials.run(30)
    assert list(map(numbers, found)) == list(map(numbers, expected))


@pytest.mark.parametrize("kind", ["classifier", "GAN"])
def test_others_that_pause(kind: str, tmp_path: Path) -> None:
    experiment = copy.deepcopy(CLASSIFIER if kind == "classifier" else data_of("LWGAN"))
    trials = Trials(experiment, [0.01], tmp_path)
    whole, curve = trials.run(kept=False)
    (paused,), _ = trials.run(1)
    assert (paused.status, paused.metrics["paused_at"]) == ("paused", 1)
    ended, whole_curve = trials.run()
    assert list(map(numbers, ended)) == list(map(numbers, whole))
    assert whole_curve == curve
