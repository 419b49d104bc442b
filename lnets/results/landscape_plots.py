"""Pictures of critics: graphs, contours, surfaces, and how they come about."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lnets.results.canvas import COLORS, GREY, MAP, animate, legend_below, new_figure, save, style

_LEVELS = 32
_SURFACE_CELLS = 120
_FEW = 10
_FLAT = 90.0
# Axes that are looked along: few ticks fit, or none.
_SHORT, _HIDDEN = 0.6, 0.1
_VALUE = "critic ÷ L (input units)"
_NAMES = ("distrib1, where the critic is high", "distrib2, where it is low")
_MARKERS = ("o", "^")


@dataclass(frozen=True)
class Landscape:
    """A critic on a grid, as the task has left it."""

    step: int
    lipschitz: float
    """By which its values have been divided."""
    axes: tuple[np.ndarray, ...]
    """Coordinates along x, and y if there is one."""
    values: np.ndarray
    samples: tuple[np.ndarray, np.ndarray]
    """Coordinates of samples of both distributions, one per row."""

    @classmethod
    def read(cls, file: Path) -> "Landscape":
        """From a file of the task."""
        with np.load(file, allow_pickle=False) as stored:
            return cls(
                int(stored["step"]),
                float(stored["lipschitz_upper_bound"]),
                tuple(stored[name] for name in "xy" if name in stored),
                stored["values"],
                (stored["samples1"], stored["samples2"]),
            )


def draw_landscapes(
    folder: Path, config: Mapping[str, Any], label: str, estimate: float | None, out: Path
) -> Iterator[Path]:
    """Draw all views of a trial's critic: a PNG for every step, and a GIF of several.

    Args:
        folder: Where the task has left them.
        config: The trial's experiment.
        label: What to call the trial.
        estimate: Of the distance, by the critic at the end.
        out: Where pictures go.
    """
    for view, landscapes in _views(folder):
        names = _axis_names(view, config)
        for name, draw in _pictures(config["landscape"], names, _limits(landscapes)):
            frames = []
            for landscape in landscapes:
                last = landscape.step == config["steps"]
                title = _title(label, landscape, config["steps"], estimate if last else None)
                file = out / f"landscape_{view}{name}_step_{landscape.step:06}.png"
                frames.append(save(draw(landscape, title), file))
            yield from frames
            if len(frames) > 1:
                yield animate(frames, out / f"landscape_{view}{name}.gif")


def last_landscapes(folder: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """Draw all views of a trial's critic at the end, without titles.

    Args:
        folder: Where the task has left them.
        config: The trial's experiment.

    Yields:
        What a view is called, and its picture.
    """
    for view, landscapes in _views(folder):
        names = _axis_names(view, config)
        for name, draw in _pictures(config["landscape"], names, _limits(landscapes[-1:])):
            yield f"{view}{name}", draw(landscapes[-1], "")


def _views(folder: Path) -> Iterator[tuple[str, list[Landscape]]]:
    """Each view with its landscapes, by step."""
    for view in sorted(path for path in folder.glob("*") if path.is_dir()):
        found = map(Landscape.read, view.glob("step_*.npz"))
        landscapes = sorted(found, key=lambda landscape: landscape.step)
        if landscapes:
            yield view.name, landscapes


def _limits(landscapes: Sequence[Landscape]) -> tuple[float, float]:
    """Of all their values, with some room."""
    low = min(float(landscape.values.min()) for landscape in landscapes)
    high = max(float(landscape.values.max()) for landscape in landscapes)
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


Draw = Callable[[Landscape, str], Figure]


def _pictures(
    spec: Mapping[str, Any], names: Sequence[str], limits: tuple[float, float]
) -> Iterator[tuple[str, Draw]]:
    """How a view is drawn: what the file is called after it, and the function."""
    if len(names) == 1:
        yield "", partial(_graph, names=names, limits=limits)
    elif spec["type"] == "slices":
        yield "", partial(_map, names=names, limits=limits, kind="contourf")
    else:
        for kind in spec["fig_types"]:
            for elev in spec["elev"]:
                if elev == _FLAT:
                    yield f"_{kind}", partial(_map, names=names, limits=limits, kind=kind)
                    continue
                for azim in spec["azim"]:
                    draw = partial(_relief, names=names, limits=limits, kind=kind)
                    name = f"_{kind}_elev_{elev:g}_azim_{azim:g}"
                    yield name, partial(draw, elev=elev, azim=azim)


def _axis_names(view: str, config: Mapping[str, Any]) -> list[str]:
    if config["landscape"]["type"] == "slices":
        if view.startswith("line"):
            return ["from a sample of distrib1 to one of distrib2 (input units)"]
        return ["towards a sample of distrib2 (input units)", "across (input units)"]
    return [f"x{digit} (input units)" for digit in ("₁₂" if view == "plane" else ("",))]


def _title(label: str, landscape: Landscape, steps: int, estimate: float | None) -> str:
    parts = [f"step {landscape.step:,} of {steps:,}", f"proven L = {landscape.lipschitz:.5g}"]
    if estimate is not None:
        parts.append(f"W₁ estimate {estimate:.4g}")
    return f"{label}\n{', '.join(parts)}"


def _graph(
    landscape: Landscape, title: str, *, names: Sequence[str], limits: tuple[float, float]
) -> Figure:
    figure = new_figure(6.4, 4.2, title)
    axes: Any = figure.add_subplot()
    x = landscape.axes[0]
    axes.plot(x, landscape.values, color=GREY, linewidth=1.8)
    for (points,), look in _looks(landscape):
        axes.scatter(points, np.interp(points, x, landscape.values), s=36, zorder=3, **look)
    axes.set(xlim=(x[0], x[-1]), ylim=limits, xlabel=names[0], ylabel=_VALUE)
    style(axes)
    legend_below(figure, axes)
    return figure


def _map(
    landscape: Landscape,
    title: str,
    *,
    names: Sequence[str],
    limits: tuple[float, float],
    kind: str,
) -> Figure:
    """From above, both axes of one scale."""
    x, y = landscape.axes
    tallest = 5.6 * (y[-1] - y[0]) / (x[-1] - x[0])
    figure = new_figure(7.2, min(7.0, max(1.2, tallest) + 1.6), title)
    axes: Any = figure.add_subplot()
    levels = np.linspace(*limits, _LEVELS)
    if kind == "contour":
        drawn = axes.contour(x, y, landscape.values, levels, cmap=MAP, linewidths=1.2)
    elif kind == "contourf":
        drawn = axes.contourf(x, y, landscape.values, levels, cmap=MAP)
    else:
        drawn = axes.pcolormesh(x, y, landscape.values, cmap=MAP, vmin=limits[0], vmax=limits[1])
    for points, look in _looks(landscape):
        size = 16 if points.shape[1] > _FEW else 60
        axes.scatter(*points, s=size, edgecolors="white", linewidths=0.5, **look)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel=names[0], ylabel=names[1])
    axes.set_aspect("equal")
    style(axes)
    axes.grid(visible=False)
    _color_bar(figure, drawn, ax=axes, shrink=0.8)
    legend_below(figure, axes)
    return figure


def _relief(
    landscape: Landscape,
    title: str,
    *,
    names: Sequence[str],
    limits: tuple[float, float],
    kind: str,
    elev: float,
    azim: float,
) -> Figure:
    figure = new_figure(7.2, 5.4, title)
    figure.set_layout_engine("none")  # which finds little room for three dimensions
    axes: Any = figure.add_axes((0.0, 0.06, 0.86, 0.84), projection="3d")
    x, y = landscape.axes
    grid = (*np.meshgrid(x, y), landscape.values)
    levels = np.linspace(*limits, _LEVELS)
    if kind == "contour":
        drawn = axes.contour(*grid, levels, cmap=MAP, linewidths=1.2)
    elif kind == "contourf":
        drawn = axes.contourf(*grid, levels, cmap=MAP, alpha=0.75)
    else:
        cells = {"rcount": min(_SURFACE_CELLS, len(y)), "ccount": min(_SURFACE_CELLS, len(x))}
        drawn = axes.plot_surface(
            *grid, cmap=MAP, vmin=limits[0], vmax=limits[1], linewidth=0, antialiased=False, **cells
        )
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), zlim=limits)
    axes.view_init(elev=elev, azim=azim)
    seen = dict(zip((axes.xaxis, axes.yaxis, axes.zaxis), _lengths(elev, azim), strict=True))
    for axis, name in zip(seen, (*names, _VALUE), strict=True):
        axis.set_tick_params(labelsize=8)
        axis.set_major_locator(MaxNLocator(5 if seen[axis] > _SHORT else 3))
        if seen[axis] < _HIDDEN:  # looked along, all its ticks are in one place
            axis.set_ticks([])
        elif seen[axis] > _SHORT or axis is not axes.zaxis:  # else the colours' name is enough
            axis.set_label_text(name, fontsize=8)
    _color_bar(figure, drawn, cax=figure.add_axes((0.86, 0.2, 0.02, 0.55)))
    return figure


def _lengths(elev: float, azim: float) -> tuple[float, float, float]:
    """How long the three axes look from there, as shares of their lengths."""
    up, around = math.radians(elev), math.radians(azim)
    towards = (math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up))
    x, y, z = (math.sqrt(max(0.0, 1 - part**2)) for part in towards)
    return x, y, z


def _looks(landscape: Landscape) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Coordinates of samples of each distribution, and how they are marked."""
    looks = zip(landscape.samples, _NAMES, COLORS, _MARKERS, strict=False)
    for samples, label, color, marker in looks:
        inside = np.all(
            [(c >= a[0]) & (c <= a[-1]) for c, a in zip(samples.T, landscape.axes, strict=True)],
            axis=0,
        )
        yield samples[inside].T, {"c": color, "marker": marker, "label": label}


def _color_bar(figure: Figure, drawn: Any, **place: Any) -> None:
    bar = figure.colorbar(drawn, ticks=MaxNLocator(6), **place)
    bar.set_label(_VALUE, fontsize=9)
    bar.ax.tick_params(labelsize=8)
