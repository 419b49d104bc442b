"""The trials of some sweeps, as a table in DuckDB that everything about them is asked of."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lnets.results.query import Database
from lnets.results.records import KEY_DIGITS, SweepTrials
from lnets.results.views import json_path, quote

_SELECTED = """
    CREATE OR REPLACE TEMP TABLE selected AS
    SELECT wanted.*, status, seed, commit, config_key, configuration, train_seconds, measured
    FROM wanted JOIN measured_trials USING (trial_key)
"""
_SECONDS = """SELECT of, sum(train_seconds) FROM selected
GROUP BY of HAVING sum(train_seconds) IS NOT NULL"""


ENDINGS = ("completed", "diverged", "failed", "blocked", "stopped")
"""How trials end, as `Counts` counts them."""


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
        return self.trials - sum(getattr(self, ending) for ending in ENDINGS)


@dataclass(frozen=True)
class Selected:
    """Trials of some sweeps that have ended; a database has one selection at a time."""

    database: Database
    sweeps: tuple[SweepTrials, ...]

    @classmethod
    def of(cls, database: Database, sweeps: Sequence[SweepTrials]) -> "Selected":
        """Select all trials of some sweeps."""
        keys = pa.array([key for sweep in sweeps for key in sweep.trial_keys], pa.string())
        numbers = keys.dictionary_encode().indices.to_numpy()
        first = np.zeros(len(keys), bool)
        # A trial of several sweeps counts once.
        first[np.unique(numbers, return_index=True)[1]] = True
        of = np.repeat(np.arange(len(sweeps)), [len(sweep.trial_keys) for sweep in sweeps])
        wanted = {"trial_key": keys, "position": np.arange(len(keys)), "of": of, "first": first}
        database.connection.register("wanted", pa.table(wanted))
        database.connection.execute(_SELECTED)
        return cls(database, tuple(sweeps))

    def counts(self) -> list[Counts]:
        """How many trials of each sweep have ended, and how."""
        ended = self.database.connection.execute(
            "SELECT of, status, count(*) FROM selected GROUP BY ALL"
        ).fetchall()
        found = {(of, status): number for of, status, number in ended}
        return [
            Counts(
                sweep.sweep_id,
                sweep.name,
                len(sweep.trial_keys),
                *(found.get((i, status), 0) for status in ENDINGS),
            )
            for i, sweep in enumerate(self.sweeps)
        ]

    def train_seconds(self) -> dict[int, float]:
        """Seconds that the trials of each sweep took, by its number; whichever sweep ran them."""
        return dict(self.database.connection.execute(_SECONDS).fetchall())

    def best_configuration(
        self, sweep: int, metric: str, sign: int
    ) -> tuple[float, dict[str, Any]] | None:
        """The best mean over seeds of a sweep, and the configuration that has it.

        One seed alone is the best of others only where none of them has more.

        Args:
            sweep: Its number.
            metric: What is compared.
            sign: 1 where it should be large, −1 where small.

        Returns:
            None where no trial has the metric.
        """
        if metric not in self.database.metrics:
            return None
        column = f"measured.{quote(metric)}"
        found = self.database.connection.execute(
            f"SELECT mean, config FROM (SELECT config_key, favg({column}) AS mean, "
            "any_value(configuration) AS configuration FROM selected "
            f"WHERE of = ? AND status = 'completed' AND isfinite({column}) "
            "GROUP BY config_key "
            "ORDER BY count(DISTINCT seed) = 1, ? * mean DESC, config_key LIMIT 1) "
            "JOIN configurations USING (configuration)",
            [sweep, sign],
        ).fetchall()
        return (found[0][0], json.loads(found[0][1])) if found else None

    def metrics(self) -> tuple[str, ...]:
        """Every metric that some of the trials have."""
        names = self.database.metrics
        if not names:
            return ()
        present = ", ".join(f"count(measured.{quote(name)})" for name in names)
        [numbers] = self.database.connection.execute(f"SELECT {present} FROM selected").fetchall()
        return tuple(name for name, number in zip(names, numbers, strict=True) if number)

    def has_path(self, path: str) -> bool:
        """Whether some of the trials have a field or section."""
        if path not in self.database.paths:
            return False
        [(found,)] = self.database.connection.execute(
            f"SELECT bool_or(json_exists(config, {json_path(path)})) FROM configurations "
            "SEMI JOIN selected USING (configuration)"
        ).fetchall()
        return bool(found)


def names_of_needs(sweeps: Iterable[SweepTrials]) -> dict[str, str]:
    """A name for the key of each trial that sweeps need; with the key where several have it."""
    names: dict[str, str] = {}
    for sweep in sweeps:
        for name, key in sweep.needs.items():
            names.setdefault(key, name)
    every = Counter(names.values())
    return {
        key: name if every[name] == 1 else f"{name} ({key[:KEY_DIGITS]})"
        for key, name in names.items()
    }


def with_names(value: Any, names: Mapping[str, str]) -> Any:
    """What stands in a configuration, with names instead of the keys of trials."""
    if isinstance(value, dict):
        return {field: with_names(inner, names) for field, inner in value.items()}
    if isinstance(value, list):
        return [with_names(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value
