"""Answers from sweeps of a store: tables, comparisons, and what differs between specs."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lnets.errors import NotFoundError, SpecError
from lnets.results.cells import SWEEP
from lnets.results.compare import Sides, compare, differing
from lnets.results.kinds import Kind, ready_made
from lnets.results.query import Database, connect
from lnets.results.records import SweepTrials
from lnets.results.selected import Selected, names_of_needs
from lnets.results.statistics import Test
from lnets.results.store import Store
from lnets.results.tables import Table, better, make_table
from lnets.specs.identity import canonical_json, resolved_json
from lnets.specs.load import load_experiment, load_sweep
from lnets.specs.metrics import KNOWN, find_metric
from lnets.specs.overrides import paths_in
from lnets.specs.search import ObjectiveSpec
from lnets.specs.spec import nearest, show
from lnets.specs.sweep import TableSpec
from lnets.sweep.overview import find_sweep, is_file, submissions
from lnets.sweep.plan import make_plan


def table_of(
    store: Store,
    named: Sequence[str],
    *,
    rows: str | None = None,
    columns: str | None = None,
    values: str | None = None,
    where: str | None = None,
    kind: Kind | None = None,
    test: Test = "wilcoxon",
) -> Table:
    """Compare sweeps, in the layout of the first unless another is given.

    Args:
        store: Where results are.
        named: Names or ids of sweeps in the store, or sweep files.
        rows: Configuration paths, or `sweep`, separated by commas; without `columns`, there are
            none then.
        columns: The same.
        values: Metrics, separated by commas.
        where: An SQL expression on the columns of `trials`; others are left out.
        kind: A ready-made table instead of the sweep's own.
        test: By which cells are compared with the best.

    Raises:
        NotFoundError: If the store has no such sweep, or no trial of them fulfils `where`.
        SpecError: If a metric or path does not exist, or `where` is no such expression.
    """
    found = [find_sweep(store, name) for name in named]
    sweeps = [trials for trials, _ in found]
    specs = [spec for _, spec in found]
    selected = Selected.of(connect(store), sweeps)
    if where is not None:
        keys_where(selected.database, where, sweeps)
    layout = layout_of(selected, specs, rows=rows, columns=columns, values=values)
    metrics = selected.metrics() if kind else ()
    objectives = objectives_of(specs[0])

    def make(asked: TableSpec) -> Table:
        return make_table(selected, asked, objectives=objectives, where=where, test=test)

    if kind is None:
        return make(layout)
    if kind == "pareto" and values is not None:
        objectives = [_objective(metric, objectives) for metric in layout.values]
    elif values is not None:
        raise SpecError(f"--kind {kind}: has its own metrics; leave out --values, or --kind")
    norms = [path for path in ("certificate.norm", "norm") if selected.has_path(path)]
    return ready_made(kind, layout, metrics, objectives, make, norms)


def layout_of(
    selected: Selected,
    specs: Sequence[dict[str, Any]],
    *,
    rows: str | None = None,
    columns: str | None = None,
    values: str | None = None,
) -> TableSpec:
    """The layout of the first of some sweeps, changed by what a person asks for.

    Args:
        selected: The trials of the sweeps.
        specs: The resolved sweeps as data.
        rows: Configuration paths, or `sweep`, separated by commas; without `columns`, there are
            none then.
        columns: The same.
        values: Metrics, separated by commas.

    Raises:
        SpecError: If a metric or path does not exist.
    """
    layout = TableSpec.model_validate_json(json.dumps(specs[0]["table"]))
    if rows is not None and columns is None:
        columns = ""  # another question than the file's: its columns may name the new rows
    given = {"rows": _parts(rows), "columns": _parts(columns), "values": _parts(values)}
    changes = {part: names for part, names in given.items() if names is not None}
    layout = layout.model_copy(update=changes)
    if changes:
        bases = [spec["experiment"] for spec in specs]
        _check_layout(layout, changes, selected, selected.metrics(), bases)
    return layout


def compare_of(
    store: Store,
    named: Sequence[str],
    where: Sequence[str],
    *,
    values: str | None = None,
    test: Test = "wilcoxon",
) -> Sides:
    """Compare two sets of trials.

    Args:
        store: Where results are.
        named: Sweeps by name, id or file; configurations by how their keys begin.
        where: SQL expressions on the columns of `trials`, each of which is a side.
        values: Metrics, separated by commas; None: all.
        test: Of ranks or of the values themselves.

    Raises:
        NotFoundError: If there is no such sweep or configuration, or no such trial.
        SpecError: If there are not two sides, a side has no completed trial, or a metric does not
            exist.
    """
    if len(named) + len(where) != 2:
        got = [*named, *where]
        raise SpecError(
            f"compare: needs two sides, got {len(got)}; name two sweeps or configurations, or give "
            "--where for each that is not named"
        )
    database = connect(store)
    found = [_side(store, database, name) for name in named]
    sides = [side for side, _ in found]
    for condition in where:
        keys = keys_where(database, condition)
        sides.append(SweepTrials("", condition, tuple(sorted(keys))))
    specs = [spec for _, spec in found if spec is not None]
    spec = differing(*specs) if len(specs) == 2 else {}
    names = names_of_needs([*sides, *_sweeps_with(store, sides)])
    metrics = _parts(values) or ()
    return compare(database, *sides, spec=spec, names=names, metrics=metrics, test=test)


def keys_where(
    database: Database, condition: str, sweeps: Sequence[SweepTrials] | None = None
) -> set[str]:
    """Keys of the trials for which an SQL expression on the columns of `trials` holds.

    Args:
        database: A store.
        condition: The expression.
        sweeps: Of which there must be one at least; None: of the store.

    Raises:
        NotFoundError: If there is none.
        SpecError: If it is no such expression.
    """
    found = set(database.keys_where(condition).to_pylist())
    if sweeps is None:
        among, there = "the store", found
    else:
        among = ", ".join(f"`{sweep.name}`" for sweep in sweeps)
        there = found.intersection(key for sweep in sweeps for key in sweep.trial_keys)
    if not there:
        raise NotFoundError(
            f"--where: no trial of {among} fulfils {show(condition)}; `lnets-sweep query` shows "
            "what there is"
        )
    return there


def diff_of(folder: Path, a: str, b: str) -> dict[str, tuple[Any, Any]]:
    """Paths in which two specs differ, defaults filled in, and both values.

    Args:
        folder: The store, which need not be there if both are files.
        a: A sweep by name, id or file, or the file of an experiment.
        b: Another.

    Raises:
        NotFoundError: If the store has no such sweep.
        SpecError: If a file has mistakes.
    """
    return differing(_spec(folder, a), _spec(folder, b))


def _spec(folder: Path, name: str) -> dict[str, Any]:
    if not is_file(name):
        return find_sweep(Store(folder), name)[1]
    try:
        plan = make_plan(load_sweep(Path(name)))
    except SpecError as error:
        if [problem.path for problem in error.problems] != ["task"]:
            raise
        return json.loads(canonical_json(load_experiment(Path(name))))
    return json.loads(resolved_json(plan.sweep, plan.needs))


def _sweeps_with(store: Store, sides: Sequence[SweepTrials]) -> Iterator[SweepTrials]:
    """The store's sweeps that have some trial of these."""
    keys = {key for side in sides for key in side.trial_keys}
    sweeps = map(SweepTrials.of, submissions(store))
    return (sweep for sweep in sweeps if not keys.isdisjoint(sweep.trial_keys))


def _side(store: Store, database: Database, name: str) -> tuple[SweepTrials, dict[str, Any] | None]:
    """A sweep with its spec, or a configuration by how its key begins."""
    try:
        return find_sweep(store, name)
    except NotFoundError:
        if not re.fullmatch(r"[0-9a-f]{4,64}", name):
            raise
    keys: dict[str, list[str]] = {}
    for config_key, trial_key in database.connection.execute(
        "SELECT config_key, trial_key FROM stored WHERE starts_with(config_key, ?) "
        "GROUP BY ALL ORDER BY ALL",
        [name],
    ).fetchall():
        keys.setdefault(config_key, []).append(trial_key)
    if not keys:
        raise NotFoundError(
            f"{store.root}: no sweep `{name}`, and no configuration whose key begins so; "
            "`lnets-sweep query` lists keys"
        )
    if len(keys) > 1:
        shown = ", ".join(key[:16] for key in list(keys)[:5])
        raise SpecError(
            f"{len(keys)} configurations have keys that begin with `{name}`: {shown}; write more"
        )
    [(config_key, trial_keys)] = keys.items()
    return SweepTrials("", config_key[:12], tuple(trial_keys)), None


def objectives_of(spec: dict[str, Any]) -> list[ObjectiveSpec]:
    """What is best in a sweep: as it says, else the first of its table's metrics that has a better.

    Args:
        spec: The resolved sweep as data.
    """
    stated = [ObjectiveSpec(**one) for one in spec["algorithm"].get("objectives", ())]
    if stated:
        return stated
    directed = [metric for metric in spec["table"]["values"] if better(metric) is not None]
    return [_objective(metric, ()) for metric in directed[:1]]


def _objective(metric: str, objectives: Sequence[ObjectiveSpec]) -> ObjectiveSpec:
    match better(metric, objectives):
        case 1:
            return ObjectiveSpec(maximize=metric)
        case -1:
            return ObjectiveSpec(minimize=metric)
    raise SpecError(
        f"--kind pareto: `{metric}` is no objective, because neither large nor small is better; "
        "name others with --values"
    )


def _parts(given: str | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return tuple(name.strip() for name in given.split(",") if name.strip())


def _check_layout(
    layout: TableSpec,
    changed: dict[str, tuple[str, ...]],
    selected: Selected,
    metrics: Sequence[str],
    bases: Sequence[dict[str, Any]],
) -> None:
    paths = (*layout.rows, *layout.columns)
    for name, parts in (("--rows and --columns", paths), ("--values", layout.values)):
        if len(set(parts)) < len(parts):
            raise SpecError(f"{name}: must name each once, got {', '.join(parts)}")
    for part in ("rows", "values"):
        if not getattr(layout, part):
            raise SpecError(f"--{part}: must name one at least")
    for metric in changed.get("values", ()):
        known = metric in metrics if metrics else find_metric(metric) is not None
        if not known:
            hint = nearest(metric, metrics or KNOWN)
            raise SpecError(f"--values: no trial has a metric `{metric}`; {hint}")
    in_bases = {path for base in bases for path in paths_in(base)}
    for path in paths:
        if path not in in_bases and path != SWEEP and not selected.has_path(path):
            hint = nearest(path, sorted({*selected.database.paths, *in_bases}))
            part = "rows" if path in layout.rows else "columns"
            raise SpecError(f"--{part}: no trial has a field `{path}`; {hint}")
