"""Comparison tables: configurations as rows and columns, means with intervals over seeds."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from lnets.results.query import flatten
from lnets.results.records import FINISHED, SweepTrials
from lnets.results.statistics import Interval, mean_interval
from lnets.results.store import Store
from lnets.specs.metrics import find_metric
from lnets.specs.spec import show
from lnets.specs.sweep import TableSpec


@dataclass(frozen=True)
class Cell:
    """One metric of the trials that share a row and a column."""

    row: Mapping[str, Any]
    column: Mapping[str, Any]
    metric: str
    interval: Interval
    best: bool
    """Whether its mean is the best of the metric in the whole table."""


@dataclass(frozen=True)
class Counts:
    """How many trials of a sweep have ended, and how."""

    sweep_id: str
    name: str
    trials: int
    completed: int
    diverged: int
    failed: int
    blocked: int
    stopped: int

    @property
    def missing(self) -> int:
        """Trials that have not ended."""
        ended = self.completed + self.diverged + self.failed + self.blocked + self.stopped
        return self.trials - ended


@dataclass(frozen=True)
class Table:
    """Cells, and what a reader must know of where they come from."""

    layout: TableSpec
    cells: tuple[Cell, ...]
    sweeps: tuple[Counts, ...]
    averaged: tuple[str, ...]
    """Configuration paths that differ inside a cell, over which it averages."""

    def to_json(self) -> dict[str, Any]:
        """Plain data: `{"sweeps": […], "cells": […]}`."""
        cells = [
            {
                "row": dict(cell.row),
                "column": dict(cell.column),
                "metric": cell.metric,
                **asdict(cell.interval),
                "best": cell.best,
            }
            for cell in self.cells
        ]
        sweeps = [{**asdict(counts), "missing": counts.missing} for counts in self.sweeps]
        return {"sweeps": sweeps, "cells": cells}


def trials_that_count(store: Store, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each trial the attempt that counts, by trial key; `config` and `metrics` are parsed.

    Args:
        store: Where to look.
        keys: Trials to look for.
    """
    wanted = set(keys)
    found: dict[str, dict[str, Any]] = {}
    columns = ["trial_key", "status", "error", "attempt", "seed", "config", "metrics"]
    for row in store.table("trials", columns).to_pylist():
        key = row["trial_key"]
        if key in wanted and (key not in found or _rank(row) > _rank(found[key])):
            parsed = {name: json.loads(row[name]) for name in ("config", "metrics")}
            found[key] = row | parsed
    return found


def count(store: Store, sweep: SweepTrials) -> Counts:
    """How many trials of a sweep have ended, and how."""
    rows = trials_that_count(store, sweep.trial_keys)
    return _counts(sweep, [row["status"] for row in rows.values()])


def make_table(store: Store, sweeps: Sequence[SweepTrials], layout: TableSpec) -> Table:
    """Compare the completed trials of some sweeps; the keys of trials that they need have names.

    Args:
        store: Where the trials are.
        sweeps: What to compare.
        layout: Which configuration paths name rows and columns, and which metrics are compared.
    """
    keys = [key for sweep in sweeps for key in sweep.trial_keys]
    rows = trials_that_count(store, keys)
    names = _names_of_needs(sweeps)
    groups: dict[str, list[tuple[dict[str, Any], dict[str, float]]]] = {}
    for key in dict.fromkeys(keys):
        if key in rows and rows[key]["status"] == "completed":
            config = _named(rows[key]["config"], names) if names else rows[key]["config"]
            place = json.dumps([[_at(config, path) for path in part] for part in _axes(layout)])
            groups.setdefault(place, []).append((config, rows[key]["metrics"]))
    cells = [
        cell
        for place, members in groups.items()
        for cell in _cells(json.loads(place), [metrics for _, metrics in members], layout)
    ]
    counts = [
        _counts(sweep, [rows[key]["status"] for key in sweep.trial_keys if key in rows])
        for sweep in sweeps
    ]
    configs = [[flatten(config) for config, _ in members] for members in groups.values()]
    return Table(layout, _with_best(cells), tuple(counts), _varying(configs))


def render(table: Table, *, title: str = "") -> RichTable:
    """The table for a terminal; of one metric, which is then named above it, a matrix."""
    columns = list(dict.fromkeys(json.dumps(dict(cell.column)) for cell in table.cells))
    rows = list(dict.fromkeys(json.dumps(dict(cell.row)) for cell in table.cells))
    found = {
        (json.dumps(dict(cell.row)), json.dumps(dict(cell.column)), cell.metric): cell
        for cell in table.cells
    }
    common = _common_n(table)
    matrix = bool(table.layout.columns) and len(table.layout.values) == 1
    if matrix:
        title = f"{title}: {table.layout.values[0]}" if title else table.layout.values[0]
    rendered = RichTable(title=title or None, title_justify="left")
    for path in table.layout.rows:
        rendered.add_column(path)
    for column in columns:
        heading = ", ".join(_plain(value) for value in json.loads(column).values())
        for metric in table.layout.values:
            text = heading if matrix else f"{heading}\n{metric}".strip()
            rendered.add_column(text, justify="right", overflow="fold")
    for row in rows:
        texts = [
            _text(found.get((row, column, metric)), common)
            for column in columns
            for metric in table.layout.values
        ]
        rendered.add_row(*(_plain(value) for value in json.loads(row).values()), *texts)
    return rendered


def footer(table: Table) -> str:
    """What a reader must know of the numbers, in a line or two."""
    n = _common_n(table)
    if n == 1:
        lines = ["one seed each (n = 1), so no interval; * best of its metric"]
    else:
        over = "n" if n is None else f"n = {n}"
        lines = [f"mean ± 95% t interval over {over} trials; * best mean of its metric"]
    if table.averaged:
        lines.append(f"cells average over {', '.join(table.averaged)}")
    for counts in table.sweeps:
        parts = [f"{counts.completed} of {counts.trials} trials completed"]
        for state in ("diverged", "failed", "blocked", "stopped", "missing"):
            if getattr(counts, state):
                parts.append(f"{getattr(counts, state)} {state}")
        lines.append(f"{counts.name} ({counts.sweep_id}): {', '.join(parts)}")
    return "\n".join(lines)


def format_interval(interval: Interval) -> str:
    """A mean and the half width of its interval, rounded to the two digits that mean something."""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.4g}"
    half = (interval.high - interval.low) / 2
    if half <= abs(interval.mean) * 1e-12:
        return f"{interval.mean:.6g} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(half)))
    return f"{interval.mean:.{decimals}f} ± {half:.{decimals}f}"


def _axes(layout: TableSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return layout.rows, layout.columns


def _at(config: Any, path: str) -> Any:
    """What stands at a path; None where this configuration has no such field."""
    for part in path.split("."):
        if not isinstance(config, dict) or part not in config:
            return None
        config = config[part]
    return config


def _names_of_needs(sweeps: Sequence[SweepTrials]) -> dict[str, str]:
    """A name for the key of each needed trial; with the key where several have the same."""
    names: dict[str, str] = {}
    for sweep in sweeps:
        for name, key in sweep.needs.items():
            names.setdefault(key, name)
    every = list(names.values())
    return {
        key: name if every.count(name) == 1 else f"{name} ({key[:12]})"
        for key, name in names.items()
    }


def _named(value: Any, names: Mapping[str, str]) -> Any:
    """A configuration with names instead of keys."""
    if isinstance(value, dict):
        return {field: _named(inner, names) for field, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def _cells(
    place: list[list[Any]], metrics: Sequence[Mapping[str, float]], layout: TableSpec
) -> list[Cell]:
    row, column = (
        dict(zip(paths, values, strict=True))
        for paths, values in zip(_axes(layout), place, strict=True)
    )
    return [
        Cell(row, column, metric, mean_interval(values), False)
        for metric in layout.values
        if (values := [trial[metric] for trial in metrics if metric in trial])
    ]


def _with_best(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    best: dict[str, float] = {}
    for cell in cells:
        metric = find_metric(cell.metric)
        better = None if metric is None else metric.better
        if better is not None:
            pick = max if better == "higher" else min
            mean = cell.interval.mean
            best[cell.metric] = pick(best.get(cell.metric, mean), mean)
    return tuple(
        Cell(cell.row, cell.column, cell.metric, cell.interval, True)
        if best.get(cell.metric) == cell.interval.mean
        else cell
        for cell in cells
    )


def _varying(groups: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[str, ...]:
    """Paths whose values differ between configurations of one group."""
    varying: dict[str, None] = {}
    for configs in groups:
        for path in dict.fromkeys(path for config in configs for path in config):
            if any(config.get(path) != configs[0].get(path) for config in configs):
                varying[path] = None
    return tuple(varying)


def _counts(sweep: SweepTrials, statuses: Sequence[str]) -> Counts:
    return Counts(
        sweep.sweep_id,
        sweep.name,
        len(sweep.trial_keys),
        *map(statuses.count, ("completed", "diverged", "failed", "blocked", "stopped")),
    )


def _rank(row: Mapping[str, Any]) -> tuple[bool, int]:
    return row["status"] in FINISHED, row["attempt"]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else show(value)


def _common_n(table: Table) -> int | None:
    """The number of trials behind every cell; None where it differs."""
    numbers = {cell.interval.n for cell in table.cells}
    return numbers.pop() if len(numbers) == 1 else None


def _text(cell: Cell | None, common_n: int | None) -> Text:
    if cell is None:
        return Text("–")
    text = format_interval(cell.interval)
    if common_n is None:
        text += f" (n={cell.interval.n})"
    return Text(f"{text} *", style="bold") if cell.best else Text(f"{text}  ")
