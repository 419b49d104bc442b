"""Every kind of picture is drawn from data as tasks leave them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lnets.results.curve_plots import draw_learning_curves, draw_singular_values
from lnets.results.landscape_plots import Landscape, draw_landscapes, last_landscapes
from lnets.results.plots import DrawnTrial, draw_trial
from lnets.results.records import CurvePoint
from lnets.results.robustness_plots import _accuracies, _arrays, draw_robustness

LINE = {"type": "line"}
PLANE = {"type": "plane", "fig_types": ["contourf"], "elev": [90], "azim": [0]}
SLICES = {"type": "slices"}


def leave(
    folder: Path,
    view: str,
    step: int,
    dim: int = 1,
    factor: float = 1.0,
    ends: tuple[float, float] = (1, 0.5),
) -> None:
    """A cone, as a task would write it."""
    axes = {
        name: np.linspace(-end, end, n) for name, end, n in zip("xy", ends, (21, 11), strict=True)
    }
    grid = np.meshgrid(*list(axes.values())[:dim])
    samples = np.zeros((3, dim)), np.full((3, dim), 5.0)
    (folder / view).mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / view / f"step_{step:06}.npz",
        **dict(list(axes.items())[:dim]),
        values=-factor * np.sqrt(sum(x**2 for x in grid)),
        samples1=samples[0],
        samples2=samples[1],
        origin=np.zeros(dim),
        directions=np.eye(dim),
        step=np.array(step),
        lipschitz_upper_bound=np.array(1.0),
    )


def draw(folder: Path, landscape: dict[str, Any]) -> list[Path]:
    config = {"landscape": landscape, "steps": 10}
    return list(draw_landscapes(folder, config, "a trial", 0.9, folder / "figures"))


def points(**metrics: list[float]) -> list[CurvePoint]:
    return [
        CurvePoint(step=i, seconds=0.0, metric=metric.replace("__", "@"), value=value)
        for metric, values in metrics.items()
        for i, value in enumerate(values)
    ]


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def test_a_line_is_drawn_at_every_step_and_moves(tmp_path: Path) -> None:
    for step in (0, 5, 10):
        leave(tmp_path, "line", step, factor=step / 10)
    *frames, animation = draw(tmp_path, LINE)
    assert [file.name for file in frames] == [
        f"landscape_line_step_{step:06}.png" for step in (0, 5, 10)
    ]
    shapes = {pixels(frame).shape for frame in frames}
    assert len(shapes) == 1
    with Image.open(animation) as moving:
        assert (moving.format, moving.n_frames) == ("GIF", 3)
        assert {(moving.height, moving.width, 4)} == shapes
    assert (pixels(frames[0]) != pixels(frames[-1])).any()


@pytest.mark.parametrize("kind", ["contour", "contourf", "surface"])
@pytest.mark.parametrize(
    ("elev", "azim", "names"),
    [
        ([90], [0, 30], [""]),
        ([0, 60], [0], ["_elev_0_azim_0", "_elev_60_azim_0"]),
        ([30], [-60, 90], ["_elev_30_azim_-60", "_elev_30_azim_90"]),
    ],
)
def test_a_plane_is_seen_from_everywhere(
    tmp_path: Path, kind: str, elev: list[float], azim: list[float], names: list[str]
) -> None:
    """From above, directions around are one."""
    leave(tmp_path, "plane", 10, dim=2)
    found = draw(tmp_path, {"type": "plane", "fig_types": [kind], "elev": elev, "azim": azim})
    expected = [f"landscape_plane_{kind}{name}_step_000010.png" for name in names]
    assert [file.name for file in found] == expected
    for file in found:
        assert len(np.unique(pixels(file).reshape(-1, 4), axis=0)) > 100


@pytest.mark.parametrize(("elev", "azim"), [(45, -45), (60, -45), (60, 30)])
def test_ticks_of_a_surface_are_inside_of_the_picture(
    tmp_path: Path, elev: float, azim: float
) -> None:
    """Those at the ends of the original's axes stand out most."""
    leave(tmp_path, "plane", 10, dim=2, ends=(4.1, 1.6))
    plane = PLANE | {"fig_types": ["surface"], "elev": [elev], "azim": [azim]}
    ((_, figure),) = last_landscapes(tmp_path, {"landscape": plane, "steps": 10})
    figure.draw_without_rendering()
    seen = figure.axes[0].get_tightbbox()
    assert seen is not None
    assert figure.bbox.y0 <= seen.y0
    assert seen.y1 <= figure.bbox.y1


def test_slices_are_lines_and_maps(tmp_path: Path) -> None:
    leave(tmp_path, "line_0", 10)
    leave(tmp_path, "plane_1", 10, dim=2)
    assert [file.name for file in draw(tmp_path, SLICES)] == [
        "landscape_line_0_step_000010.png",
        "landscape_plane_1_step_000010.png",
    ]


def test_a_flat_critic_can_be_drawn(tmp_path: Path) -> None:
    leave(tmp_path, "plane", 10, dim=2, factor=0.0)
    leave(tmp_path / "other", "line", 10, factor=0.0)
    assert len(draw(tmp_path, PLANE)) == len(draw(tmp_path / "other", LINE)) == 1


def test_a_landscape_is_read_as_it_was_left(tmp_path: Path) -> None:
    leave(tmp_path, "plane", 7, dim=2)
    found = Landscape.read(tmp_path / "plane" / "step_000007.npz")
    assert (found.step, found.lipschitz) == (7, 1.0)
    assert found.values.shape == (11, 21)
    assert [len(axis) for axis in found.axes] == [21, 11]


@pytest.mark.parametrize(("layers", "top"), [(1, 0.0), (4, 1e6), (18, 1.0)])
def test_singular_values_have_a_panel_per_layer(tmp_path: Path, layers: int, top: float) -> None:
    file = tmp_path / "singular_values.npz"
    values = np.linspace(top, 0, 6).reshape(1, 6).repeat(3, axis=0)
    np.savez(file, step=np.arange(3), **{str(i): values[:, : i + 1] for i in range(layers)})
    (found,) = draw_singular_values(file, "a trial", tmp_path)
    widths = {1: 720, 4: 816, 18: 1632}
    assert pixels(found).shape[1] == widths[layers]
    assert list(draw_singular_values(tmp_path / "none.npz", "a trial", tmp_path)) == []


def test_learning_curves_share_panels_by_kind(tmp_path: Path) -> None:
    """Two losses, one accuracy; singular values and epochs have none."""
    curve = points(
        train_loss=[2, 1], generator_loss=[1, 2], validation_accuracy=[0.1, 0.2], epoch=[1, 2],
        max_singular_value__1=[1, 1],
    )  # fmt: skip
    (found,) = draw_learning_curves(curve, "a trial", tmp_path)
    (one,) = draw_learning_curves(points(train_loss=[1]), "a trial", tmp_path / "one")
    assert pixels(found).shape[1] > pixels(one).shape[1]
    assert list(draw_learning_curves(points(epoch=[1]), "a trial", tmp_path)) == []


def attacked(folder: Path, *, channels: int = 1, certified: bool = True, turned: int = 3) -> None:
    """What attacks have left, as a task would write it."""
    folder.mkdir(parents=True, exist_ok=True)
    shape, random = (channels, 4, 4), np.random.default_rng(0)
    reason = None if certified else "the classifier is certified in l2, and attacked in linf"
    notes = {"norm": "linf", "images": 5, "why_not_certified": reason, "failures": {"pgd": {}}}
    (folder / "robustness.json").write_text(json.dumps(notes))
    np.savez(
        folder / "robustness.npz",
        epsilon=np.array([0.1, 0.2, 0.3]),
        clean_accuracy=np.array(0.8),
        adversarial_accuracy=np.array([0.6, np.nan, 0.2]),
        certified_accuracy=np.array([0.4, 0.2, 0.0]) if certified else np.full(3, np.nan),
        certified_radius=np.linspace(0, 0.25, 5) if certified else np.full(5, np.nan),
        pgd_accuracy=np.array([0.6, np.nan, 0.2]),
        pgd_distance=np.ones(5),
    )
    images = random.random((turned, *shape))
    np.savez(
        folder / "gallery.npz",
        clean=images,
        perturbation=images - 0.5,
        adversarial=images,
        label=np.arange(turned),
        prediction=np.arange(turned),
        adversarial_prediction=np.arange(turned) + 1,
        distance=np.ones(turned),
        attack=np.full(turned, "pgd"),
    )
    gradients = random.standard_normal((2, 3, *shape))
    np.savez(
        folder / "input_gradients.npz",
        image=random.random((2, *shape)),
        label=np.arange(2),
        gradient=gradients,
    )
    np.savez(folder / "jacobians.npz", singular_values=-np.sort(-random.random((6, 3))))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("certified", [True, False])
def test_attacks_are_drawn(tmp_path: Path, channels: int, certified: bool) -> None:
    attacked(tmp_path, channels=channels, certified=certified)
    found = list(draw_robustness(tmp_path, "a trial", tmp_path / "figures"))
    assert [file.name for file in found] == [
        "accuracy_epsilon.png",
        "gallery.png",
        "input_gradients.png",
        "jacobians.png",
    ]
    for file in found:
        assert len(np.unique(pixels(file).reshape(-1, 4), axis=0)) > 30


def test_what_attacks_have_not_answered_is_drawn_as_no_robustness(tmp_path: Path) -> None:
    """At 0.2 every attack has failed on some image."""
    attacked(tmp_path)
    notes = json.loads((tmp_path / "robustness.json").read_text())
    figure = _accuracies(_arrays(tmp_path / "robustness.npz"), notes, "a trial")
    (axes,) = figure.axes
    (line,) = (line for line in axes.lines if line.get_label() == "under all attacks")
    epsilons, shares = line.get_xdata(), line.get_ydata()
    unknown = (epsilons > 0.1) & (epsilons <= 0.2)
    assert np.isnan(shares[unknown]).all()
    assert not np.isnan(shares[~unknown]).any()
    assert axes.get_title() == "no line where every attack has failed on some image"


def test_without_an_image_turned_there_is_no_gallery(tmp_path: Path) -> None:
    attacked(tmp_path, turned=0)
    found = list(draw_robustness(tmp_path, "a trial", tmp_path))
    assert "gallery.png" not in [file.name for file in found]
    assert len(found) == 3
    assert list(draw_robustness(tmp_path / "nothing", "a trial", tmp_path)) == []


def test_a_trial_is_drawn_whole_and_named(tmp_path: Path) -> None:
    leave(tmp_path / "landscapes", "line", 10)
    np.savez(tmp_path / "singular_values.npz", step=np.arange(2), **{"1": np.ones((2, 3))})
    model = {"type": "fully_connected", "activation": "group_sort", "groupings": 4,
             "linear": {"type": "bjorck"}}  # fmt: skip
    config = {"task": "wasserstein", "model": model, "landscape": LINE, "steps": 10}
    trial = DrawnTrial("a" * 64, 3, config, {}, points(train_dual=[0.1, 0.2]))
    assert trial.label == "wasserstein, fully_connected, group_sort(4), bjorck, seed 3"
    assert [file.name for file in draw_trial(trial, tmp_path, tmp_path / "out")] == [
        "landscape_line_step_000010.png",
        "singular_values.png",
        "learning_curves.png",
    ]


def test_it_needs_neither_torch_nor_a_screen() -> None:
    program = (
        "import sys; import lnets.results.plots; "
        "print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n")
