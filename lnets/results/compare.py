"""Two sets of trials beside each other: what differs of them, and by how much."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lnets.errors import SpecError
from lnets.results.cells import Values, place_trials, placed_configurations
from lnets.results.query import Database
from lnets.results.records import SweepTrials
from lnets.results.selected import Counts, Selected, with_names
from lnets.results.statistics import (
    Comparison,
    Interval,
    Test,
    compare_with,
    difference,
    holm,
    mean_interval,
    shared_seeds,
)
from lnets.results.views import flatten
from lnets.specs.spec import nearest


@dataclass(frozen=True)
class Compared:
    """One metric of both sides."""

    metric: str
    a: Interval | None
    """None where no trial of the side has it."""
    b: Interval | None
    difference: Interval | None
    """Of a − b."""
    paired: bool
    """Whether by seed."""
    p_value: float | None
    """Two-sided, adjusted for all metrics; None where there are too few seeds for a test."""
    least_p_value: float | None
    """The smallest that it could have been, whatever the numbers."""
    seeds: Mapping[int, tuple[float | None, float | None]]
    """The values of each seed."""


@dataclass(frozen=True)
class Sides:
    """Two sets of trials, and how they differ."""

    a: Counts
    b: Counts
    spec: Mapping[str, tuple[Any, Any]]
    """Paths in which two sweeps' specs differ, and both values."""
    configurations: Mapping[str, tuple[tuple[Any, ...], tuple[Any, ...]]]
    """Paths in which the configurations differ, and the values on each side."""
    metrics: tuple[Compared, ...]
    test: Test

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        metrics = [
            asdict(one) | {"seeds": {str(seed): list(pair) for seed, pair in one.seeds.items()}}
            for one in self.metrics
        ]
        return {
            "a": asdict(self.a),
            "b": asdict(self.b),
            "spec": [{"path": path, "a": a, "b": b} for path, (a, b) in self.spec.items()],
            "configurations": [
                {"path": path, "a": list(a), "b": list(b)}
                for path, (a, b) in self.configurations.items()
            ],
            "metrics": metrics,
            "test": self.test,
        }


def compare(
    database: Database,
    a: SweepTrials,
    b: SweepTrials,
    *,
    spec: Mapping[str, tuple[Any, Any]] | None = None,
    names: Mapping[str, str] | None = None,
    metrics: Sequence[str] = (),
    test: Test = "wilcoxon",
) -> Sides:
    """Compare the completed trials of two sides, by seed where they have the same seeds.

    Args:
        database: The store that the trials are in.
        a: Some trials; of several configurations the mean is taken.
        b: Others.
        spec: What is known to differ of their sweeps' specs.
        names: What trials that configurations need are called, by key.
        metrics: Those that are compared; all, if none is given.
        test: Of ranks or of the values themselves.

    Raises:
        SpecError: If a side has no completed trial, or both are the same, or no trial has one of
            the metrics.
    """
    if set(a.trial_keys) == set(b.trial_keys):
        raise SpecError(f"{a.name} and {b.name} are the same trials; name two that differ.")
    left, right = _side(database, a), _side(database, b)
    return Sides(
        left.counts,
        right.counts,
        spec=spec or {},
        configurations=_differing(
            *(with_names(side.configurations, names or {}) for side in (left, right))
        ),
        metrics=_compared(*_of(metrics, left.values, right.values), test=test),
        test=test,
    )


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Paths in which two specs differ, and both values; None where one has no such field."""
    left, right = flatten(dict(a)), flatten(dict(b))
    return {
        path: (left.get(path), right.get(path))
        for path in dict.fromkeys([*left, *right])
        if left.get(path) != right.get(path)
    }


@dataclass(frozen=True)
class _Side:
    counts: Counts
    values: Mapping[str, Values]
    configurations: list[dict[str, Any]]


def _side(database: Database, side: SweepTrials) -> _Side:
    selected = Selected.of(database, [side])
    [counts] = selected.counts()
    placed = place_trials(selected, (), selected.metrics())
    if not placed.values:
        raise SpecError(
            f"{side.name}: none of its {len(side.trial_keys)} trials has completed; "
            "`lnets-sweep status` says why"
        )
    return _Side(counts, placed.values[()], placed_configurations(selected))


def _of(metrics: Sequence[str], *sides: Mapping[str, Values]) -> Iterator[Mapping[str, Values]]:
    """The metrics of each side that are asked for."""
    known = {name for values in sides for name in values}
    for name in metrics:
        if name not in known:
            raise SpecError(f"--values: no trial has a metric `{name}`; {nearest(name, known)}")
    for values in sides:
        yield {name: values[name] for name in metrics or values if name in values}


def _compared(
    a: Mapping[str, Values], b: Mapping[str, Values], *, test: Test
) -> tuple[Compared, ...]:
    tests = {name: compare_with(a[name], [b[name]], test)[0] for name in a if name in b}
    found = {name: one.p_value for name, one in tests.items() if one is not None}
    adjusted = dict(zip(found, holm(list(found.values())), strict=True))
    return tuple(
        Compared(
            name,
            mean_interval(list(a[name].values())) if name in a else None,
            mean_interval(list(b[name].values())) if name in b else None,
            difference(a[name], b[name]) if name in tests else None,
            paired=bool(shared_seeds(a.get(name, {}), b.get(name, {}))),
            p_value=adjusted.get(name),
            least_p_value=_least(tests.get(name), len(adjusted)),
            seeds={
                seed: (a.get(name, {}).get(seed), b.get(name, {}).get(seed))
                for seed in sorted({*a.get(name, ()), *b.get(name, ())})
            },
        )
        for name in dict.fromkeys([*a, *b])
    )


def _least(comparison: Comparison | None, comparisons: int) -> float | None:
    return None if comparison is None else min(1.0, comparisons * comparison.least_p_value)


def _differing(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Paths whose values are not the same on both sides."""
    left, right = ([flatten(dict(configuration)) for configuration in side] for side in (a, b))
    found = {}
    for path in dict.fromkeys(path for configuration in [*left, *right] for path in configuration):
        texts = [
            tuple(dict.fromkeys(json.dumps(one.get(path)) for one in side))
            for side in (left, right)
        ]
        if set(texts[0]) != set(texts[1]):
            found[path] = (tuple(map(json.loads, texts[0])), tuple(map(json.loads, texts[1])))
    return found
