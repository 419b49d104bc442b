"""SQL over a store: configuration paths and metrics as ordinary columns."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lnets.errors import SpecError, StoreError, writing
from lnets.results.files import replacing
from lnets.results.store import Store
from lnets.results.views import (
    configurations_table,
    derived_metrics,
    field_kinds,
    flatten,
    measured_view,
    quote,
    split_configurations,
    trials_view,
)
from lnets.specs.overrides import paths_in
from lnets.specs.spec import nearest, show

_THAT_COUNT = """stored SEMI JOIN (
    SELECT trial_key, status, attempt FROM stored QUALIFY row_number() OVER (
        PARTITION BY trial_key ORDER BY status NOT IN ('completed', 'diverged'), attempt DESC
    ) = 1
) USING (trial_key, status, attempt)"""
# Configurations that differ in a fraction alone, as a search draws them, have one structure.
_STRUCTURES = r"""SELECT DISTINCT json_structure(shape)::VARCHAR FROM (
    SELECT DISTINCT regexp_replace(
        config, '([:,\[]-?)\d+(\.\d+(e[+-]?\d+)?|e[+-]?\d+)', '\10.5', 'g'
    ) AS shape FROM stored_configurations
) ORDER BY ALL"""
_METRICS = "SELECT DISTINCT unnest(json_keys(metrics)) AS metric FROM stored ORDER BY metric"
_TABLES = ("trials", "attempts", "curves", "sweeps", "proposals")
_QUERY_SHOWN = "\nLINE "  # from here on DuckDB shows a query, of which a person wrote a part only
_TEXTS = r"""'(?:[^']|'')*'|"(?:[^"]|"")*\""""


@dataclass(frozen=True)
class Database:
    """A store in DuckDB, which can read nothing else and writes nothing."""

    connection: duckdb.DuckDBPyConnection
    paths: tuple[str, ...]
    """Every field and section of the configurations in it."""
    leaves: tuple[str, ...]
    """The fields among them."""
    columns: tuple[str, ...]
    """Columns of `trials`: those of the store's table, configuration paths, metrics."""
    metrics: tuple[str, ...]
    """Every metric in it."""
    version: int | None
    """Of the store's table `trials`."""

    def keys_where(self, condition: str) -> pa.Array:
        """Keys of the trials that fulfil an SQL expression on the columns of `trials`.

        Configuration paths need no quotes in it: `model.activation = 'maxmin'`.

        Raises:
            SpecError: If it is no such expression.
        """
        try:
            quoted = _quote_paths(condition, self.columns)
            chosen = self.connection.view("trials").filter(quoted)
            return chosen.project("trial_key").to_arrow_table()["trial_key"].combine_chunks()
        except (duckdb.Error, UnicodeEncodeError) as error:
            reason = _reason(error, condition, self.columns)
            raise SpecError(
                f"--where: not an SQL expression on the columns of trials, got {show(condition)}: "
                f"{reason.partition(_QUERY_SHOWN)[0].strip()}"
            ) from None


def connect(store: Store) -> Database:
    """A read-only database over a store.

    It holds `trials` (of each trial the attempt that counts), `attempts` (every attempt), `curves`,
    `sweeps` and `proposals`. In the first two every configuration path (`"model.activation"`) and
    every metric is a column; lists, and what is of several types, as JSON texts.

    Raises:
        StoreError: If the store's tables are damaged.
    """
    connection = duckdb.connect(":memory:")
    version = store.version("trials")
    attempts, configurations = split_configurations(store.table("trials", repeated=["config"]))
    connection.register("stored", attempts)
    connection.register("stored_configurations", configurations)
    for table in ("curves", "proposals"):
        connection.register(table, store.dataset(table))
    connection.register("sweeps", store.table("sweeps"))
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # DuckDB draws it among the data
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    try:
        kinds = field_kinds(row[0] for row in connection.execute(_STRUCTURES).fetchall())
        metrics = tuple(row[0] for row in connection.execute(_METRICS).fetchall())
        connection.execute(configurations_table(kinds))
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise StoreError(f"{store.root}: damaged, cannot be read: {reason}") from None
    every = (*metrics, *derived_metrics(metrics))
    for name, source in (("attempts", "stored"), ("trials", _THAT_COUNT)):
        connection.execute(measured_view(name, source, metrics))
        connection.execute(trials_view(name, flatten(kinds), every))
    connection.execute("SET lock_configuration = true")
    columns = tuple(row[0] for row in connection.execute("DESCRIBE trials").fetchall())
    return Database(
        connection, tuple(paths_in(kinds)), tuple(flatten(kinds)), columns, every, version
    )


def select(store: Store, sql: str) -> pa.Table:
    """What one SELECT gives; of columns of one name, the later ones are numbered.

    Raises:
        SpecError: If the text is not one SELECT, or DuckDB refuses it.
    """
    database = connect(store)
    try:
        sql.encode()
        statements = database.connection.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise SpecError(
                f"A query must be one SELECT statement, got {show(sql)}; the store is read-only."
            )
        # Through Arrow, because DuckDB's own rows need one more library for times with zones.
        relation = database.connection.sql(statements[0])
        assert relation is not None, "a SELECT has a result"
        table = relation.to_arrow_table()
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise SpecError(
            f"The query cannot be run: {_reason(error, sql, database.columns)}"
        ) from None
    return table.rename_columns(_distinct(table.column_names))


def run_query(store: Store, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one SELECT.

    Returns:
        Column names and rows.

    Raises:
        SpecError: If the text is not one SELECT, or DuckDB refuses it.
    """
    table = select(store, sql)
    columns = [column.to_pylist() for column in table.columns]
    return table.column_names, list(zip(*columns, strict=True))


def export(store: Store, file: Path, sql: str) -> int:
    """Write what a SELECT gives into a file, whole or not at all.

    Args:
        store: Where from.
        file: Where to: `*.parquet` or `*.csv`; there may be one already.
        sql: One SELECT.

    Returns:
        The number of rows.

    Raises:
        SpecError: If the file is of another kind, or the query cannot be run.
    """
    from pyarrow import csv, parquet

    writers = {".parquet": parquet.write_table, ".csv": csv.write_csv}
    if file.suffix not in writers:
        raise SpecError(f"{file}: must end in {' or '.join(writers)}; rename it.")
    table = select(store, sql)
    if file.suffix == ".csv":
        table = pa.table([_flat(column) for column in table.columns], table.column_names)
    with writing(file), replacing(file) as temporary:
        writers[file.suffix](table, temporary)
    return table.num_rows


def mean_train_seconds(store: Store) -> dict[str, float]:
    """Mean training time of the completed trials of each configuration, by configuration key."""
    trials = store.table("trials", ["config_key", "status", "train_seconds"])
    completed = trials.filter(pc.field("status") == "completed")
    means = completed.group_by("config_key").aggregate([("train_seconds", "mean")])
    return dict(zip(*(means[name].to_pylist() for name in means.column_names), strict=True))


def _quote_paths(condition: str, columns: Collection[str]) -> str:
    """An SQL expression with quotes around the columns that would need them."""
    special = sorted((c for c in columns if not c.isidentifier()), key=len, reverse=True)
    names = "|".join(map(re.escape, special)) or "(?!)"
    pattern = rf"{_TEXTS}|(?<![\w.])({names})(?![\w.])"
    return re.sub(pattern, lambda m: quote(m[1]) if m[1] else m[0], condition)


def _reason(error: Exception, sql: str, columns: Collection[str]) -> str:
    """What DuckDB says, and the nearest column where one does not exist, or the tables."""
    if no_table := re.search(r"Table with name (.+) does not exist", str(error)):
        return f"no table `{no_table[1]}`; {nearest(no_table[1], _TABLES)}"
    missing = re.search(r'Referenced (?:column|table) "([^"]+)"', str(error))
    if missing is None:
        return str(error)
    written = re.search(rf"(?<![\w.]){re.escape(missing[1])}(\.\w+)*", sql)
    name = written[0] if written else missing[1]
    return f"no column `{name}`; {nearest(name, columns)}"


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """A column as CSV can have it: lists and structures as JSON texts."""
    if not pa.types.is_nested(column.type):
        return column
    return pa.array([json.dumps(value, default=str) for value in column.to_pylist()])


def _distinct(names: list[str]) -> list[str]:
    """Column names, those that repeat numbered."""
    return [
        name if names.index(name) == i else f"{name}_{names[:i].count(name)}"
        for i, name in enumerate(names)
    ]
