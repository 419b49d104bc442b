"""Comparison tables as a person reads them: rounded numbers, marks, and a footer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from lnets.results.records import short_commit
from lnets.results.selected import Counts
from lnets.results.statistics import BOOTSTRAP_FROM, SIGNIFICANT, Interval, seeds_needed
from lnets.results.tables import Cell, Source, Table, Tests
from lnets.specs.spec import show

_MOST_DECIMALS = 12
_TESTS = {
    "wilcoxon": ("Wilcoxon's signed-rank test", "Wilcoxon's rank-sum test"),
    "permutation": ("the permutation test of signs", "the permutation test of groups"),
}


@dataclass(frozen=True)
class Grid:
    """A table as it stands on a page."""

    rows: tuple[str, ...]
    """Headings of the columns that name the rows."""
    columns: tuple[tuple[str, str], ...]
    """Of the other columns: the values that name it, and the metric."""
    body: tuple[tuple[tuple[str, ...], tuple[Cell | None, ...]], ...]
    """Of each row the values that name it, and its cells."""
    common_n: int | None
    """The number of seeds behind every cell; None where it differs."""

    @classmethod
    def of(cls, table: Table) -> "Grid":
        """Lay a table out."""
        columns = list(dict.fromkeys(_key(cell.column) for cell in table.cells))
        rows = list(dict.fromkeys(_key(cell.row) for cell in table.cells))
        found = {(_key(cell.row), _key(cell.column), cell.metric): cell for cell in table.cells}
        numbers = {cell.interval.n for cell in table.cells}
        places = [(column, metric) for column in columns for metric in table.layout.values]
        return cls(
            rows=table.layout.rows,
            columns=tuple((", ".join(_values(column)), metric) for column, metric in places),
            body=tuple(
                (_values(row), tuple(found.get((row, *place)) for place in places)) for row in rows
            ),
            common_n=numbers.pop() if len(numbers) == 1 else None,
        )

    def suffix(self, cell: Cell) -> str:
        """The number of seeds, where it is not the same everywhere."""
        return "" if self.common_n is not None else f" (n={cell.interval.n})"


def rounded(interval: Interval) -> tuple[str, str | None]:
    """A mean and the half width of its interval: two digits of the latter, as many of the former.

    Returns:
        Both as decimal numbers; the half width is None where there is no interval.
    """
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.4g}", None
    half = (interval.high - interval.low) / 2
    if half <= abs(interval.mean) * 1e-12:
        return f"{interval.mean:.6g}", "0"
    decimals = 1 - int(f"{half:.1e}".partition("e")[2])
    if decimals > _MOST_DECIMALS:
        return f"{interval.mean:.2g}", f"{half:.2g}"
    return _decimal(interval.mean, decimals), _decimal(half, decimals)


def format_interval(interval: Interval) -> str:
    """A mean ± the half width of its interval, rounded to what means something."""
    mean, half = rounded(interval)
    return mean if half is None else f"{mean} ± {half}"


def render(table: Table, *, title: str = "") -> RichTable:
    """The table for a terminal; of one metric, which is then named above it, a matrix."""
    grid = Grid.of(table)
    matrix = bool(table.layout.columns) and len(table.layout.values) == 1
    if matrix:
        title = ": ".join(filter(None, (title, table.layout.values[0])))
    shown = RichTable(title=title or None, title_justify="left")
    for path in grid.rows:
        shown.add_column(Text(path))
    for heading, metric in grid.columns:
        text = heading if matrix else f"{heading}\n{metric}".strip()
        shown.add_column(Text(text), justify="right", overflow="fold")
    for names, cells in grid.body:
        shown.add_row(*map(Text, names), *(_styled(grid, cell) for cell in cells))
    return shown


def footer(table: Table, command: str = "", *, best: str = "*") -> list[str]:
    """What a reader must know of the numbers, in some lines.

    Args:
        table: The numbers.
        command: What made it.
        best: What marks the best.
    """
    seeds = [cell.interval.n for cell in table.cells]
    lines = [
        *_about_numbers(seeds, best),
        *(_about(table.tests) if max(seeds, default=0) > 1 else ()),
    ]
    if table.averaged:
        lines.append(f"cells average over {', '.join(table.averaged)}")
    if table.uneven:
        lines.append(
            f"{_many(table.uneven, 'place')} of this table lack configurations for some seeds"
        )
    for metric, number in table.left_out.items():
        lines.append(f"without a finite {metric}, and left out of it: {_many(number, 'trial')}")
    lines += [
        f"{winner.objective}: {place_text(winner.cell)} ({format_interval(winner.cell.interval)})"
        for winner in table.winners
    ]
    lines += [*table.notes, *map(count_text, table.sweeps), _origin(table.source)]
    return [*lines, f"made by: {command}"] if command else lines


def value_text(value: Any) -> str:
    """A configuration's value, as it names a row or a column."""
    return value if isinstance(value, str) else show(value)


def place_text(cell: Cell) -> str:
    """What names a cell's row and column."""
    return ", ".join(
        f"{path} = {value_text(value)}" for path, value in {**cell.row, **cell.column}.items()
    )


def _about_numbers(seeds: Sequence[int], best: str) -> list[str]:
    if not seeds:
        return ["no completed trial is in this table"]
    fewest, most = min(seeds), max(seeds)
    if most == 1:
        return [f"one seed each (n = 1), so no interval and no test; {best} best of its metric"]
    over = f"n = {most}" if fewest == most else "n"
    kind = "t" if most < BOOTSTRAP_FROM else "bootstrap"
    if fewest < BOOTSTRAP_FROM <= most:
        kind = f"t (bootstrap where n ≥ {BOOTSTRAP_FROM})"
    return [f"mean ± 95% {kind} interval over {over} seeds; {best} best mean of its metric"]


def _about(tests: Tests) -> list[str]:
    untested = f"too few seeds for a test: {_many(tests.untested, 'cell')}"
    if tests.least_p_value is None:
        return [untested] if tests.untested else []
    paired, unpaired = _TESTS[tests.test]
    name = unpaired if tests.unpaired == tests.comparisons else f"{paired}, paired by seed"
    how = f"by {name}, two-sided, after Holm over {_many(tests.comparisons, 'comparison')}"
    least = f"with {tests.seeds} seeds p ≥ {tests.least_p_value:.2g} before Holm"
    if tests.telling:
        lines = [f"≈ not significantly worse than the best: p ≥ {SIGNIFICANT} {how}; {least}"]
    else:
        needed = seeds_needed(tests.comparisons)
        lines = [
            f"nothing can be significant {how}: {least}, whatever the numbers are; {needed} seeds "
            "are needed at least"
        ]
    if 0 < tests.unpaired < tests.comparisons:
        number = _many(tests.unpaired, "comparison")
        lines.append(f"not paired, because seeds differ, but by {unpaired}: {number}")
    elif tests.unpaired:
        lines.append("not paired, because seeds differ")
    if tests.partly:
        lines.append(f"paired by those seeds that both have: {_many(tests.partly, 'comparison')}")
    if tests.untested:
        lines.append(untested)
    return lines


def _origin(source: Source) -> str:
    commits = list(map(short_commit, source.commits))
    parts = [
        f"seeds {_ranges(source.seeds)}" if source.seeds else "",
        f"commit {', '.join(commits)}" if commits else "",
        f"version {source.version} of the store's trials" if source.version is not None else "",
        f"only trials where {source.where}" if source.where else "",
    ]
    return "; ".join(part for part in parts if part)


def _ranges(numbers: Sequence[int]) -> str:
    """Rising whole numbers, those that follow each other as their ends: 0–4, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def count_text(counts: Counts) -> str:
    """A sweep, and how many of its trials have ended, and how."""
    parts = [f"{counts.completed} of {counts.trials} trials completed"]
    for state in ("diverged", "failed", "blocked", "stopped", "missing"):
        if getattr(counts, state):
            parts.append(f"{getattr(counts, state)} {state}")
    name = f"{counts.name} ({counts.sweep_id})" if counts.sweep_id else counts.name
    return f"{name}: {', '.join(parts)}"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _decimal(number: float, decimals: int) -> str:
    text = f"{round(number, decimals):.{max(0, decimals)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _key(place: Mapping[str, Any]) -> str:
    return json.dumps(dict(place))


def _values(key: str) -> tuple[str, ...]:
    return tuple(map(value_text, json.loads(key).values()))


def _styled(grid: Grid, cell: Cell | None) -> Text:
    if cell is None:
        return Text("–")
    text = f"{format_interval(cell.interval)}{grid.suffix(cell)} {mark(cell) or ' '}"
    return Text(text, style="bold" if cell.best else "")


def mark(cell: Cell) -> str:
    """`*` at the best of its metric, `≈` where a test finds it not significantly worse."""
    return "*" if cell.best else "≈" if cell.as_good else ""
