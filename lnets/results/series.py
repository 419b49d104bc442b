"""What is drawn as lines with bands: learning curves over seeds, and accuracy by perturbation."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtrit

from lnets.results.groups import Group
from lnets.results.kinds import epsilon_of
from lnets.results.query import Database

_MOST_POINTS = 200
_REACH = 0.5
_CLEAN = "clean_accuracy"
_AT = "_accuracy@"
# Trials of one seed are averaged first, as in tables.
_CURVES = """
    SELECT part, metric, step, avg(value) AS mean, stddev_samp(value) AS deviation, count(*) AS n
    FROM (
        SELECT part, metric, step, seed, avg(value) AS value
        FROM curves JOIN drawn USING (trial_key)
        WHERE isfinite(value) AND metric <> 'epoch' AND NOT contains(metric, '_singular_value@')
        GROUP BY ALL
    ) GROUP BY ALL ORDER BY part, metric, step
"""

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """A line of means over seeds, with 95% intervals."""

    x: Floats
    mean: Floats
    low: Floats
    """NaN where one seed gives no interval."""
    high: Floats
    n: int
    """Seeds, where there are most."""


def learning_curves(database: Database, groups: Sequence[Group]) -> dict[str, dict[int, Band]]:
    """Learning curves of completed trials, by metric and by the number of the group.

    Intervals are Student's t. Long curves are thinned out evenly, their ends kept.

    Args:
        database: With a selection.
        groups: Of its trials.
    """
    drawn = [(i, trial) for i, group in enumerate(groups) for trial in group.completed]
    columns = {
        "part": pa.array([i for i, _ in drawn], pa.int32()),
        "trial_key": pa.array([trial.trial_key for _, trial in drawn], pa.string()),
        "seed": pa.array([trial.seed for _, trial in drawn], pa.int64()),
    }
    database.connection.register("drawn", pa.table(columns))
    found = database.connection.execute(_CURVES).fetchnumpy()
    parts, metrics = found["part"], found["metric"].astype(str)
    changes = (parts[1:] != parts[:-1]) | (metrics[1:] != metrics[:-1])
    starts = [0, *(np.flatnonzero(changes) + 1), len(parts)]
    curves: dict[str, dict[int, Band]] = {}
    for start, end in itertools.pairwise(starts):
        if start < end:
            points = min(end - start, _MOST_POINTS)
            kept = np.unique(np.linspace(start, end - 1, points).round().astype(int))
            band = _band(
                *(_floats(found[name][kept]) for name in ("step", "mean", "deviation", "n"))
            )
            curves.setdefault(str(metrics[start]), {})[int(parts[start])] = band
    return curves


def accuracy_by_epsilon(group: Group) -> dict[str, Band]:
    """Accuracies of a group's trials by the size of perturbations, clean ones at 0.

    Returns:
        By kind: `certified`, `adversarial`, and the names of single attacks.
    """
    names = dict.fromkeys(name for trial in group.completed for name in trial.metrics)
    sizes: dict[str, dict[float, str]] = {}
    for name in names:
        kind, at, _ = name.partition(_AT)
        if at:
            sizes.setdefault(kind, {})[epsilon_of(name)] = name
    bands = {}
    for kind, metrics in sizes.items():
        if _CLEAN in names:
            metrics[0.0] = _CLEAN
        bands[kind] = _band_of(group, dict(sorted(metrics.items())))
    return bands


def readable_range(
    values: Iterable[float], ends: Iterable[float], *, log: bool = False
) -> tuple[float, float] | None:
    """An axis that is not flattened by wide intervals, as two seeds often have.

    Args:
        values: What is to be read, finite; positive if `log`.
        ends: Of intervals around them; NaN where there are none.
        log: Whether the axis is logarithmic.

    Returns:
        From where to where, half as far again as the values at most on each side (logarithms if
        `log`); None where the intervals reach no farther.
    """
    inner, outer = np.array(list(values)), np.array(list(ends))
    outer = outer[np.isfinite(outer)]
    if not len(inner) or not len(outer):
        return None
    if log:
        inner, outer = np.log10(inner), np.log10(np.maximum(outer, np.finfo(float).tiny))
    reach = _REACH * (inner.max() - inner.min())
    low, high = inner.min() - reach, inner.max() + reach
    if reach == 0 or (low <= outer.min() and outer.max() <= high):
        return None
    return float(max(low, outer.min())), float(min(high, outer.max()))


def norm_of(group: Group) -> str:
    """The norm in which a group's perturbations are measured; empty where there is none."""
    config = group.config
    return config.get("norm") or (config.get("certificate") or {}).get("norm") or ""


def _band_of(group: Group, metrics: Mapping[float, str]) -> Band:
    intervals = {size: group.interval(name) for size, name in metrics.items()}
    rows = [(size, one.mean, one.low, one.high, one.n) for size, one in intervals.items() if one]
    x, mean, low, high, n = (_floats(np.array(column)) for column in zip(*rows, strict=True))
    return Band(x, mean, low, high, int(n.max()))


def _band(x: Floats, mean: Floats, deviation: Floats, n: Floats) -> Band:
    half = stdtrit(np.maximum(n - 1, 1), 0.975) * deviation / np.sqrt(n)
    return Band(x, mean, mean - half, mean + half, int(n.max()))


def _floats(values: np.ndarray) -> Floats:
    """Numbers, and NaN for what is missing."""
    return np.asarray(np.ma.filled(values.astype(float), np.nan))
