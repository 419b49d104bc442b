"""Trials of a store by their place in a table, with a value per seed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lnets.results.query import Database
from lnets.results.selected import Selected
from lnets.results.views import json_path, literal, quote

SWEEP = "sweep"
"""What names a sweep where rows and columns are named by configuration paths."""

_COMMITS = "SELECT DISTINCT commit FROM chosen ORDER BY commit"

Place = tuple[str | None, ...]
"""Values as JSON texts; None where a configuration has no such field."""
Values = dict[int, float]
"""A metric by seed; the mean where several configurations share a place."""


@dataclass(frozen=True)
class Placed:
    """Completed trials by place."""

    values: Mapping[Place, Mapping[str, Values]]
    """Of each place, in the order of the sweeps, each metric that some trial has; where one of them
    has drawn its configurations, in rising order."""
    seeds: tuple[int, ...]
    averaged: tuple[str, ...]
    """Configuration paths that differ inside a place, over which it averages."""
    uneven: int
    """Places in which seeds differ in how many configurations they have."""
    left_out: Mapping[str, int]
    """Metrics that some trials of a place lack, and how many do."""
    commits: tuple[str | None, ...]
    """Of the code that ran the trials."""


def place_trials(
    selected: Selected, paths: Sequence[str], metrics: Sequence[str], where: str | None = None
) -> Placed:
    """Group the selected trials that have completed.

    Args:
        selected: The trials.
        paths: Configuration paths, and `sweep`, whose values are a place.
        metrics: What to read.
        where: An SQL expression that trials must fulfil as well.

    Raises:
        SpecError: If it is no such expression.
    """
    database = selected.database
    connection = database.connection
    connection.execute(_choice(selected, paths, metrics))
    if where is not None:
        connection.register("kept", pa.table({"trial_key": database.keys_where(where)}))
        connection.execute("DELETE FROM chosen WHERE trial_key NOT IN (FROM kept)")
    rows = connection.execute(_by_place(len(paths), len(metrics))).fetchall()
    values: dict[Place, dict[str, Values]] = {}
    left_out = dict.fromkeys(metrics, 0)
    for _, _, seeds, *rest in rows:
        place, means, lacking = rest[: len(paths)], rest[len(paths) :: 2], rest[len(paths) + 1 :: 2]
        here = values.setdefault(tuple(place), {})
        for metric, of_seeds, without in zip(metrics, means, lacking, strict=True):
            found = {s: v for s, v in zip(seeds, of_seeds, strict=True) if v is not None}
            if found:
                here[metric] = found
                left_out[metric] += without
    if any(sweep.drawn for sweep in selected.sweeps):
        values = {place: values[place] for place in rising(values)}
    return Placed(
        values=values,
        seeds=tuple(sorted({seed for row in rows for seed in row[2]})),
        averaged=_varying(database, len(paths)),
        uneven=sum(row[1] for row in rows),
        left_out={metric: number for metric, number in left_out.items() if number},
        commits=tuple(row[0] for row in connection.execute(_COMMITS).fetchall()),
    )


def rising(places: Iterable[Place]) -> list[Place]:
    """Places by the values at their first path, then the next.

    Where these are numbers they rise, others stay in the order in which they come; none is last.
    """
    places = list(places)
    orders = [
        {text: i for i, text in enumerate(_rising(texts))} for texts in zip(*places, strict=True)
    ]
    return sorted(
        places, key=lambda place: [of[text] for of, text in zip(orders, place, strict=True)]
    )


def _rising(texts: Sequence[str | None]) -> list[str | None]:
    values = {text: json.loads(text or "null") for text in texts}
    numbers = all(value is None or type(value) in (int, float) for value in values.values())

    def rank(text: str | None) -> tuple[bool, float]:
        value = values[text]
        return value is None, value if numbers and value is not None else 0.0

    return sorted(values, key=rank)


def placed_configurations(selected: Selected) -> list[dict[str, Any]]:
    """The configurations of the trials that `place_trials` has placed."""
    texts = selected.database.connection.execute(
        "SELECT config FROM configurations SEMI JOIN chosen USING (configuration) "
        "ORDER BY configuration"
    ).fetchall()
    return [json.loads(text) for (text,) in texts]


def _choice(selected: Selected, paths: Sequence[str], metrics: Sequence[str]) -> str:
    """The statement that makes a table of the selected trials that have completed."""
    by_sweep = SWEEP in paths
    names = f"[{', '.join(literal(sweep.name) for sweep in selected.sweeps)}]"
    named = [
        f"{'NULL' if path == SWEEP else f'config->{json_path(path)}'} AS path_{i}"
        for i, path in enumerate(paths)
    ]
    columns = [
        f"{f'to_json({names}[of + 1])' if path == SWEEP else f'path_{i}'} AS place_{i}"
        for i, path in enumerate(paths)
    ]
    known = selected.database.metrics
    columns += [
        f"{f'measured.{quote(metric)}' if metric in known else 'NULL::DOUBLE'} AS metric_{i}"
        for i, metric in enumerate(metrics)
    ]
    columns += ["trial_key", "position", "seed", "commit", "configuration"]
    columns.append(f"{'of' if by_sweep else '0'} AS part")
    return (
        f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT {', '.join(columns)} FROM selected "
        f"JOIN (SELECT {', '.join(['configuration', *named])} FROM configurations) "
        f"USING (configuration) WHERE status = 'completed' {'' if by_sweep else 'AND first'}"
    )


def _by_place(num_paths: int, num_metrics: int) -> str:
    """A row per place: position, whether seeds differ in trials, seeds, place, means per metric."""
    places = [f"place_{i}" for i in range(num_paths)]
    means = [
        f"favg(metric_{i}) FILTER (isfinite(metric_{i})) AS mean_{i}, "
        f"count(*) - count(*) FILTER (isfinite(metric_{i})) AS without_{i}"
        for i in range(num_metrics)
    ]
    by_seed = ["min(position) AS position", "count(*) AS trials", "seed", *places, *means]
    of_seeds = [
        f"list(mean_{i} ORDER BY seed), sum(without_{i})::BIGINT" for i in range(num_metrics)
    ]
    columns = ["max(trials) > min(trials)", "list(seed ORDER BY seed)", *places, *of_seeds]
    return (
        f"SELECT min(position) AS first_position, {', '.join(columns)} "
        f"FROM (SELECT {', '.join(by_seed)} FROM chosen GROUP BY ALL) "
        "GROUP BY ALL HAVING count(*) > 0 ORDER BY first_position"
    )


def _varying(database: Database, num_paths: int) -> tuple[str, ...]:
    """Paths whose values differ between configurations of one place."""
    places = [f"place_{i}" for i in range(num_paths)]
    once = [f"any_value({place}) AS {place}" for place in places]
    differ = [
        f"min({column}) IS DISTINCT FROM max({column}) OR count({column}) NOT IN (0, count(*)) "
        f"AS differ_{i}"
        for i, column in enumerate(map(quote, database.leaves))
    ]
    outside = ", ".join(f"bool_or(differ_{i})" for i in range(len(database.leaves)))
    if not database.leaves:
        return ()
    [found] = database.connection.execute(
        f"SELECT {outside} FROM (SELECT {', '.join([*places, *differ])} FROM "
        f"(SELECT {', '.join(['configuration', *once])} FROM chosen GROUP BY configuration, part) "
        "JOIN configurations USING (configuration) GROUP BY ALL)"
    ).fetchall()
    return tuple(path for path, differs in zip(database.leaves, found, strict=True) if differs)
