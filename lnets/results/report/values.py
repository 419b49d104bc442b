"""Figures of what trials have measured, by configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from lnets.results.groups import Group
from lnets.results.rendering import format_interval
from lnets.results.report.picture import (
    MOST_ROWS,
    Picture,
    axis,
    color_name,
    colors,
    numbers,
    plain,
    short,
    with_unit,
)
from lnets.results.statistics import Interval
from lnets.specs.metrics import find_metric

_NAMED = 30  # configurations whose names fit beside an axis


def metric_picture(metric: str, groups: Sequence[Group]) -> Picture:
    """Every trial's value of a metric by configuration, and means with intervals.

    Args:
        metric: Its name; some completed trial has it.
        groups: Configurations, the best first.
    """
    named = len(groups) <= _NAMED
    along, across = ("y", "x") if named else ("x", "y")
    intervals = {i: one for i, group in enumerate(groups) if (one := group.interval(metric))}
    traces = [*_trials(metric, groups, along, across), _means(intervals, along, across, named)]
    hover = f"%{{customdata}}<br>{plain(metric)} %{{{across}:.5g}}<extra></extra>"
    layout: dict[str, Any] = {
        f"{across}axis": axis(
            with_unit(metric),
            [value for trace in traces for value in trace[across]],
            [end for one in intervals.values() for end in (one.low, one.high)] if named else (),
        ),
        f"{along}axis": _configurations(groups, named),
    }
    if named:
        layout["height"] = 150 + 26 * len(groups)
    rows = [(groups[i].label, format_interval(one), str(one.n)) for i, one in intervals.items()]
    return Picture(
        name=f"metric-{metric}",
        title=metric,
        summary=_words(metric, groups, intervals),
        traces=[{**trace, "hovertemplate": hover} for trace in traces],
        layout=layout,
        heads=("configuration", "mean ± 95% interval", "seeds"),
        rows=rows[:MOST_ROWS],
    )


def _trials(metric: str, groups: Sequence[Group], along: str, across: str) -> list[dict[str, Any]]:
    """A trace for each colour."""
    of = colors(groups)
    points: dict[int, list[tuple[int, float, int]]] = {color: [] for color in of}
    number = 0
    for i, group in enumerate(groups):
        for trial in group.trials:
            if trial.status == "completed" and metric in trial.metrics:
                points[of[i]].append((i, trial.metrics[metric], number))
            number += 1
    return [
        {
            along: [i for i, _, _ in found],
            across: numbers(value for _, value, _ in found),
            "mode": "markers",
            "marker": {"size": 6, "opacity": 0.6, "symbol": color},
            "name": color_name(groups, of, color, "trials"),
            "meta": {"trials": [number for _, _, number in found], "color": color},
        }
        for color, found in points.items()
        if found
    ]


def _means(
    intervals: Mapping[int, Interval], along: str, across: str, named: bool
) -> dict[str, Any]:
    """Means, with intervals where there is room for them."""
    trace = {
        along: list(intervals),
        across: numbers(one.mean for one in intervals.values()),
        "meta": {"configurations": list(intervals)},
    }
    if not named:
        return {**trace, "mode": "lines", "line": {"width": 1}, "name": "mean"}
    halves = [0.0 if one.high is None else one.high - one.mean for one in intervals.values()]
    ends = {"type": "data", "array": numbers(halves), "thickness": 1.5, "width": 3}
    mark = {"size": 7, "symbol": "diamond-open"}
    named_trace = {"mode": "markers", "marker": mark, "name": "mean, 95% interval"}
    return {**trace, **named_trace, f"error_{across}": ends}


def _words(metric: str, groups: Sequence[Group], intervals: Mapping[int, Interval]) -> str:
    by_mean = sorted(intervals, key=lambda i: intervals[i].mean)
    texts = [f"{groups[i].label} ({format_interval(intervals[i])})" for i in by_mean]
    known = find_metric(metric)
    words = f"{metric}: {known.meaning}. " if known else ""
    if len(texts) == 1:
        return f"{words}Only of {texts[0]}."
    if len(means := {format_interval(intervals[i]) for i in by_mean}) == 1:
        return f"{words}The mean of each of {len(texts)} configurations is {means.pop()}."
    return (
        f"{words}Of {len(texts)} configurations the mean is highest for {texts[-1]}, lowest for "
        f"{texts[0]}."
    )


def _configurations(groups: Sequence[Group], named: bool) -> dict[str, Any]:
    """The axis of configurations."""
    if not named:
        return {**axis("configurations, the best first"), "rangemode": "tozero"}
    return {
        "tickvals": list(range(len(groups))),
        "ticktext": [plain(short(group.label)) for group in groups],
        "range": [len(groups) - 0.5, -0.5],
        "automargin": True,
    }
