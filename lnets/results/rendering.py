"""Comparison tables as a person reads them: rounded numbers, names, marks, and a footer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lnets.results.cells import Place, rising
from lnets.results.records import KEY_DIGITS, short_commit
from lnets.results.selected import Counts
from lnets.results.statistics import BOOTSTRAP_FROM, SIGNIFICANT, Interval, seeds_needed
from lnets.results.tables import Cell, Source, Table, Tests
from lnets.specs.references import TrialReference
from lnets.specs.spec import many, show

MADE_BY = "made by: "
"""What a footer's last line begins with; a command follows."""

_MOST_DECIMALS = 12
_TESTS = {
    "wilcoxon": ("Wilcoxon's signed-rank test", "Wilcoxon's rank-sum test"),
    "permutation": ("the permutation test of signs", "the permutation test of groups"),
}


@dataclass(frozen=True)
class Column:
    """One column of numbers."""

    place: Mapping[str, str]
    """The values that name it, by path; none where all columns are of the same trials."""
    metric: str

    @property
    def heading(self) -> str:
        """What names its trials, with the paths that it comes from."""
        return _equations(self.place)


@dataclass(frozen=True)
class Grid:
    """A table as it stands on a page."""

    rows: tuple[str, ...]
    """Headings of the columns that name the rows."""
    columns: tuple[Column, ...]
    body: tuple[tuple[tuple[str, ...], tuple[Cell | None, ...]], ...]
    """Of each row the values that name it, and its cells."""
    common_n: int | None
    """The number of seeds behind every cell; None where it differs."""

    @classmethod
    def of(cls, table: Table) -> "Grid":
        """Lay a table out."""
        places = list(dict.fromkeys(_key(cell.column) for cell in table.cells))
        if table.drawn:
            texts: dict[Place, str] = {
                tuple(map(json.dumps, json.loads(key).values())): key for key in places
            }
            places = [texts[place] for place in rising(texts)]
        rows = list(dict.fromkeys(_key(cell.row) for cell in table.cells))
        found = {(_key(cell.row), _key(cell.column), cell.metric): cell for cell in table.cells}
        numbers = {cell.interval.n for cell in table.cells}
        columns = [(place, metric) for place in places for metric in table.layout.values]
        names = _names(places) | _names(rows)
        return cls(
            rows=table.layout.rows,
            columns=tuple(
                Column(dict(zip(table.layout.columns, names[place], strict=True)), metric)
                for place, metric in columns
            ),
            body=tuple(
                (names[row], tuple(found.get((row, *column)) for column in columns)) for row in rows
            ),
            common_n=numbers.pop() if len(numbers) == 1 else None,
        )

    def suffix(self, cell: Cell) -> str:
        """The number of seeds, where it is not the same everywhere."""
        return "" if self.common_n is not None else f" (n={cell.interval.n})"


def rounded(interval: Interval) -> tuple[str, str | None]:
    """A mean and the half width of its interval: two digits of the latter, as many of the former.

    Returns:
        Both as decimal numbers; the half width is None where there is no interval, or all values
        are the same.
    """
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.4g}", None
    if _alike(interval):
        return f"{interval.mean:.6g}", None
    half = (interval.high - interval.low) / 2
    decimals = 1 - int(f"{half:.1e}".partition("e")[2])
    if decimals > _MOST_DECIMALS:
        return f"{interval.mean:.2g}", f"{half:.2g}"
    return _decimal(interval.mean, decimals), _decimal(half, decimals)


def format_interval(interval: Interval) -> str:
    """A mean ± the half width of its interval, rounded to what means something."""
    mean, half = rounded(interval)
    return mean if half is None else f"{mean} ± {half}"


def footer(table: Table, command: str = "", *, best: str = "*") -> list[str]:
    """What a reader must know of the numbers, in some lines.

    Args:
        table: The numbers.
        command: What made it.
        best: What marks the best.
    """
    lines = _about_numbers([cell.interval for cell in table.cells], best)
    lines += _about(table.tests, [cell.interval.n for cell in table.cells])
    if table.averaged:
        lines.append(f"cells average over {', '.join(table.averaged)}")
    if table.uneven:
        lack = "lacks" if table.uneven == 1 else "lack"
        lines.append(
            f"{many(table.uneven, 'place')} of this table {lack} configurations for some seeds"
        )
    for metric, number in table.left_out.items():
        lines.append(f"without a finite {metric}, and left out of it: {many(number, 'trial')}")
    so_far = " so far" if any(counts.missing for counts in table.sweeps) else ""
    lines += [
        f"{winner.objective}{so_far}: {place_text(winner.cell)} "
        f"({format_interval(winner.cell.interval)})"
        for winner in table.winners
    ]
    lines += [*table.notes, *map(count_text, table.sweeps), _origin(table.source)]
    return [*filter(None, lines), *([f"{MADE_BY}{command}"] if command else [])]


def few_seeds(seeds: int, comparisons: int) -> str:
    """That no test of so many seeds can find a difference, and how many seeds might."""
    return (
        f"{many(seeds, 'seed')} {'is' if seeds == 1 else 'are'} too few to call any difference "
        f"significant; {seeds_needed(comparisons)} could be enough"
    )


def value_text(value: Any) -> str:
    """A configuration's value, as it stands in a specification."""
    return value if isinstance(value, str) else show(value)


def short_text(value: Any) -> str:
    """A configuration's value, numbers and keys as short as tells configurations apart."""
    if isinstance(value, str) and TrialReference(value).is_key:
        return value[:KEY_DIGITS]
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def place_text(cell: Cell) -> str:
    """What names a cell's row and column."""
    return _equations({p: short_text(value) for p, value in {**cell.row, **cell.column}.items()})


def _about_numbers(intervals: Sequence[Interval], best: str) -> list[str]:
    if not intervals:
        return ["no completed trial is in this table"]
    numbers = [interval.n for interval in intervals]
    fewest, most = min(numbers), max(numbers)
    if most == 1:
        return [f"one seed each (n = 1), so no interval and no test; {best} best of its metric"]
    over = f"n = {most}" if fewest == most else "n"
    kind = "t" if most < BOOTSTRAP_FROM else "bootstrap"
    if fewest < BOOTSTRAP_FROM <= most:
        kind = f"t (bootstrap where n ≥ {BOOTSTRAP_FROM})"
    alike = ", none where all are the same" if any(map(_alike, intervals)) else ""
    return [f"mean ± 95% {kind} interval over {over} seeds{alike}; {best} best mean of its metric"]


def _about(tests: Tests, numbers: Sequence[int]) -> list[str]:
    most = max(numbers, default=0)
    if most < 2:
        return []
    lines = []
    paired, unpaired = _TESTS[tests.test]
    if tests.least_p_value is not None:
        name = unpaired if tests.unpaired == tests.comparisons else f"{paired}, paired by seed"
        how = f"{name}; Holm over {many(tests.comparisons, 'comparison')}"
        if tests.telling:
            lines.append(f"≈ not significantly worse than the best: p ≥ {SIGNIFICANT} ({how})")
        else:
            lines.append(f"{few_seeds(tests.seeds, tests.comparisons)} ({how})")
    if 0 < tests.unpaired < tests.comparisons:
        number = many(tests.unpaired, "comparison")
        lines.append(f"not paired, because seeds differ, but by {unpaired}: {number}")
    elif tests.unpaired:
        lines.append("not paired, because seeds differ")
    if tests.partly:
        lines.append(f"paired by those seeds that both have: {many(tests.partly, 'comparison')}")
    if tests.untested:
        lines.append(f"too few seeds for a test: {many(tests.untested, 'cell')}")
    if 1 in numbers:
        lines.append("one seed alone (n=1) is not called the best of cells that have more")
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


def _alike(interval: Interval) -> bool:
    """Whether all of several values are the same, but for rounding."""
    low, high = interval.low, interval.high
    return low is not None and high is not None and high - low <= abs(interval.mean) * 2e-12


def _decimal(number: float, decimals: int) -> str:
    text = f"{round(number, decimals):.{max(0, decimals)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _key(place: Mapping[str, Any]) -> str:
    return json.dumps(dict(place))


def _names(keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The values of some places; all digits of numbers where fewer do not tell places apart."""
    places = {key: json.loads(key).values() for key in keys}
    short = {key: tuple(map(short_text, values)) for key, values in places.items()}
    if len(set(short.values())) == len(short):
        return short
    return {key: tuple(map(value_text, values)) for key, values in places.items()}


def _equations(place: Mapping[str, str]) -> str:
    return ", ".join(f"{path} = {text}" for path, text in place.items())


def mark(cell: Cell) -> str:
    """`*` at the best of its metric, `≈` where a test finds it not significantly worse."""
    return "*" if cell.best else "≈" if cell.as_good else ""
