"""Figures for papers: every kind, as PNG and PDF, and what cannot be drawn is said."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lnets.errors import NotFoundError, SpecError
from lnets.results.store import Store
from lnets.sweep.paper import PlotKind, plot
from tests.results.test_plots import leave
from tests.sweep.reported import fill, plan_of

KINDS: tuple[PlotKind, ...] = ("curves", "accuracy-epsilon", "landscape", "importance", "heatmap")
BJORCK_ITER = "model.linear.bjorck_iter"
SEARCH = {
    "model.activation": ["maxmin", "relu"],
    "optim.lr": [0.001, 0.01, 0.1],
    "model.linear.bjorck_iter": [2, 5],
}


@pytest.fixture
def store(tmp_path: Path, tiny: dict[str, Any]) -> Store:
    """A sweep of 12 configurations; the landscapes of one trial have two views."""
    tiny["experiment"]["landscape"] = {"type": "line", "xrange": [-1, 1], "step": 0.1}
    tiny["table"] = {"rows": ["model.activation", "optim.lr"], "values": ["tightness"]}
    plan = plan_of(tiny, search=SEARCH, seeds=3)
    store = fill(tmp_path / "store", plan, ends={0: "failed"})
    for trial, views in ((plan.trials[-1], ["line"]), (plan.trials[3], ["line", "other"])):
        for view in views:
            leave(store.artifacts(trial.trial_key) / "landscapes", view, 3)
    return store


def draw(store: Store, kind: PlotKind, file: Path, **options: str) -> list[Path]:
    return list(plot(store, kind, "tiny", file, **options))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(store: Store, tmp_path: Path, kind: PlotKind) -> None:
    for picture in draw(store, kind, tmp_path / "figure.png"):
        with Image.open(picture) as image:
            width, height = image.size
            assert round(image.info["dpi"][0]) == 300
            colors = image.convert("RGB").getcolors(width * height)
        assert width > 300
        assert height > 300
        assert colors is not None
        assert len(colors) > 50
    for file in draw(store, kind, tmp_path / "figure.pdf"):
        data = file.read_bytes()
        assert data.startswith(b"%PDF")
        assert b"/Type3" not in data.replace(b" ", b"")


def test_lines_and_rows_are_what_is_asked_for(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def keep(panels: Any, along: str) -> Any:
        drawn["lines"] = {name: [line[0] for line in lines] for name, lines in panels.items()}
        raise SpecError("enough")

    monkeypatch.setattr("lnets.sweep.paper.lines_figure", keep)
    notes: list[str] = []
    for options, lines, over in (
        ({"rows": "model.activation"}, ["maxmin", "relu"], ["optim.lr", BJORCK_ITER]),
        (
            {"rows": "optim.lr", "where": "optim.lr < 0.05"},
            ["lr=0.001", "lr=0.01"],
            ["model.activation", BJORCK_ITER],
        ),
        ({"where": "optim.lr = 0.1"}, ["maxmin, lr=0.1", "relu, lr=0.1"], [BJORCK_ITER]),
        (
            {"where": f"optim.lr = 0.1 AND {BJORCK_ITER} = 2"},
            ["maxmin, lr=0.1", "relu, lr=0.1"],
            [],
        ),
    ):
        notes.clear()
        with pytest.raises(SpecError, match="enough"):
            draw(store, "curves", tmp_path / "x.png", note=notes.append, **options)
        assert sorted(drawn["lines"]["train_dual"]) == lines
        assert notes == ([f"lines average over {', '.join(over)}"] if over else [])


def test_heatmaps_need_rows_and_columns(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "x.pdf"
    both = {"rows": "model.activation", "columns": "model.linear.bjorck_iter"}
    assert draw(store, "heatmap", file, values="train_seconds", **both) == [file]
    with pytest.raises(SpecError, match="needs rows and columns"):
        draw(store, "heatmap", file, rows="model.activation")


def test_landscapes_are_of_the_best_or_of_a_trial(store: Store, tmp_path: Path) -> None:
    files = draw(store, "landscape", tmp_path / "x.png")
    key = next(
        p.name for p in (store.root / "artifacts").iterdir() if len([*p.rglob("*.npz")]) == 2
    )
    of_trial = list(plot(store, "landscape", key[:8], tmp_path / "y.png"))
    assert [file.name for file in of_trial] == ["y_line.png", "y_other.png"]
    assert all(file.exists() for file in [*files, *of_trial])
    kept = draw(store, "landscape", tmp_path / "z.png", where="model.activation = 'relu'")
    assert [file.name for file in kept] == ["z.png"]


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("curves", {"values": "train_dul"}, SpecError, "did you mean `train_dual`?"),
        ("curves", {"rows": "model.activatio"}, SpecError, "did you mean `model.activation`?"),
        ("curves", {"where": "seed > 10"}, NotFoundError, "no trial of `tiny`"),
        ("importance", {"values": "tightnes"}, SpecError, "did you mean `tightness`?"),
        ("importance", {"where": "optim.lr > 0.05"}, NotFoundError, "need 8 configurations"),
        ("heatmap", {"values": "no"}, SpecError, "no trial has a metric `no`"),
        ("heatmap", {"values": "tightness,train_seconds"}, SpecError, "must be one metric"),
        ("importance", {"rows": "optim.lr"}, SpecError, "--rows: means nothing for `importance`"),
        ("landscape", {"where": "optim.lr = 0.001"}, NotFoundError, "has left a landscape"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    store: Store, tmp_path: Path, kind: PlotKind, options: dict[str, str], error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        draw(store, kind, tmp_path / "x.png", **options)
    assert not (tmp_path / "x.png").exists()


def test_only_files_that_can_be_written_are(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"must end in \.png or \.pdf"):
        draw(store, "curves", tmp_path / "x.svg")
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="cannot be written"):
        draw(store, "curves", tmp_path / "file" / "x.png")
    with pytest.raises(NotFoundError, match="no sweep `no`"):
        list(plot(store, "curves", "no", tmp_path / "x.png"))
