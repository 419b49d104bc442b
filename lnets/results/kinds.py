"""Ready-made tables, whose metrics follow from what the trials have measured."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from lnets.errors import SpecError
from lnets.results.tables import Sign, Table, better
from lnets.specs.metrics import CERTIFIED
from lnets.specs.search import ObjectiveSpec
from lnets.specs.spec import many, show
from lnets.specs.sweep import TableSpec

Kind = Literal["wasserstein", "robustness", "speed", "pareto"]

_VALUES = {
    "wasserstein": (
        "wasserstein_estimate",
        "wasserstein_lower_bound",
        "wasserstein_exact",
        "tightness",
        "lipschitz_upper_bound",
        "train_seconds",
    ),
    "speed": (
        "seconds_per_step",
        "steps_per_second",
        "images_per_second",
        "train_seconds",
        "peak_memory",
    ),
}


def ready_made(
    kind: Kind,
    layout: TableSpec,
    metrics: Collection[str],
    objectives: Sequence[ObjectiveSpec],
    make: Callable[[TableSpec], Table],
    norms: Sequence[str] = (),
) -> Table:
    """A table of a kind: a row for each configuration that a layout tells apart.

    Args:
        kind: `wasserstein`, `robustness`, `speed`, or `pareto`: the configurations that no other
            is better than in one objective without being worse in another.
        layout: What names configurations.
        metrics: Those that the trials have.
        objectives: Of `pareto`, two or more.
        make: Makes the table of a layout.
        norms: Of `robustness`, the paths in configurations that have norms of perturbations.

    Raises:
        SpecError: If the trials have no metric of this kind, or there are not two objectives.
    """
    named = layout.rows + layout.columns
    if kind == "robustness":
        named = tuple(dict.fromkeys([*named, *norms]))
    values = values_of(kind, metrics, objectives)
    if not values and kind == "pareto":
        raise SpecError(
            f"--kind pareto: needs two objectives or more, got {show(_several(objectives))}; name "
            "metrics with --values, or `objectives` under `algorithm` of the sweep"
        )
    if not values:
        raise SpecError(
            f"--kind {kind}: these trials have no metric of this kind, got "
            f"{show(sorted(metrics))}; name another kind, or name metrics with --values"
        )
    table = make(TableSpec(rows=named, values=values))
    if kind == "pareto":
        return _not_dominated(table, [_sign(metric, objectives) for metric in values])
    return _with_uncertified(table) if kind == "robustness" else table


def values_of(
    kind: Kind, metrics: Collection[str], objectives: Sequence[ObjectiveSpec]
) -> tuple[str, ...]:
    """The metrics in a table of a kind; none where there is no such table of these trials."""
    if kind == "robustness":
        at = sorted(
            (name for name in metrics if "_accuracy@" in name),
            key=lambda name: (epsilon_of(name), name),  # adversarial before certified
        )
        found = ["clean_accuracy", *at, "lipschitz_upper_bound"]
        return tuple(name for name in found if name in metrics) if at else ()
    if kind == "pareto":
        values = _several(objectives)
        return values if len(values) > 1 else ()
    if kind == "wasserstein" and "wasserstein_estimate" not in metrics:
        return ()
    return tuple(name for name in _VALUES[kind] if name in metrics)


def _several(objectives: Sequence[ObjectiveSpec]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(objective.metric for objective in objectives))


def epsilon_of(metric: str) -> float:
    """The size of the perturbations that a metric is of: 0.1 of `certified_accuracy@0.1`.

    Returns:
        Infinity where its name ends in no size.
    """
    numerator, _, denominator = metric.rpartition("@")[2].partition("/")
    try:
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        return float("inf")


def not_dominated(points: Mapping[str, Sequence[float]]) -> list[str]:
    """The points that no other is as good as in all and better than in one coordinate.

    Args:
        points: By name, larger coordinates being better.

    Returns:
        Their names, the best in the first coordinate first.
    """
    front: list[str] = []
    for name in sorted(points, key=lambda name: tuple(points[name]), reverse=True):
        if not any(_dominates(points[other], points[name]) for other in front):
            front.append(name)
    return front


def _sign(metric: str, objectives: Sequence[ObjectiveSpec]) -> Sign:
    sign = better(metric, objectives)
    assert sign is not None, "an objective has a direction"
    return sign


def _with_uncertified(table: Table) -> Table:
    """The table with a note if it has rows that are attacked, and certified of nothing."""
    found: dict[str, set[str]] = {}
    for cell in table.cells:
        if "@" in cell.metric:
            kind = "certified" if cell.metric.startswith(CERTIFIED) else "attacked"
            found.setdefault(str(dict(cell.row)), set()).add(kind)
    uncertified = sum(kinds == {"attacked"} for kinds in found.values())
    if not uncertified:
        return table
    note = (
        f"{uncertified} of {len(found)} configurations have no certified accuracies: they are "
        "attacked in a norm in which their classifier is not certified, or faithful to the "
        "original, of whose networks nothing is proven"
    )
    return replace(table, notes=(*table.notes, note))


def _not_dominated(table: Table, signs: Sequence[Sign]) -> Table:
    """The table without rows that another is better than, by the means of all its metrics."""
    means: dict[str, dict[str, float]] = {}
    for cell in table.cells:
        means.setdefault(str(dict(cell.row)), {})[cell.metric] = cell.interval.mean
    metrics = table.layout.values
    points = {
        row: tuple(sign * found[metric] for sign, metric in zip(signs, metrics, strict=True))
        for row, found in means.items()
        if len(found) == len(metrics)
    }
    front = not_dominated(points)
    kept = [cell for cell in table.cells if str(dict(cell.row)) in front]
    kept.sort(key=lambda cell: front.index(str(dict(cell.row))))
    note = (
        f"{len(front)} of {many(len(means), 'configuration')} {'is' if len(front) == 1 else 'are'} "
        f"not dominated: no other has a better "
        f"mean of one of {', '.join(metrics)} and no worse one of the others"
    )
    return replace(table, cells=tuple(kept), notes=(note,))


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)
