"""A comparison of two sides for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table as RichTable

from lnets.results.compare import Compared, Sides
from lnets.results.rendering import count_text, few_seeds, format_interval, value_text
from lnets.results.statistics import SIGNIFICANT, Interval
from lnets.results.terminal import render_texts, wrap_notes


def comparison_text(sides: Sides, *, width: int) -> Iterator[str | RichTable]:
    """Lines of text, and tables.

    Args:
        sides: What is compared.
        width: Of the terminal, in letters.
    """
    yield from wrap_notes([f"A: {count_text(sides.a)}", f"B: {count_text(sides.b)}"], width=width)
    yield from _both("spec", {path: _pair(values) for path, values in sides.spec.items()}, width)
    both = {path: (_several(a), _several(b)) for path, (a, b) in sides.configurations.items()}
    yield from _both("configurations", both, width)
    metrics = sides.metrics
    n = {i.n for one in metrics for i in (one.a, one.b, one.difference) if i is not None}
    columns = {
        head: [_interval(getattr(one, part), with_n=len(n) > 1) for one in metrics]
        for head, part in (("A", "a"), ("B", "b"), ("A − B", "difference"))
    }
    columns["p"] = list(map(_p_value, metrics))
    yield from render_texts(
        "metrics", {"metric": [one.metric for one in metrics]}, columns, width=width
    )
    yield from wrap_notes(list(_about(sides, n)), width=width)
    seeds = sorted({seed for one in metrics for seed in one.seeds})
    rows = [(one, i) for one in metrics for i in range(2)]
    yield from render_texts(
        "each seed",
        {"metric": [one.metric for one, _ in rows], "": ["AB"[i] for _, i in rows]},
        {
            f"seed {seed}": [_number(one.seeds.get(seed, (None, None))[i]) for one, i in rows]
            for seed in seeds
        },
        width=width,
    )


def _about(sides: Sides, n: set[int]) -> Iterator[str]:
    name = {"wilcoxon": "Wilcoxon's test", "permutation": "a permutation test"}[sides.test]
    tested = [one for one in sides.metrics if one.least_p_value is not None]
    seeds = f" over n = {max(n)} seeds" if len(n) == 1 else ""
    over = f"Holm over {len(tested)} metric{'' if len(tested) == 1 else 's'}"
    yield f"mean ± 95% interval{seeds}; p by {name}, two-sided; {over}; * p < {SIGNIFICANT}"
    unpaired = [one.metric for one in tested if not one.paired]
    if unpaired:
        which = "" if len(unpaired) == len(tested) else f": {', '.join(unpaired)}"
        yield f"not paired, because the seeds of A and B differ{which}"
    partly = [one.metric for one in tested if one.paired and None in _flat(one)]
    if partly:
        yield f"paired by those seeds that both have: {', '.join(partly)}"
    untested = [one.metric for one in sides.metrics if one.difference and one.least_p_value is None]
    if untested:
        yield f"too few seeds for a test: {', '.join(untested)}"
    if tested and all((one.least_p_value or 0) >= SIGNIFICANT for one in tested):
        yield few_seeds(max(i.n for one in tested if (i := one.difference)), len(tested))


def _p_value(one: Compared) -> str:
    if one.p_value is None:
        return "–"
    return f"{one.p_value:.2g}{' *' if one.p_value < SIGNIFICANT else ''}"


def _interval(interval: Interval | None, *, with_n: bool) -> str:
    if interval is None:
        return "–"
    return format_interval(interval) + (f" (n={interval.n})" if with_n else "")


def _flat(one: Compared) -> list[float | None]:
    return [value for pair in one.seeds.values() for value in pair]


def _pair(values: tuple[Any, Any]) -> tuple[str, str]:
    return value_text(values[0]), value_text(values[1])


def _several(values: Sequence[Any]) -> str:
    return " | ".join(map(value_text, values))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _both(title: str, rows: dict[str, tuple[str, str]], width: int) -> list[RichTable]:
    """Paths, and what both sides have there."""
    if not rows:
        return []
    columns = {"path": list(rows), "A": [a for a, _ in rows.values()]}
    return render_texts(title, {**columns, "B": [b for _, b in rows.values()]}, {}, width=width)
