"""SQL over a store: configuration paths and metrics as ordinary columns."""

import json
from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lnets.errors import SpecError
from lnets.results.store import Store
from lnets.specs.spec import show

_ATTEMPT_THAT_COUNTS = """
    CREATE TEMP VIEW trials AS SELECT * FROM attempts
    QUALIFY row_number() OVER (
        PARTITION BY trial_key ORDER BY status NOT IN ('completed', 'diverged'), attempt DESC
    ) = 1
"""


def connect(store: Store) -> duckdb.DuckDBPyConnection:
    """A read-only database over a store.

    It holds `trials` (of each trial the attempt that counts), `attempts` (every attempt), `curves`
    and `sweeps`. In the first two every configuration path (`"model.activation"`) and every
    metric is a column.
    """
    database = duckdb.connect(":memory:")
    database.register("attempts", _widened(store.table("trials")))
    database.register("curves", store.table("curves"))
    database.register("sweeps", store.table("sweeps"))
    database.execute(_ATTEMPT_THAT_COUNTS)
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET enable_external_access = false")
    database.execute("SET python_enable_replacements = false")
    database.execute("SET lock_configuration = true")
    return database


def run_query(store: Store, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one SELECT.

    Returns:
        Column names and rows.

    Raises:
        SpecError: If the text is not one SELECT, or DuckDB refuses it.
    """
    database = connect(store)
    try:
        sql.encode()
        statements = database.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise SpecError(
                f"A query must be one SELECT statement, got {show(sql)}; the store is read-only."
            )
        # Through Arrow, because DuckDB's own rows need one more library for times with zones.
        relation = database.sql(statements[0])
        assert relation is not None, "a SELECT has a result"
        table = relation.to_arrow_table()
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise SpecError(f"The query cannot be run: {error}") from None
    columns = [column.to_pylist() for column in table.columns]
    return _distinct(table.column_names), list(zip(*columns, strict=True))


def _distinct(names: list[str]) -> list[str]:
    """Column names, those that repeat numbered."""
    return [
        name if names.index(name) == i else f"{name}_{names[:i].count(name)}"
        for i, name in enumerate(names)
    ]


def mean_train_seconds(store: Store) -> dict[str, float]:
    """Mean training time of the completed trials of each configuration, by configuration key."""
    trials = store.table("trials", ["config_key", "status", "train_seconds"])
    completed = trials.filter(pc.field("status") == "completed")
    means = completed.group_by("config_key").aggregate([("train_seconds", "mean")])
    return dict(zip(*(means[name].to_pylist() for name in means.column_names), strict=True))


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


def _widened(trials: pa.Table) -> pa.Table:
    """The table `trials` with a column per configuration path and per metric."""
    for column, separate in (("config", flatten), ("metrics", dict)):
        # Seeds share a configuration, so most texts repeat.
        parsed = {text: separate(json.loads(text)) for text in trials[column].unique().to_pylist()}
        rows = [parsed[text] for text in trials[column].to_pylist()]
        for name in dict.fromkeys(name for row in parsed.values() for name in row):
            if name not in trials.column_names:
                trials = trials.append_column(name, _column(row.get(name) for row in rows))
    return trials


def _column(values: Iterable[Any]) -> pa.Array:
    """Values of one type as such, of several as JSON texts."""
    listed = list(values)
    kinds = {float if type(value) is int else type(value) for value in listed if value is not None}
    if len(kinds) == 1 and kinds <= {float, str, bool}:
        return pa.array(listed)
    texts = [None if value is None else json.dumps(value) for value in listed]
    return pa.array(texts, pa.string())
