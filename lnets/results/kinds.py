"""Ready-made tables, whose metrics follow from what the trials have measured."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Literal

from lnets.errors import SpecError
from lnets.results.tables import Sign, Table, better
from lnets.specs.search import ObjectiveSpec
from lnets.specs.spec import show
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
) -> Table:
    """A table of a kind: a row for each configuration that a layout tells apart.

    Args:
        kind: `wasserstein`, `robustness`, `speed`, or `pareto`: the configurations that no other
            is better than in one objective without being worse in another.
        layout: What names configurations.
        metrics: Those that the trials have.
        objectives: Of `pareto`, two or more.
        make: Makes the table of a layout.

    Raises:
        SpecError: If the trials have no metric of this kind, or there are not two objectives.
    """
    named = layout.rows + layout.columns
    if kind == "robustness":
        named = tuple(dict.fromkeys([*named, "certificate.norm"]))
    values = _values(kind, metrics, objectives)
    if not values:
        raise SpecError(
            f"--kind {kind}: these trials have no metric of this kind, got "
            f"{show(sorted(metrics))}; name another kind, or name metrics with --values"
        )
    table = make(TableSpec(rows=named, values=values))
    if kind == "pareto":
        return _not_dominated(table, [_sign(metric, objectives) for metric in values])
    return table


def _values(
    kind: Kind, metrics: Collection[str], objectives: Sequence[ObjectiveSpec]
) -> tuple[str, ...]:
    if kind == "robustness":
        at = sorted((name for name in metrics if "_accuracy@" in name), key=_by_epsilon)
        found = ["clean_accuracy", *at, "lipschitz_upper_bound"]
        return tuple(name for name in found if name in metrics) if at else ()
    if kind == "pareto":
        values = tuple(dict.fromkeys(objective.metric for objective in objectives))
        if len(values) < 2:
            raise SpecError(
                f"--kind pareto: needs two objectives or more, got {show(values)}; name metrics "
                "with --values, or `objectives` under `algorithm` of the sweep"
            )
        return values
    return tuple(name for name in _VALUES[kind] if name in metrics)


def _by_epsilon(metric: str) -> tuple[float, str]:
    """Rising in epsilon; adversarial before certified."""
    numerator, _, denominator = metric.rpartition("@")[2].partition("/")
    try:
        return float(numerator) / float(denominator or 1), metric
    except (ValueError, ZeroDivisionError):
        return float("inf"), metric


def _sign(metric: str, objectives: Sequence[ObjectiveSpec]) -> Sign:
    sign = better(metric, objectives)
    assert sign is not None, "an objective has a direction"
    return sign


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
    front = {
        row: point
        for row, point in points.items()
        if not any(_dominates(other, point) for other in points.values())
    }
    order = sorted(front, key=lambda row: front[row], reverse=True)
    kept = [cell for cell in table.cells if str(dict(cell.row)) in front]
    kept.sort(key=lambda cell: order.index(str(dict(cell.row))))
    note = (
        f"{len(front)} of {len(means)} configurations are not dominated: no other has a better "
        f"mean of one of {', '.join(metrics)} and no worse one of the others"
    )
    return replace(table, cells=tuple(kept), notes=(note,))


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)
