"""A comparison of two sides for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from lnets.results.compare import Compared, Sides
from lnets.results.rendering import count_text, format_interval, value_text
from lnets.results.statistics import SIGNIFICANT, Interval


def comparison_text(sides: Sides) -> Iterator[str | RichTable]:
    """Lines of text, and tables."""
    yield f"A: {count_text(sides.a)}"
    yield f"B: {count_text(sides.b)}"
    if sides.spec:
        yield _table("spec", ["path", "A", "B"], [(p, *_pair(v)) for p, v in sides.spec.items()])
    if sides.configurations:
        rows = [(path, *map(_several, both)) for path, both in sides.configurations.items()]
        yield _table("configurations", ["path", "A", "B"], rows)
    yield _table("metrics", ["metric", "A", "B", "A − B", "p"], list(map(_row, sides.metrics)))
    yield from _about(sides)
    seeds = sorted({seed for one in sides.metrics for seed in one.seeds})
    rows = [
        (one.metric, side, *(_number(one.seeds.get(seed, (None, None))[i]) for seed in seeds))
        for one in sides.metrics
        for i, side in enumerate("AB")
    ]
    yield _table("each seed", ["metric", "", *map(str, seeds)], rows)


def _about(sides: Sides) -> Iterator[str]:
    name = {"wilcoxon": "Wilcoxon's test", "permutation": "a permutation test"}[sides.test]
    tested = [one for one in sides.metrics if one.least_p_value is not None]
    yield (
        f"mean ± 95% interval; p two-sided by {name}, after Holm over {len(tested)} metrics; "
        f"* p < {SIGNIFICANT}"
    )
    unpaired = [one.metric for one in tested if not one.paired]
    if unpaired:
        yield f"not paired, because the seeds of A and B differ: {', '.join(unpaired)}"
    partly = [one.metric for one in tested if one.paired and None in _flat(one)]
    if partly:
        yield f"paired by those seeds that both have: {', '.join(partly)}"
    untested = [one.metric for one in sides.metrics if one.difference and one.least_p_value is None]
    if untested:
        yield f"too few seeds for a test: {', '.join(untested)}"
    if tested:
        least = min(one.least_p_value for one in tested if one.least_p_value is not None)
        yield f"with so few seeds p ≥ {least:.2g} whatever the numbers are"


def _row(one: Compared) -> tuple[str, ...]:
    p = "–"
    if one.p_value is not None:
        p = f"{one.p_value:.2g}{' *' if one.p_value < SIGNIFICANT else ''}"
    return one.metric, *map(_interval, (one.a, one.b, one.difference)), p


def _interval(interval: Interval | None) -> str:
    return "–" if interval is None else f"{format_interval(interval)} (n={interval.n})"


def _flat(one: Compared) -> list[float | None]:
    return [value for pair in one.seeds.values() for value in pair]


def _pair(values: tuple[Any, Any]) -> tuple[str, str]:
    return value_text(values[0]), value_text(values[1])


def _several(values: Sequence[Any]) -> str:
    return " | ".join(map(value_text, values))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> RichTable:
    table = RichTable(title=title, title_justify="left")
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
