"""Parallel coordinates: configurations as lines through the fields and metrics they have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lnets.results.groups import Group
from lnets.results.rendering import value_text
from lnets.results.report.picture import MOST_ROWS, SHADES, Picture, plain
from lnets.results.tables import Sign
from lnets.results.terminal import wrapped

_MOST_AXES = 10
_MOST_TICKS = 8
_NAME_WIDTH = 13


@dataclass(frozen=True)
class _Axis:
    """One of the coordinates."""

    name: str
    heights: Sequence[float | None]
    """Of each configuration, from 0 to 1; None where it has no such value."""
    texts: Sequence[str]
    """Of each configuration."""
    ticks: Mapping[float, str]


def parallel_picture(groups: Sequence[Group], metrics: Sequence[str], sign: Sign) -> Picture | None:
    """The configurations that have all metrics; None for fewer than two, or than two fields.

    Args:
        groups: Configurations.
        metrics: The last axes; lines are the darker, the better the first of them.
        sign: 1 where that should be large, −1 where small.
    """
    means = [[group.mean(metric) for metric in metrics] for group in groups]
    there = [i for i, values in enumerate(means) if None not in values]
    paths = list(groups[0].values)[: _MOST_AXES - len(metrics)] if groups else []
    if len(there) < 2 or len(paths) < 2:
        return None
    axes = [_axis(path, [groups[i].values[path] for i in there]) for path in paths]
    axes += [_axis(name, [means[i][k] for i in there]) for k, name in enumerate(metrics)]
    order = sorted(range(len(there)), key=lambda line: sign * (means[there[line]][0] or 0.0))
    traces = []
    for shade in range(SHADES):
        ends = [len(order) * part // SHADES for part in (shade, shade + 1)]
        if ends[0] < ends[1]:
            traces.append(_lines(axes, there, order[ends[0] : ends[1]], shade))
    best = order[-1]
    left_out = len(groups[0].values) - len(paths)
    return Picture(
        name="parallel",
        title="parallel coordinates",
        summary=f"{len(there)} configurations as lines through "
        f"{', '.join(axis.name for axis in axes)}; the stronger a line, the better its "
        f"{metrics[0]}. The best has "
        + ", ".join(f"{axis.name} = {axis.texts[best]}" for axis in axes)
        + ".",
        traces=traces,
        layout=_layout(axes),
        heads=tuple(axis.name for axis in axes),
        rows=[tuple(axis.texts[line] for axis in axes) for line in reversed(order)][:MOST_ROWS],
        notes=(f"{left_out} more fields differ.",) if left_out else (),
    )


def _axis(name: str, values: Sequence[Any]) -> _Axis:
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        low, high = min(values), max(values)
        span = (high - low) or 1
        heights = [(value - low) / span for value in values]
        texts = [f"{value:.4g}" for value in values]
        return _Axis(name, heights, texts, {0.0: f"{low:.4g}", 1.0: f"{high:.4g}"})
    known = sorted({json.dumps(value) for value in values if value is not None})
    last = max(1, len(known) - 1)
    places = {text: place / last for place, text in enumerate(known)}
    ticks = {at: value_text(json.loads(text)) for text, at in places.items()}
    if len(ticks) > _MOST_TICKS:
        ticks = {at: text for at, text in ticks.items() if at in (0.0, 1.0)}
    heights = [None if value is None else places[json.dumps(value)] for value in values]
    return _Axis(name, heights, [value_text(value) for value in values], ticks)


def _lines(
    axes: Sequence[_Axis], there: Sequence[int], lines: Sequence[int], shade: int
) -> dict[str, Any]:
    """All lines of one shade, a gap between any two."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    configurations: list[int] = []
    for line in lines:
        for i, axis in enumerate(axes):
            height = axis.heights[line]
            x.append(i)
            y.append(None if height is None else round(height, 4))
            texts.append(plain(f"{axis.name} = {axis.texts[line]}"))
        x.append(None)
        y.append(None)
        texts.append("")
        configurations += [there[line]] * (len(axes) + 1)
    return {
        "x": x, "y": y, "text": texts, "mode": "lines+markers", "connectgaps": False,
        "line": {"width": 1 + shade / 4}, "marker": {"size": 3}, "showlegend": False,
        "hovertemplate": "%{customdata}<br>%{text}<extra></extra>",
        "meta": {"configurations": configurations, "shade": shade},
    }  # fmt: skip


def _layout(axes: Sequence[_Axis]) -> dict[str, Any]:
    notes = [
        {
            "x": i, "y": at, "text": plain(text[:24]), "showarrow": False, "xanchor": "left",
            "xshift": 4, "font": {"size": 11},
        }
        for i, axis in enumerate(axes)
        for at, text in axis.ticks.items()
    ]  # fmt: skip
    places = list(range(len(axes)))
    names = [plain(wrapped(axis.name, _NAME_WIDTH)).replace("\n", "<br>") for axis in axes]
    return {
        "xaxis": {
            "tickvals": places,
            "ticktext": names,
            "tickangle": 0,
            "range": [-0.1, len(axes) - 0.7],
            "automargin": True,
        },
        "yaxis": {"visible": False, "range": [-0.06, 1.06]},
        "annotations": notes,
    }
