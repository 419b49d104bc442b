"""Singular values of networks in training: once per step, whatever cuts the training off."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnets.specs.figures import SINGULAR_VALUES, SingularValuesSpec
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.spectra import SingularValues
from tests.tasks.digits import FEW, outcome, spec

pytestmark = pytest.mark.usefixtures("_quick")


def read(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / SINGULAR_VALUES) as stored:
        return {name: stored[name] for name in stored.files}


def test_a_classifier_has_them_of_every_layer(tmp_path: Path) -> None:
    experiment = spec(epochs=3, data=FEW, singular_values={"every": 4})
    files = TrialFiles(NO_FILES.weights, None, [tmp_path])
    ended, curve = outcome(experiment, files=files)
    found = read(tmp_path)
    assert {name: values.shape for name, values in found.items()} == {
        "step": (4,), "1": (4, 32), "3": (4, 32), "5": (4, 10)
    }  # fmt: skip
    assert found["step"].tolist() == [0, 4, 8, 9]
    assert np.abs(found["3"] - 1).max() < 1e-5
    named = [metrics for step, metrics in curve if step == 8 and "max_singular_value@3" in metrics]
    assert [set(metrics) for metrics in named] == [
        {f"{which}_singular_value@{name}" for which in ("min", "mean", "max") for name in "135"}
    ]
    plain, its_curve = outcome(spec(epochs=3, data=FEW))
    assert plain.metrics["test_loss"] == ended.metrics["test_loss"]
    assert [point for point in curve if "train_loss" in point[1]] == [
        point for point in its_curve if "train_loss" in point[1]
    ]


def test_a_trial_that_goes_on_goes_on_with_the_file(tmp_path: Path) -> None:
    experiment = spec(epochs=4, data=FEW, singular_values={"every": 2})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _, expected = outcome(experiment, files=TrialFiles(NO_FILES.weights, None, [whole]))
    files = TrialFiles(NO_FILES.weights, cut / "checkpoint.safetensors", [cut])
    with pytest.raises(InterruptedError):
        outcome(
            experiment,
            files=files,
            stop=lambda step, metrics: step == 8 and "max_singular_value@1" in metrics,
        )
    _, curve = outcome(experiment, files=files)
    assert curve == expected
    found, its_own = read(cut), read(whole)
    assert found["step"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    for name in its_own:
        np.testing.assert_array_equal(found[name], its_own[name])


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 broken"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    import torch

    (tmp_path / SINGULAR_VALUES).write_bytes(content)
    seen: list[Any] = []
    spectra = SingularValues(
        SingularValuesSpec(every=5), 7, [tmp_path], lambda *point: seen.append(point)
    )
    assert [step for step in range(12) if spectra.due(step)] == [0, 5, 7, 10]
    spectra.look(0, 5, torch.nn.Linear(3, 2))
    spectra.look(0, 7, torch.nn.Linear(3, 2))
    assert read(tmp_path)["step"].tolist() == [5, 7]
    assert len(seen) == 2
