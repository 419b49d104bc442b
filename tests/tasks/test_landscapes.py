"""Critics on grids: what is written is what they compute, and training does not notice."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lnets.nn import certify
from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.outcome import Outcome
from lnets.tasks.run import run_trials
from tests.tasks.test_wasserstein import without_times

LINE = {"type": "line", "xrange": [-1.2, 1.2], "step": 0.1}
PLANE = {"type": "plane", "xrange": [-2, 2], "yrange": [-1, 1], "step": 0.25}
SLICES = {"type": "slices", "planes": 2, "lines": 2, "resolution": 21}
DIGITS = {"type": "image_samples", "dataset": "digits"}
# Of differences of values in float64 over distances of a grid.
ROUNDING = 1e-9
Curves = list[tuple[int, int, dict[str, float]]]


def spec(tiny: dict[str, Any], dim: int = 1, **changes: Any) -> WassersteinSpec:
    data = {**tiny["experiment"], "steps": 6, **changes}
    for name in ("distrib1", "distrib2"):
        if name not in changes:
            data[name] = data[name] | {"dim": dim}
    return WassersteinSpec.model_validate_json(json.dumps(data))


def run(
    experiments: list[WassersteinSpec], folder: Path | None
) -> tuple[list[Outcome], Curves, list[Path]]:
    """Train trials together, with the seeds 0, 1, …: outcomes, curves, folders."""
    folders = [] if folder is None else [folder / str(i) for i in range(len(experiments))]
    curves: Curves = []
    ended = run_trials(
        experiments,
        range(len(experiments)),
        device="cpu",
        threads=1,
        report=lambda i, step, metrics: curves.append((i, step, dict(metrics))),
        files=TrialFiles(NO_FILES.weights, None, folders),
    )
    return ended, curves, folders


def read(folder: Path, view: str, step: int) -> dict[str, np.ndarray]:
    with np.load(folder / "landscapes" / view / f"step_{step:06}.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_a_line_is_the_critic_divided_by_its_constant(tiny: dict[str, Any], tmp_path: Path) -> None:
    (ended,), _, (folder,) = run([spec(tiny, landscape=LINE)], tmp_path)
    found = read(folder, "line", 6)
    np.testing.assert_allclose(found["x"], np.linspace(-1.2, 1.2, 25), atol=1e-12)
    critic = ended.model.double().eval()
    lipschitz = certify(critic, (1,)).lipschitz_upper_bound
    assert float(found["lipschitz_upper_bound"]) == lipschitz
    with torch.no_grad():
        expected = critic(torch.from_numpy(found["x"]).unsqueeze(1)).squeeze(1) / lipschitz
    np.testing.assert_allclose(found["values"], expected.numpy(), atol=ROUNDING)
    assert set(found["samples1"].ravel()) == {0.0}
    assert set(found["samples2"].ravel()) == {-1.0, 1.0}


def test_a_plane_has_a_row_per_y(tiny: dict[str, Any], tmp_path: Path) -> None:
    (ended,), _, (folder,) = run([spec(tiny, 2, landscape=PLANE)], tmp_path)
    found = read(folder, "plane", 6)
    assert found["values"].shape == (9, 17)
    i, j = 7, 3
    point = torch.tensor([[found["x"][j], found["y"][i]]])
    critic = ended.model.double().eval()
    with torch.no_grad():
        value = critic(point).item() / float(found["lipschitz_upper_bound"])
    assert found["values"][i, j] == pytest.approx(value, abs=ROUNDING)


@pytest.mark.parametrize("linear", ["bjorck", "standard"])
@pytest.mark.parametrize("flatten", [True, False])
def test_slices_go_through_samples_and_no_slope_exceeds_one(
    tiny: dict[str, Any], tmp_path: Path, linear: str, flatten: bool
) -> None:
    tiny["experiment"]["model"]["linear"] = {"type": linear}
    images = {
        f"distrib{i}": {**DIGITS, "classes": [label], "flatten": flatten}
        for i, label in ((1, 3), (2, 8))
    }
    if not flatten:
        model = {"type": "fully_conv", "channels": [4, 1], "kernels": [3, 3],
                 "strides": [1, 1], "activation": "maxmin",
                 "conv": {"type": f"{linear}_conv2d"}}  # fmt: skip
        images["model"] = model
    (ended,), _, (folder,) = run([spec(tiny, **images, landscape=SLICES)], tmp_path)
    views = sorted(path.name for path in (folder / "landscapes").iterdir())
    assert views == ["line_0", "line_1", "plane_0", "plane_1"]
    critic = ended.model.double().eval()
    for view in views:
        found = read(folder, view, 6)
        directions, values = found["directions"], found["values"]
        np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-9)
        for axis, name in enumerate(reversed("xy"[: values.ndim])):
            slopes = np.diff(values, axis=axis) / (found[name][1] - found[name][0])
            assert np.abs(slopes).max() <= 1 + ROUNDING
        samples = np.concatenate((found["samples1"], found["samples2"]))
        pixels = found["origin"] + samples @ directions
        assert pixels.min() >= -1e-9
        assert pixels.max() <= 1 + 1e-9
        shape = (64,) if flatten else (1, 8, 8)
        corner = found["origin"] + directions.T @ [found[name][0] for name in "xy" if name in found]
        with torch.no_grad():
            value = critic(torch.from_numpy(corner).view(1, *shape)).item()
        value /= float(found["lipschitz_upper_bound"])
        assert values[(0,) * values.ndim] == pytest.approx(value, abs=ROUNDING)


def test_samples_that_coincide_leave_slices_too(tiny: dict[str, Any], tmp_path: Path) -> None:
    """Two points, at one place."""
    point = {"type": "multi_spherical_shell", "dim": 3, "radius": 0}
    changes = {"distrib1": point, "distrib2": point, "landscape": SLICES}
    (ended,), _, (folder,) = run([spec(tiny, **changes)], tmp_path)
    assert ended.status == "completed"
    for view in ("plane_1", "line_0"):
        found = read(folder, view, 6)
        assert np.isfinite(found["values"]).all()
        assert (found["x"][0], found["x"][-1]) == (-1, 1)


def test_they_are_written_when_asked_for(tiny: dict[str, Any], tmp_path: Path) -> None:
    steps = {None: [6], 2: [0, 2, 4, 6], 4: [0, 4, 6], 100: [0, 6]}
    for every, expected in steps.items():
        folder = tmp_path / str(every)
        _, _, (trial,) = run([spec(tiny, landscape={**LINE, "every": every})], folder)
        files = sorted((trial / "landscapes" / "line").iterdir())
        assert [file.name for file in files] == [f"step_{step:06}.npz" for step in expected]
    assert run([spec(tiny, landscape=LINE)], None)[0][0].status == "completed"


@pytest.mark.parametrize("trials", [1, 2])
def test_training_does_not_notice(tiny: dict[str, Any], tmp_path: Path, trials: int) -> None:
    watched = {"landscape": {**LINE, "every": 2}, "singular_values": {"every": 3}}
    tiny["experiment"]["model"] |= {"layers": [8, 8, 1], "linear": {"type": "orthogonal"}}
    ended, curves, folders = run([spec(tiny, **watched)] * trials, tmp_path)
    expected, its_curves, nothing = run([spec(tiny)] * trials, tmp_path / "off")
    assert not any(folder.exists() for folder in nothing)
    duals = [point for point in curves if "train_dual" in point[2]]
    assert duals == its_curves
    for one, other in zip(ended, expected, strict=True):
        assert without_times(one.metrics) == without_times(other.metrics)
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(a, b)
    # Trials of a group are told apart: each critic is its own.
    values = [read(folder, "line", 6)["values"] for folder in folders]
    assert trials == 1 or not np.allclose(*values)
    for i, folder in enumerate(folders):
        with np.load(folder / "singular_values.npz") as stored:
            assert stored["step"].tolist() == [0, 3, 6]
            mine = [m for j, step, m in curves if j == i and step == 3]
            assert mine[0]["min_singular_value@3"] == pytest.approx(stored["3"][1].min())


def test_time_spent_watching_is_not_training(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("lnets.tasks.wasserstein.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("lnets.tasks.watching.watch.__defaults__", (lambda: now[0],))
    monkeypatch.setattr(
        "lnets.tasks.landscapes.Landscapes.look",
        lambda *_: now.__setitem__(0, now[0] + 1000.0),
    )
    monkeypatch.setattr(
        "lnets.tasks.wasserstein._Run._start_epoch",
        lambda *_: now.__setitem__(0, now[0] + 1.0),
    )
    (ended,), _, _ = run([spec(tiny, landscape={**LINE, "every": 1})], tmp_path)
    assert ended.metrics["train_seconds"] == 6.0


def test_what_overflows_or_diverges_leaves_no_landscape(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["experiment"]["model"]["linear"] = {"type": "standard"}
    watched = {"landscape": {**LINE, "every": 1}, "singular_values": {"every": 1}}
    exploding = {"optim": {"type": "sgd", "lr": 1000.0}, "steps": 200, "log_every": 50}
    (ended,), curves, (folder,) = run([spec(tiny, **watched, **exploding)], tmp_path)
    assert ended.status == "diverged"
    steps = [int(file.stem[5:]) for file in (folder / "landscapes" / "line").iterdir()]
    assert 1 <= len(steps) < 200
    assert all(np.isfinite(read(folder, "line", step)["values"]).all() for step in steps)
    assert all(math.isfinite(v) for _, _, metrics in curves for v in metrics.values())
