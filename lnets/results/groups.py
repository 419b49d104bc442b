"""The trials of a sweep by what they share: a configuration, or a place in a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lnets.results.rendering import short_text
from lnets.results.selected import Selected, names_of_needs, with_names
from lnets.results.statistics import Interval, mean_interval
from lnets.results.views import at_path, flatten
from lnets.specs.overrides import split_paths, within

_TRIALS = """
    SELECT s.trial_key, s.config_key, s.seed, s.status, t.error, t.started_at, t.device, t.commit,
        s.train_seconds, s.measured, s.configuration
    FROM selected AS s JOIN measured_trials AS t USING (trial_key) WHERE s.first ORDER BY s.position
"""
_CONFIGURATIONS = """SELECT configuration, config FROM configurations
SEMI JOIN selected USING (configuration)"""


@dataclass(frozen=True)
class EndedTrial:
    """A trial of a sweep that has ended."""

    trial_key: str
    seed: int
    status: str
    error: str | None
    started_at: datetime
    train_seconds: float | None
    device: str
    commit: str | None
    metrics: Mapping[str, float]
    """Those that are finite."""


@dataclass(frozen=True)
class Group:
    """Trials that share some values of their configurations."""

    values: Mapping[str, Any]
    """By path; None where the configurations have no such field."""
    config: Mapping[str, Any]
    """The whole configuration of the first of them."""
    trials: tuple[EndedTrial, ...]

    @property
    def label(self) -> str:
        """What tells it from others, in a line."""
        texts = [
            ("" if isinstance(value, str) else f"{path.rpartition('.')[2]}=") + short_text(value)
            for path, value in self.values.items()
            if value is not None
        ]
        return ", ".join(texts) or "all trials"

    @property
    def completed(self) -> tuple[EndedTrial, ...]:
        """The trials that have a result."""
        return tuple(trial for trial in self.trials if trial.status == "completed")

    def by_seed(self, metric: str) -> dict[int, float]:
        """A metric of the completed trials; trials of one seed are averaged."""
        found: dict[int, list[float]] = {}
        for trial in self.completed:
            if metric in trial.metrics:
                found.setdefault(trial.seed, []).append(trial.metrics[metric])
        return {seed: sum(values) / len(values) for seed, values in sorted(found.items())}

    def interval(self, metric: str) -> Interval | None:
        """Mean and interval over seeds; None where no completed trial has the metric."""
        values = list(self.by_seed(metric).values())
        return mean_interval(values) if values else None

    def mean(self, metric: str) -> float | None:
        """Mean over seeds; None where no completed trial has the metric."""
        values = self.by_seed(metric)
        return sum(values.values()) / len(values) if values else None


def configurations(
    selected: Selected, searched: Sequence[str], first_paths: Sequence[str]
) -> list[Group]:
    """The configurations of a selection, by what was searched.

    Args:
        selected: The trials.
        searched: Keys under `search` of their sweep.
        first_paths: Configuration paths that come first where values are listed.
    """
    connection = selected.database.connection
    names = names_of_needs(selected.sweeps)
    configs = {
        number: with_names(json.loads(text), names)
        for number, text in connection.execute(_CONFIGURATIONS).fetchall()
    }
    found = connection.sql(_TRIALS)
    assert found is not None, "a SELECT has a result"
    trials: dict[str, list[EndedTrial]] = {}
    first: dict[str, dict[str, Any]] = {}
    for row in found.to_arrow_table().to_pylist():
        trials.setdefault(row["config_key"], []).append(_trial(row))
        first.setdefault(row["config_key"], configs[row["configuration"]])
    paths = _differing(list(first.values()), searched, first_paths)
    return [
        Group({path: at_path(config, path) for path in paths}, config, tuple(trials[key]))
        for key, config in first.items()
    ]


def merged(groups: Sequence[Group], paths: Sequence[str]) -> list[Group]:
    """Groups by the values at other paths, in the order of their first ones."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        key = json.dumps([at_path(group.config, path) for path in paths])
        found.setdefault(key, []).append(group)
    return [
        Group(
            {path: at_path(alike[0].config, path) for path in paths},
            alike[0].config,
            tuple(trial for group in alike for trial in group.trials),
        )
        for alike in found.values()
    ]


def best_first(groups: Sequence[Group], metric: str, sign: int) -> list[Group]:
    """Groups by the mean of a metric; those of a single seed come later, those that lack it last.

    Args:
        groups: In any order.
        metric: Its name.
        sign: 1 where it should be large, −1 where small.
    """
    found = {id(group): group.by_seed(metric) for group in groups}

    def rank(group: Group) -> tuple[int, float]:
        values = found[id(group)].values()
        if not values:
            return 2, 0.0
        return int(len(values) == 1), -sign * sum(values) / len(values)

    return sorted(groups, key=rank)


def _trial(row: Mapping[str, Any]) -> EndedTrial:
    metrics = (
        row["measured"] if isinstance(row["measured"], dict) else {}
    )  # text, where none has any
    fields = {name: row[name] for name in EndedTrial.__dataclass_fields__ if name in row}
    return EndedTrial(**fields, metrics={n: v for n, v in metrics.items() if _finite(v)})


def _finite(value: Any) -> bool:
    return isinstance(value, float) and value - value == 0


def _types_first(section: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose sections begin with what kind of thing they are."""
    return {
        name: _types_first(section[name]) if isinstance(section[name], dict) else section[name]
        for name in sorted(section, key=lambda name: name != "type")
    }


def _differing(
    configs: Sequence[Mapping[str, Any]], searched: Sequence[str], first: Sequence[str]
) -> list[str]:
    """The searched fields that tell configurations apart; those at or below some paths first."""
    flat = [flatten(_types_first(config)) for config in configs]

    def rank(path: str) -> int:
        return next((i for i, start in enumerate(first) if within(path, start)), len(first))

    leaves = sorted(dict.fromkeys(path for config in flat for path in config), key=rank)
    columns = {path: [json.dumps(config.get(path)) for config in flat] for path in leaves}
    kept: set[str] = set()
    for key in searched:
        known: list[tuple[str, ...]] = [()] * len(flat)
        for path in leaves:  # which change together: only those that tell more than the ones before
            if any(within(path, part) for part in split_paths(key)):
                more = [(*before, text) for before, text in zip(known, columns[path], strict=True)]
                if len(set(more)) > len(set(known)):
                    known = more
                    kept.add(path)
    return [path for path in leaves if path in kept]
