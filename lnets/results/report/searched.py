"""Figures of what was searched: which fields matter, and which configurations are not dominated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lnets.results.groups import Group
from lnets.results.kinds import not_dominated
from lnets.results.report.picture import (
    MOST_ROWS,
    Picture,
    axis,
    color_name,
    colors,
    numbers,
    plain,
    with_unit,
)
from lnets.results.tables import Sign


def importance_picture(metric: str, importances: Mapping[str, float]) -> Picture:
    """How much of a metric's variance each field explains.

    Args:
        metric: Its name.
        importances: Shares by field, one at least.
    """
    ordered = dict(sorted(importances.items(), key=lambda item: item[1]))
    top = next(reversed(ordered))
    return Picture(
        name="importance",
        title=f"importance for {metric}",
        summary=f"How much of the variance of {metric} over configurations each field explains, "
        f"by fANOVA: most by {top}, with {ordered[top]:.0%}.",
        traces=[
            {
                "type": "bar",
                "orientation": "h",
                "x": numbers(ordered.values()),
                "y": [plain(path) for path in ordered],
                "meta": {"color": 0},
                "hovertemplate": "%{y}<br>%{x:.3f}<extra></extra>",
            }
        ],
        layout={
            "xaxis": {**axis("share of the variance"), "rangemode": "tozero"},
            "yaxis": {"automargin": True},
            "height": 130 + 28 * len(ordered),
            "showlegend": False,
        },
        heads=("field", "importance"),
        rows=[(path, f"{value:.3f}") for path, value in reversed(ordered.items())],
        notes=("It is of all configurations, also where a filter is set.",),
    )


def pareto_picture(
    groups: Sequence[Group], objectives: Sequence[tuple[str, Sign]]
) -> Picture | None:
    """Configurations by two metrics, and those that no other dominates; None where there is none.

    Args:
        groups: Configurations.
        objectives: Two metrics, with 1 where large is better and −1 where small is.
    """
    (a, sign_a), (b, sign_b) = objectives
    means = {i: (group.mean(a), group.mean(b)) for i, group in enumerate(groups)}
    points = {i: (x, y) for i, (x, y) in means.items() if x is not None and y is not None}
    if not points:
        return None
    signed = {str(i): (sign_a * x, sign_b * y) for i, (x, y) in points.items()}
    front = sorted(map(int, not_dominated(signed)), key=lambda i: points[i])
    hover = f"%{{customdata}}<br>{plain(a)} %{{x:.5g}}<br>{plain(b)} %{{y:.5g}}<extra></extra>"
    x, y = (numbers(values) for values in zip(*points.values(), strict=True))
    way = {1: "large", -1: "small"}
    verb = "is" if len(front) == 1 else "are"
    return Picture(
        name="pareto",
        title=f"{a} against {b}",
        summary=f"Mean {a} (better {way[sign_a]}) and {b} (better {way[sign_b]}) of {len(points)} "
        f"configurations; {len(front)} of them {verb} not dominated: no other is better in one and "
        "no worse in the other.",
        traces=[
            {
                "x": numbers(points[i][0] for i in part),
                "y": numbers(points[i][1] for i in part),
                "hovertemplate": hover,
                **look,
                "meta": {"configurations": part, **look["meta"]},
            }
            for part, look in _parts(groups, list(points), front)
        ],
        layout={"xaxis": axis(with_unit(a), x), "yaxis": axis(with_unit(b), y)},
        heads=("not dominated", a, b),
        rows=[(groups[i].label, *(f"{v:.5g}" for v in points[i])) for i in front][:MOST_ROWS],
    )


def _parts(
    groups: Sequence[Group], shown: Sequence[int], front: list[int]
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Configurations of each colour, then the front, and how they look."""
    of = colors(groups)
    for color in dict.fromkeys(of[i] for i in shown):
        yield (
            [i for i in shown if of[i] == color],
            {
                "mode": "markers",
                "marker": {"size": 7, "opacity": 0.7, "symbol": color},
                "name": color_name(groups, of, color, "configurations"),
                "meta": {"color": color},
            },
        )
    yield (
        front,
        {
            "mode": "lines+markers",
            "line": {"width": 1.5, "dash": "dot"},
            "marker": {"size": 11, "symbol": "circle-open"},
            "name": "not dominated",
            "meta": {},
        },
    )
