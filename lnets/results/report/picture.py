"""A figure of a report, as plotly's JSON without colours, and what it says in words and numbers."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lnets.results.groups import Group
from lnets.results.rendering import short_text
from lnets.results.series import readable_range
from lnets.specs.metrics import find_metric

COLORS = 7
SHADES = 7
"""How many of a kind the page's style has."""
MOST_ROWS = 40
"""Of a figure's table of numbers."""

_DECADES = 100.0
_ROUNDINGS = 1e-3
_MOST_LETTERS = 48


@dataclass(frozen=True)
class Picture:
    """A figure, and what stands for it where it cannot be seen.

    A trace's `meta` says which configurations or trials its points are (`configurations`, `trials`:
    a number each; `configuration`: of all of them), and its colour (`color`: a number of the page's
    colours; `shade`: of its shades; neither is that of text). The page fills in both.
    """

    name: str
    """Identifies it within the page."""
    title: str
    summary: str
    """What it shows, in words."""
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    """The numbers, as texts."""
    notes: tuple[str, ...] = ()


def plain(text: str) -> str:
    """Text as plotly shows it, which takes tags for its own."""
    return html.escape(text, quote=False)


def short(text: str) -> str:
    """Text that fits beside an axis."""
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def numbers(values: Iterable[float | None]) -> list[float | None]:
    """As short as what can be seen of them; None for what is missing."""
    return [
        float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
        for value in values
    ]


def axis(
    title: str, values: Iterable[float | None] = (), ends: Iterable[float | None] = ()
) -> dict[str, Any]:
    """An axis: logarithmic where values spread over decades; none shows roundings alone.

    Args:
        title: Beside it.
        values: Along it.
        ends: Of their intervals, which it shows as far as the values stay readable.
    """
    made: dict[str, Any] = {"title": {"text": plain(title)}, "automargin": True}
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    if low > 0 and high > _DECADES * low:
        made["type"] = "log"
    elif 0 < max(abs(low), abs(high)) * _ROUNDINGS > high - low:
        return made | {"range": [low - 0.05 * abs(low), high + 0.05 * abs(high)]}
    shown = readable_range(known, (e for e in ends if e is not None), log="type" in made)
    return made | {"range": list(shown)} if shown else made


def unit(metric: str) -> str:
    """A metric's unit; its name where it has none."""
    known = find_metric(metric)
    return known.unit if known and known.unit != "1" else metric


def with_unit(metric: str) -> str:
    """A metric's name, with its unit if it has one."""
    return metric if unit(metric) == metric else f"{metric} ({unit(metric)})"


def colors(groups: Sequence[Group]) -> list[int]:
    """A colour for each configuration: by its value at the first path, if there are few."""
    values = [short_text(next(iter(group.values.values()), None)) for group in groups]
    known = sorted(set(values))
    return [known.index(value) if len(known) <= COLORS else 0 for value in values]


def color_name(groups: Sequence[Group], of: Sequence[int], color: int, points: str) -> str:
    """What the configurations of a colour have in common.

    Args:
        groups: Configurations.
        of: The colour of each.
        color: One of them.
        points: What the points are, where all have this colour.
    """
    if len(set(of)) == 1:
        return points
    path, value = next(iter(groups[of.index(color)].values.items()))
    return plain(short(f"{path} = {short_text(value)}"))
