"""Comparison tables: configurations as rows and columns, means with intervals over seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from lnets.results.cells import Placed, place_trials
from lnets.results.records import FINISHED
from lnets.results.selected import Counts, Selected, names_of_needs, with_names
from lnets.results.statistics import (
    SIGNIFICANT,
    Comparison,
    Interval,
    Test,
    compare_with,
    holm,
    mean_interval,
)
from lnets.results.store import Store
from lnets.specs.metrics import find_metric
from lnets.specs.search import ObjectiveSpec
from lnets.specs.sweep import TableSpec

Sign = Literal[1, -1]


@dataclass(frozen=True)
class Cell:
    """One metric of the trials that share a row and a column."""

    row: Mapping[str, Any]
    column: Mapping[str, Any]
    metric: str
    interval: Interval
    best: bool = False
    """Whether its mean is the best of the metric in the whole table. One of a single seed is not,
    where others have more."""
    as_good: bool = False
    """Whether it is another than the best, and a test that could have found it significantly worse
    does not."""
    p_value: float | None = None
    """Of its difference from the best, adjusted for all of the table's comparisons."""
    seeds: Mapping[int, float] = field(default_factory=dict)
    """The value of each seed."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        place = {"row": dict(self.row), "column": dict(self.column), "metric": self.metric}
        test = {"as_good": self.as_good, "p_value": self.p_value}
        return {**place, **asdict(self.interval), "best": self.best, **test}


@dataclass(frozen=True)
class Tests:
    """How cells were compared with the best of their metric."""

    test: Test
    comparisons: int
    unpaired: int
    """Comparisons whose seeds differ, so that all values were compared with all."""
    partly: int
    """Comparisons by those seeds alone that both cells have."""
    untested: int
    """Cells of one seed, which nothing can be said of."""
    seeds: int
    """In the comparison that has most."""
    least_p_value: float | None
    """The smallest that it could have had, whatever the numbers, before it is adjusted."""

    @property
    def telling(self) -> bool:
        """Whether any of the comparisons could have been significant."""
        least = self.least_p_value
        return least is not None and self.comparisons * least < SIGNIFICANT


@dataclass(frozen=True)
class Winner:
    """The best place of a table by one objective."""

    objective: str
    """`maximize` or `minimize`, and the metric."""
    cell: Cell


@dataclass(frozen=True)
class Source:
    """Where a table's numbers come from."""

    seeds: tuple[int, ...]
    commits: tuple[str | None, ...]
    """Of the code that ran the trials."""
    version: int | None
    """Of the store's table `trials`."""
    where: str | None = None
    """Which trials were kept, as SQL."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"seeds": list(self.seeds), "commits": list(self.commits)}


@dataclass(frozen=True)
class Table:
    """Cells, and what a reader must know of where they come from."""

    layout: TableSpec
    cells: tuple[Cell, ...]
    sweeps: tuple[Counts, ...]
    averaged: tuple[str, ...]
    """Configuration paths that differ inside a cell, over which it averages."""
    uneven: int
    """Cells whose seeds differ in how many configurations they average over."""
    left_out: Mapping[str, int]
    """Metrics that some trials of a cell lack, and how many do."""
    tests: Tests
    winners: tuple[Winner, ...]
    source: Source
    drawn: bool = False
    """Whether rows and columns are in rising order, since that of draws says nothing."""
    notes: tuple[str, ...] = ()
    """What else a reader must know."""

    def to_json(self) -> dict[str, Any]:
        """Plain data: `{"sweeps": […], "cells": […], …}`."""
        sweeps = [{**asdict(counts), "missing": counts.missing} for counts in self.sweeps]
        return {
            "sweeps": sweeps,
            "cells": [cell.to_json() for cell in self.cells],
            "winners": [
                {"objective": winner.objective, **winner.cell.to_json()} for winner in self.winners
            ],
            "averaged": list(self.averaged),
            "tests": asdict(self.tests),
            "source": self.source.to_json(),
        }


def trials_that_count(store: Store, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each trial the attempt that counts, by trial key; `config` and `metrics` are parsed.

    Args:
        store: Where to look.
        keys: Trials to look for.
    """
    columns = ["trial_key", "status", "error", "attempt", "seed", "config", "metrics"]
    rows = store.table("trials", columns)
    wanted = rows.filter(pc.is_in(rows["trial_key"], pa.array(list(keys), pa.string())))
    found: dict[str, dict[str, Any]] = {}
    for row in wanted.to_pylist():
        key = row["trial_key"]
        if key not in found or _rank(row) > _rank(found[key]):
            found[key] = row
    for row in found.values():
        row |= {name: json.loads(row[name]) for name in ("config", "metrics")}
    return found


def make_table(
    selected: Selected,
    layout: TableSpec,
    *,
    objectives: Sequence[ObjectiveSpec] = (),
    where: str | None = None,
    test: Test = "wilcoxon",
) -> Table:
    """Compare the completed trials of some sweeps; the keys of trials that they need have names.

    Args:
        selected: The trials.
        layout: Which configuration paths name rows and columns, and which metrics are compared.
        objectives: Which way metrics are better, where they say so, and by what a winner is named.
        where: An SQL expression on the columns of `trials`; others are left out.
        test: By which cells are compared with the best.

    Raises:
        SpecError: If `where` is no such expression.
    """
    metrics = tuple(dict.fromkeys([*layout.values, *(one.metric for one in objectives)]))
    placed = place_trials(selected, (*layout.rows, *layout.columns), metrics, where)
    signs = {name: sign for name in metrics if (sign := better(name, objectives)) is not None}
    cells = _with_best(_cells(placed, layout, metrics, names_of_needs(selected.sweeps)), signs)
    shown, tests = _tested([cell for cell in cells if cell.metric in layout.values], signs, test)
    return Table(
        layout=layout,
        cells=tuple(shown),
        sweeps=tuple(selected.counts()),
        averaged=placed.averaged,
        uneven=placed.uneven,
        left_out={name: n for name, n in placed.left_out.items() if name in layout.values},
        tests=tests,
        winners=tuple(
            Winner(f"{'maximize' if one.maximize else 'minimize'} {one.metric}", cell)
            for one in objectives
            for cell in cells
            if cell.metric == one.metric and cell.best
        ),
        source=Source(placed.seeds, placed.commits, selected.database.version, where),
        drawn=any(sweep.drawn for sweep in selected.sweeps),
    )


def better(metric: str, objectives: Sequence[ObjectiveSpec] = ()) -> Sign | None:
    """1 where a metric should be large, −1 where small; None if neither is known to be better.

    Args:
        metric: Its name.
        objectives: What a sweep says.
    """
    for objective in objectives:
        if objective.metric == metric:
            return 1 if objective.maximize else -1
    known = find_metric(metric)
    if known is None or known.better is None:
        return None
    return 1 if known.better == "higher" else -1


def _cells(
    placed: Placed, layout: TableSpec, metrics: Sequence[str], names: Mapping[str, str]
) -> list[Cell]:
    cells = []
    for place, values in placed.values.items():
        named = [None if text is None else with_names(json.loads(text), names) for text in place]
        row = dict(zip(layout.rows, named, strict=False))
        column = dict(zip(layout.columns, named[len(layout.rows) :], strict=True))
        cells += [
            Cell(row, column, name, mean_interval(list(values[name].values())), seeds=values[name])
            for name in metrics
            if name in values
        ]
    return cells


def _with_best(cells: Sequence[Cell], signs: Mapping[str, Sign]) -> list[Cell]:
    """Mark the best of each metric; a single seed is no match for means of several."""
    several = {cell.metric for cell in cells if cell.interval.n > 1}
    best: dict[str, float] = {}
    for cell in cells:
        if cell.metric in signs and (cell.interval.n > 1 or cell.metric not in several):
            value = signs[cell.metric] * cell.interval.mean
            best[cell.metric] = max(best.get(cell.metric, value), value)
    return [
        replace(
            cell,
            best=signs.get(cell.metric, 1) * cell.interval.mean == best.get(cell.metric)
            and (cell.interval.n > 1 or cell.metric not in several),
        )
        for cell in cells
    ]


def _tested(
    cells: Sequence[Cell], signs: Mapping[str, Sign], test: Test
) -> tuple[list[Cell], Tests]:
    """Compare every cell with the best of its metric."""
    found: dict[int, Comparison | None] = {}
    seeds: dict[int, int] = {}
    for metric in signs:
        indices = [i for i, cell in enumerate(cells) if cell.metric == metric]
        best = next((cells[i] for i in indices if cells[i].best), None)
        if best is not None:
            others = [i for i in indices if cells[i] is not best]
            against = [cells[i].seeds for i in others]
            found |= dict(zip(others, compare_with(best.seeds, against, test), strict=True))
            seeds |= {i: max(len(best.seeds), len(cells[i].seeds)) for i in others}
    tested = {i: one for i, one in found.items() if one is not None}
    adjusted = dict(zip(tested, holm([one.p_value for one in tested.values()]), strict=True))
    tests = Tests(
        test=test,
        comparisons=len(tested),
        unpaired=sum(not one.paired for one in tested.values()),
        partly=sum(one.paired and one.n < seeds[i] for i, one in tested.items()),
        untested=len(found) - len(tested),
        seeds=max((one.n for one in tested.values()), default=0),
        least_p_value=min((one.least_p_value for one in tested.values()), default=None),
    )
    return [
        replace(
            cell,
            p_value=adjusted.get(i),
            as_good=not cell.best
            and i in tested
            and tests.telling
            and tested[i].least_p_value < SIGNIFICANT <= adjusted[i],
        )
        for i, cell in enumerate(cells)
    ], tests


def _rank(row: Mapping[str, Any]) -> tuple[bool, int]:
    return row["status"] in FINISHED, row["attempt"]
