"""Figures for papers: small, without titles, told apart by colour, dash and marker."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from lnets.errors import NotFoundError, SpecError, writing
from lnets.results.canvas import COLORS, GREY, MAP, new_figure, style
from lnets.results.compare import Compared, Sides
from lnets.results.rendering import rounded
from lnets.results.series import Band, readable_range
from lnets.results.tables import Cell, better

_DPI = 300
_DASHES = ("-", "--", "-.", ":")
_MARKERS = "osD^vPX"
_DOTTED = 30
_WIDTH, _HEIGHT = 3.4, 2.6
_MOST_PANELS = 6
_LONG = 12  # letters of a name that fits below its column
_DARK = 0.55  # of a colour map, below which white text is read better
_FORMATS = (".png", ".pdf")


def check_format(file: Path) -> None:
    """Refuse a file that is neither PNG nor PDF.

    Raises:
        SpecError: Naming what can be written.
    """
    if file.suffix not in _FORMATS:
        raise SpecError(f"{file}: must end in {' or '.join(_FORMATS)}; rename it.")


def save_for_paper(figure: Figure, file: Path) -> Path:
    """Write a PNG of 300 dots per inch, or a PDF whose text stays text.

    Raises:
        SpecError: If the file cannot be written.
    """
    with writing(file), mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(file, dpi=_DPI)
    return file


def lines_figure(panels: Mapping[str, Sequence[tuple[str, str, Band]]], along: str) -> Figure:
    """Lines with bands, a panel beside the other.

    Args:
        panels: By what is along y: of each line what it is called, its kind and its points. Names
            have colours, kinds have dashes.
        along: What is along x.
    """
    figure = new_figure(_WIDTH * len(panels), _HEIGHT)
    names = list(dict.fromkeys(name for lines in panels.values() for name, _, _ in lines))
    kinds = list(dict.fromkeys(kind for lines in panels.values() for _, kind, _ in lines))
    for i, (title, lines) in enumerate(panels.items()):
        axes: Any = figure.add_subplot(1, len(panels), i + 1)
        for name, kind, band in lines:
            number = names.index(name)
            look = {
                "color": COLORS[number % len(COLORS)],
                "linestyle": _DASHES[_dash(number, kinds.index(kind), len(kinds))],
                "marker": _MARKERS[number % len(_MARKERS)] if len(band.x) < _DOTTED else None,
            }
            label = f"{name}, {kind}" if len(kinds) > 1 else name
            axes.plot(band.x, band.mean, linewidth=1.3, markersize=3.5, label=label, **look)
            axes.fill_between(
                band.x, band.low, band.high, color=look["color"], alpha=0.2, linewidth=0
            )
        axes.set(xlabel=along, ylabel=title)
        means, ends = (
            [b.mean for _, _, b in lines],
            [e for _, _, b in lines for e in (b.low, b.high)],
        )
        shown = readable_range(np.concatenate(means), np.concatenate(ends))
        if shown is not None:
            axes.set_ylim(*shown)
        style(axes)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    place: Any = "outside lower center"
    columns = 1 if max(map(len, labels)) > 24 * len(panels) else 2
    figure.legend(handles, labels, loc=place, ncols=columns, fontsize=7, frameon=False)
    figure.set_figheight(_HEIGHT + 0.16 * math.ceil(len(labels) / columns))
    return figure


def seeds_figure(sides: Sides) -> Figure:
    """Each seed of two sides, a panel per metric, and the means with 95% intervals beside them.

    Metrics of which large or small values are better come first, and those that are the same in
    all trials are left out.

    Raises:
        NotFoundError: If no metric differs.
    """
    different = [one for one in sides.metrics if one.difference and len(_values(one)) > 1]
    panels = sorted(different, key=lambda one: better(one.metric) is None)[:_MOST_PANELS]
    if not panels:
        raise NotFoundError("no metric that both sides have differs; there is nothing to draw")
    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(0.7 * _WIDTH * columns, 0.9 * _HEIGHT * lines)
    for i, one in enumerate(panels):
        axes: Any = figure.add_subplot(lines, columns, i + 1)
        for pair in one.seeds.values():
            axes.plot((0, 1), pair, color=GREY, linewidth=0.8, marker="o", markersize=3)
        for x, color, interval in ((-0.2, COLORS[0], one.a), (1.2, COLORS[1], one.b)):
            assert interval is not None, "both sides have it"
            half = 0.0 if interval.high is None else interval.high - interval.mean
            axes.errorbar(x, interval.mean, half, color=color, marker="D", markersize=4, capsize=3)
        axes.set(ylabel=one.metric, xlim=(-0.5, 1.5))
        axes.set_xticks((0, 1), ("A", "B"))
        style(axes)
    return figure


def importance_figure(metric: str, importances: Mapping[str, float]) -> Figure:
    """The share of a metric's variance that each field explains, as bars."""
    ordered = sorted(importances.items(), key=lambda item: item[1])
    figure = new_figure(_WIDTH, 0.7 + 0.25 * len(ordered))
    axes: Any = figure.add_subplot()
    names, shares = zip(*ordered, strict=True)
    bars = axes.barh(names, shares, color=COLORS[0], height=0.65)
    axes.bar_label(bars, fmt="{:.2f}", fontsize=7, padding=2)
    axes.set(xlabel=f"share of the variance of\n{metric}")
    axes.set_xlim(0, 1.15 * max(shares))
    style(axes)
    axes.grid(visible=False, axis="y")
    return figure


def heatmap_figure(
    cells: Sequence[Sequence[Cell | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    titles: tuple[str, str, str],
) -> Figure:
    """A metric's means as colours, with the numbers in them; the best is bold.

    Args:
        cells: By row; None where there is no result.
        rows: What rows are called.
        columns: What columns are called.
        titles: Of the rows, the columns, the colours.
    """
    figure = new_figure(1.6 + 0.85 * len(columns), 1.3 + 0.36 * len(rows))
    axes: Any = figure.add_subplot()
    means = np.array([[math.nan if c is None else c.interval.mean for c in row] for row in cells])
    drawn = axes.imshow(means, cmap=MAP, aspect="auto")
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell is None:
                axes.text(j, i, "–", ha="center", va="center", fontsize=7, color=GREY)
                continue
            mean, half = rounded(cell.interval)
            dark = drawn.norm(cell.interval.mean) < _DARK
            axes.text(
                j,
                i,
                mean if half is None else f"{mean}\n±{half}",
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if dark else "black",
                fontweight="bold" if cell.best else "normal",
            )
    slant = {"rotation": 25, "ha": "right"} if max(map(len, columns)) > _LONG else {}
    axes.set_xticks(range(len(columns)), columns, **slant)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel=titles[1], ylabel=titles[0])
    style(axes)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes)
    bar.set_label(titles[2], fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _values(one: Compared) -> set[float | None]:
    return {value for pair in one.seeds.values() for value in pair} - {None}


def _dash(name: int, kind: int, kinds: int) -> int:
    return (kind if kinds > 1 else name // len(COLORS)) % len(_DASHES)
