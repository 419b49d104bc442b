"""Figures of lines with bands."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lnets.results.groups import Group
from lnets.results.rendering import format_interval
from lnets.results.report.picture import (
    COLORS,
    MOST_ROWS,
    Picture,
    axis,
    colors,
    numbers,
    plain,
    short,
)
from lnets.results.series import Band
from lnets.results.statistics import Interval

MOST_LINES = 2 * COLORS
"""Configurations in a figure."""

_DOTTED = 30  # points that are marked
_DASHES = ("solid", "dash", "dot", "dashdot")

Line = tuple[int, str, Band]
"""The number of its configuration, its kind, which may be empty, and its points."""


def lines_picture(
    name: str,
    title: str,
    lines: Sequence[Line],
    groups: Sequence[Group],
    axes: tuple[str, str],
    summary: str,
) -> Picture:
    """Lines with bands.

    Args:
        name: Of the figure.
        title: Of the figure.
        lines: One at least, of `MOST_LINES` configurations at most.
        groups: Configurations.
        axes: What is along x and y.
        summary: What it shows, in words.
    """
    heights = [value for _, _, band in lines for value in numbers(band.mean)]
    upright = axis(axes[1], heights, [end for _, _, b in lines for end in (*b.low, *b.high)])
    kind_head = ("kind",) if any(kind for _, kind, _ in lines) else ()
    rows = [
        (groups[i].label, *(kind_head and (kind,)), f"{band.x[-1]:g}", _last(band), str(band.n))
        for i, kind, band in lines
    ]
    return Picture(
        name=name,
        title=title,
        summary=summary,
        traces=_traces(lines, groups, axes[0], _floor(upright)),
        layout={"xaxis": axis(axes[0]), "yaxis": upright},
        heads=("configuration", *kind_head, f"last {axes[0]}", "mean ± 95% interval", "seeds"),
        rows=rows[:MOST_ROWS],
        notes=("Bands that are far wider than the lines are apart are cut off.",)
        if "range" in upright
        else (),
    )


def _floor(upright: Mapping[str, Any]) -> float:
    """Where bands may end: a logarithmic axis has no place for 0."""
    if upright.get("type") != "log":
        return -math.inf
    return 10 ** (upright["range"][0] - 1) if "range" in upright else 0.0


def _traces(
    lines: Sequence[Line], groups: Sequence[Group], along: str, floor: float
) -> list[dict[str, Any]]:
    kinds = list(dict.fromkeys(kind for _, kind, _ in lines))
    shown = list(dict.fromkeys(i for i, _, _ in lines))
    of = colors([groups[i] for i in shown])
    if len(set(of)) < len(shown):  # then values at the first path do not tell them apart
        of = list(range(len(shown)))
    traces = []
    for i, kind, band in lines:
        number = of[shown.index(i)]
        dash = kinds.index(kind) if len(kinds) > 1 else number // COLORS
        label = f"{groups[i].label}, {kind}" if len(kinds) > 1 else groups[i].label
        look = {"legendgroup": label, "meta": {"configuration": i, "color": number % COLORS}}
        traces += _fill(band, look, floor)
        traces.append(
            {
                "x": numbers(band.x),
                "y": numbers(band.mean),
                "mode": "lines+markers" if len(band.x) < _DOTTED else "lines",
                "name": plain(short(label)),
                "line": {"dash": _DASHES[dash % len(_DASHES)], "width": 2},
                "marker": {"size": 5, "symbol": number},
                "hovertemplate": f"%{{customdata}}<br>{plain(along)} %{{x}}<br>%{{y:.5g}}"
                "<extra></extra>",
                **look,
            }
        )
    return traces


def _fill(band: Band, look: Mapping[str, Any], floor: float) -> list[dict[str, Any]]:
    """The area between the ends of intervals, where there are any."""
    there = ~np.isnan(band.low)
    if there.sum() < 2:
        return []
    x, low, high = band.x[there], np.maximum(band.low[there], floor), band.high[there]
    return [
        {
            "x": numbers([*x, *x[::-1]]),
            "y": numbers([*high, *low[::-1]]),
            "mode": "lines",
            "fill": "toself",
            "hoverinfo": "skip",
            "showlegend": False,
            "line": {"width": 0},
            **look,
            "meta": {**look["meta"], "band": True},
        }
    ]


def _last(band: Band) -> str:
    low, high = (None if math.isnan(end[-1]) else float(end[-1]) for end in (band.low, band.high))
    return format_interval(Interval(float(band.mean[-1]), low, high, band.n))
