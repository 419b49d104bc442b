"""SQL that gives a store's configurations and metrics columns of their own."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pyarrow as pa

from lnets.results.records import TRIALS

_BATCH = 8192
# What it is computed from, and how.
_DERIVED = {"seconds_per_step": ("steps_per_second", "1 / measured.steps_per_second")}


def split_configurations(attempts: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The table `trials` with a number for each configuration's text, and the texts by number."""
    encoded = attempts["config"].dictionary_encode().unify_dictionaries()
    texts = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], pa.string())
    numbers = pa.chunked_array([chunk.indices for chunk in encoded.chunks], pa.int32())
    column = attempts.column_names.index("config")
    attempts = attempts.set_column(column, "configuration", numbers)
    numbered = {"configuration": pa.array(range(len(texts)), pa.int32()), "config": texts}
    return _in_batches(attempts), _in_batches(pa.table(numbered))


def _in_batches(table: pa.Table) -> pa.Table:
    """The same table for several threads: DuckDB reads each batch by one."""
    return pa.Table.from_batches(table.to_batches(max_chunksize=_BATCH), table.schema)


def field_kinds(structures: Iterable[str]) -> dict[str, Any]:
    """Names and types of configurations' fields, sections as dictionaries.

    Args:
        structures: As DuckDB's `json_structure` gives them.
    """
    kinds: dict[str, Any] = {}
    for structure in structures:
        found = json.loads(structure)
        kinds = _merged(kinds, found if isinstance(found, dict) else {})
    return kinds


def _merged(a: Any, b: Any) -> Any:
    """The type of values that are of one type or of another."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {name: _merged(a.get(name, "NULL"), b.get(name, "NULL")) for name in {**a, **b}}
    kinds = [kind if isinstance(kind, str) and kind else "JSON" for kind in (a, b)]
    some = {"BIGINT" if kind == "UBIGINT" else kind for kind in kinds} - {"NULL"}
    if isinstance(a, dict) and b == "NULL":
        return a
    if isinstance(b, dict) and a == "NULL":
        return _merged({}, b)
    if some == {"BIGINT", "DOUBLE"}:
        return "DOUBLE"
    return some.pop() if len(some) == 1 else "JSON" if some else "NULL"


def configurations_table(kinds: dict[str, Any]) -> str:
    """The statement that makes a table with a column for each field of the configurations."""
    fields = [f"{_field(path, kind)} AS {quote(path)}" for path, kind in flatten(kinds).items()]
    parsed = f"from_json(config, {literal(json.dumps(_known(kinds) or 'JSON'))}) AS parsed"
    columns = ", ".join(["configuration", "config", *fields])
    return (
        f"CREATE TEMP TABLE configurations AS SELECT {columns} "
        f"FROM (SELECT *, {parsed} FROM stored_configurations)"
    )


def _known(kinds: dict[str, Any]) -> dict[str, Any]:
    """Without fields that are null everywhere."""
    known = {
        name: _known(kind) if isinstance(kind, dict) else kind
        for name, kind in kinds.items()
        if kind != "NULL"
    }
    return {name: kind for name, kind in known.items() if kind}


def _field(path: str, kind: str) -> str:
    if kind == "NULL":
        return "NULL::VARCHAR"
    field = ".".join(["parsed", *map(quote, path.split("."))])
    return f"CAST({field} AS VARCHAR)" if kind == "JSON" else field


def derived_metrics(metrics: Collection[str]) -> tuple[str, ...]:
    """What `measured_view` computes from stored metrics."""
    return tuple(
        name for name, (source, _) in _DERIVED.items() if source in metrics and name not in metrics
    )


def measured_view(name: str, source: str, metrics: Sequence[str]) -> str:
    """The statement that makes a view of stored rows with their metrics as a structure.

    Args:
        name: Of the view, without `measured_`.
        source: What rows are from.
        metrics: Those that are stored.
    """
    kinds = literal(json.dumps(dict.fromkeys(metrics, "DOUBLE") or "JSON"))
    parsed = f"SELECT *, from_json(metrics, {kinds}) AS measured FROM {source}"
    more = ", ".join(f"{metric} := {_DERIVED[metric][1]}" for metric in derived_metrics(metrics))
    if more:
        parsed = f"SELECT * REPLACE (struct_insert(measured, {more}) AS measured) FROM ({parsed})"
    return f"CREATE TEMP VIEW measured_{name} AS {parsed}"


def trials_view(name: str, paths: Iterable[str], metrics: Iterable[str]) -> str:
    """The statement that makes a view of the table `trials` with a column for each name."""
    kept = [path for path in paths if path not in TRIALS.names]
    columns = [f"{'c' if name == 'config' else 'm'}.{name}" for name in TRIALS.names]
    columns += [f"c.{quote(path)}" for path in kept]
    columns += [
        f"m.measured.{quote(metric)} AS {quote(metric)}"
        for metric in metrics
        if metric not in (*TRIALS.names, *kept)
    ]
    return (
        f"CREATE TEMP VIEW {name} AS SELECT {', '.join(columns)} "
        f"FROM measured_{name} AS m JOIN configurations AS c USING (configuration)"
    )


def flatten(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path and value of every leaf of a configuration."""
    flat: dict[str, Any] = {}
    for name, value in section.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def at_path(config: Any, path: str) -> Any:
    """What stands at a path; None where a configuration has no such field."""
    for part in path.split("."):
        if not isinstance(config, dict) or part not in config:
            return None
        config = config[part]
    return config


def json_path(path: str) -> str:
    """A configuration path as an SQL literal for DuckDB's JSON functions."""
    return literal("$" + "".join(f'."{part}"' for part in path.split(".")))


def quote(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"
