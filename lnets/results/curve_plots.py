"""Pictures of a training: learning curves, and singular values of layers over time."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lnets.results.canvas import COLORS, draw_bands, legend_below, new_figure, save, style
from lnets.results.records import CurvePoint
from lnets.specs.metrics import find_metric

_PANEL = (3.4, 2.5)
_SINGULAR = "_singular_value@"
_LARGE, _SMALL = 10.0, 1e-5
# Of metrics that only curves have.
_UNITS = {"train_dual": "output of the critic"}


def draw_singular_values(file: Path, label: str, out: Path) -> Iterator[Path]:
    """Draw a panel per layer: all values, the middle eight tenths of them, and their median.

    Args:
        file: Where the task has left them; none is drawn if it is not there.
        label: What to call the trial.
        out: Where the picture goes.
    """
    if not file.exists():
        return
    with np.load(file, allow_pickle=False) as stored:
        layers = {name: stored[name] for name in stored.files}
    steps = layers.pop("step")
    title = f"{label}\nsingular values of effective weights"
    figure, panels = _panels(len(layers), title)
    scale = _scale(np.concatenate([values.ravel() for values in layers.values()]))
    for axes, (name, values) in zip(panels, layers.items(), strict=True):
        draw_bands(axes, steps, values)
        axes.axhline(1.0, color=COLORS[1], linewidth=3, alpha=0.5, zorder=1, label="1")
        axes.set(xlabel="step", ylabel="singular value", **scale)
        many = "1 value" if values.shape[1] == 1 else f"{values.shape[1]:,} values"
        style(axes, f"layer {name}: {many}")
    legend_below(figure, panels[0])
    yield save(figure, out / "singular_values.png")


def draw_learning_curves(curve: Sequence[CurvePoint], label: str, out: Path) -> Iterator[Path]:
    """Draw the metrics of a curve; those of one kind, such as losses, share a panel.

    Args:
        curve: Of a trial. Singular values have a picture of their own; epochs are steps.
        label: What to call the trial.
        out: Where the picture goes.
    """
    kinds: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for point in curve:
        if _SINGULAR not in point.metric and point.metric != "epoch":
            kind = point.metric.partition("@")[0].rpartition("_")[2]
            of_kind = kinds.setdefault(kind, {})
            of_kind.setdefault(point.metric, []).append((point.step, point.value))
    if not kinds:
        return
    figure, panels = _panels(len(kinds), f"{label}\nlearning curves")
    for axes, (kind, metrics) in zip(panels, kinds.items(), strict=True):
        for i, (metric, points) in enumerate(metrics.items()):
            steps, values = zip(*sorted(points), strict=True)
            dots = "." if len(points) < 30 else None
            axes.plot(
                steps,
                values,
                color=COLORS[i % len(COLORS)],
                linewidth=1.3,
                marker=dots,
                label=metric,
            )
        axes.set(xlabel="step", ylabel=_with_unit(kind, metrics))
        style(axes)
        axes.legend(fontsize=8, frameon=False)
    yield save(figure, out / "learning_curves.png")


def _scale(values: np.ndarray) -> dict[str, Any]:
    """Of the axis of singular values: from 0 on, logarithmic where some are very large."""
    top = max(1.0, float(values.max()))
    if top <= _LARGE:
        return {"ylim": (0, 1.05 * top)}
    low = max(top * _SMALL, min(1.0, float(values.min())))
    return {"yscale": "log", "ylim": (low / 1.3, 1.3 * top)}


def _panels(count: int, title: str) -> tuple[Any, list[Any]]:
    """Axes beside and below each other."""
    columns = count if count < 4 else min(4, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    figure = new_figure(max(6.0, _PANEL[0] * columns), _PANEL[1] * rows + 1.0, title)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def _with_unit(kind: str, metrics: Iterable[str]) -> str:
    known = {name: metric.unit for name in metrics if (metric := find_metric(name)) is not None}
    units = {(_UNITS | known).get(name) for name in metrics} - {None, "1", kind}
    return f"{kind} ({units.pop()})" if len(units) == 1 else kind
