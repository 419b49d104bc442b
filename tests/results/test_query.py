import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lnets.errors import SpecError, StoreError
from lnets.results.query import connect, export, mean_train_seconds, run_query
from lnets.results.store import Store
from tests.results.stored import demo_store
from tests.results.test_store import record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return demo_store(tmp_path / "store")


def test_queries_see_paths_and_metrics_as_columns(store: Store) -> None:
    sql = """SELECT "model.activation", count(*), max(tightness), any_value("model.layers")
             FROM trials WHERE status = 'completed' GROUP BY 1 ORDER BY 1"""
    names, rows = run_query(store, sql)
    assert names[:2] == ["model.activation", "count_star()"]
    assert [row[:3] for row in rows] == [("maxmin", 6, 0.92), ("relu", 6, 0.52)]
    assert rows[0][3] in ("[8,1]", "[16,1]")
    assert run_query(store, "SELECT count(*) FROM attempts")[1] == [(14,)]
    assert run_query(store, "SELECT count(*) FROM curves")[1] == [(13,)]
    assert run_query(store, "SELECT * FROM sweeps")[1] == []
    with_cte = "WITH a AS (SELECT seed FROM trials) SELECT count(*) FROM a"
    assert run_query(store, with_cte)[1] == [(13,)]
    assert run_query(store, "SELECT DISTINCT seconds_per_step FROM trials ORDER BY 1")[1] == [
        (0.25,),
        (None,),
    ]


def test_an_empty_store_has_its_tables(tmp_path: Path) -> None:
    store = Store(tmp_path / "empty", create=True)
    assert run_query(store, "SELECT trial_key, config FROM trials")[1] == []
    assert run_query(store, "SELECT * FROM curves")[1] == []


def test_fields_of_several_types_are_json(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    sections = [
        {"a": 1, "b": {"c": None}, "d": "x", "e": [], "f": 1},
        {"a": 2.5, "b": {"c": True}, "d": 3, "e": [1], "f": -1},
        {"a": None, "b": None, "d": {"x": 1}, "e": None, "f": 2**40, "only": "here"},
    ]
    for i, section in enumerate(sections):
        store.put(record(str(i), config=json.dumps({"task": "t", "model": section})))
    store.commit()
    names = ["model.a", "model.b.c", "model.d", "model.e", "model.f", "model.only"]
    listed = ", ".join(f'"{name}"' for name in names)
    rows = run_query(store, f"SELECT {listed} FROM trials ORDER BY trial_key")[1]
    assert rows == [
        (1.0, None, '"x"', "[]", 1, None),
        (2.5, True, "3", "[1]", -1, None),
        (None, None, '{"x":1}', None, 2**40, "here"),
    ]
    assert run_query(store, "SELECT any_value(task) FROM trials")[1] == [("wasserstein",)]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([0.25, 0.5, 1e-7, -3e22], "DOUBLE", [-3e22, 1e-7, 0.25, 0.5]),
        ([1, 0.5], "DOUBLE", [0.5, 1.0]),
        ([7, 10**15], "BIGINT", [7, 10**15]),
        ([0.5, "x:1.5"], "VARCHAR", ['"x:1.5"', "0.5"]),
        ([{"a1": 0.5}, {"a2": 0.5}], None, []),
        ([[0.5, -1.5], [2]], "VARCHAR", ["[0.5,-1.5]", "[2]"]),
    ],
)
def test_fractions_are_of_the_types_that_they_have(
    tmp_path: Path, values: list[Any], kind: str | None, expected: list[Any]
) -> None:
    """Configurations are asked for their structure without the digits of their fractions."""
    store = Store(tmp_path / "store", create=True)
    for i, value in enumerate(values):
        store.put(record(str(i), config=json.dumps({"f": value}, separators=(",", ":"))))
    store.commit()
    if kind is None:
        assert {"f.a1", "f.a2"} <= set(connect(store).columns)
    else:
        rows = run_query(store, "SELECT f, typeof(f) FROM trials ORDER BY f")[1]
        assert rows == [(value, kind) for value in expected]


def test_nothing_is_drawn_among_the_data(store: Store) -> None:
    shown = run_query(store, "SELECT current_setting('enable_progress_bar')")[1]
    assert shown == [(False,)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DROP VIEW trials", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("", "one SELECT"),
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM trials", "nothing"),
        ("SELECT tightnes FROM trials", "did you mean `tightness`?"),
        ("SELECT * FROM '/etc/passwd'", "known: attempts, curves, proposals, sweeps, trials"),
        ("SELECT * FROM trial", "did you mean `trials`?"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
        ("SELECT * FROM read_text('/etc/passwd')", "disabled"),
        ("SELECT * FROM glob('/etc/*')", "disabled"),
        ("COPY trials TO '/tmp/x.csv'", "one SELECT"),
        ("ATTACH '/tmp/x.db'", "one SELECT"),
        ("INSTALL httpfs", "one SELECT"),
        ("PRAGMA database_list", "one SELECT"),
        ("SET enable_external_access = true", "one SELECT"),
        ("DELETE FROM trials", "one SELECT"),
        ("EXPLAIN SELECT 1", "one SELECT"),
    ],
)
def test_a_query_can_only_read_the_store(store: Store, sql: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        run_query(store, sql)


def test_queries_give_times_and_repeated_names(store: Store) -> None:
    names, rows = run_query(store, "SELECT started_at, seed AS a, seed AS a FROM trials LIMIT 1")
    assert names == ["started_at", "a", "a_1"]
    assert rows[0][0].tzinfo is not None
    with pytest.raises(SpecError, match="cannot be run"):
        run_query(store, "SELECT '\udc80'")


def test_seconds_are_known_by_configuration(store: Store) -> None:
    known = mean_train_seconds(store)
    assert known == {"maxmin-8": 8, "maxmin-16": 16, "relu-8": 8, "relu-16": 16}


def test_a_damaged_configuration_is_an_error_of_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    store.put(record("a", config="{"))
    store.commit()
    with pytest.raises(StoreError, match="damaged"):
        connect(store)


def test_exports_are_read_by_others(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "trials.parquet"
    assert export(store, file, "SELECT * FROM trials") == 13
    table = pq.read_table(file)
    assert {"model.activation", "tightness", "trial_key"} <= set(table.column_names)
    assert pd.read_parquet(file)["tightness"].max() == 0.92
    assert duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall() == [(13,)]

    file = tmp_path / "trials.csv"
    export(store, file, "SELECT trial_key, tightness, [seed, 1] AS pair FROM trials ORDER BY 1")
    read = pd.read_csv(file)
    assert list(read.columns) == ["trial_key", "tightness", "pair"]
    assert read["pair"][1] == "[0, 1]"
    assert export(store, file, "SELECT 1 AS a WHERE false") == 0
    assert sorted(p.name for p in tmp_path.glob("*.*")) == ["trials.csv", "trials.parquet"]


def test_what_cannot_be_exported_leaves_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match=r"must end in \.parquet or \.csv"):
        export(store, tmp_path / "trials.xlsx", "SELECT 1")
    with pytest.raises(SpecError, match="cannot be written"):
        export(store, tmp_path / "file" / "trials.csv", "SELECT 1")
    with pytest.raises(SpecError, match="one SELECT"):
        export(store, tmp_path / "trials.csv", "DROP VIEW trials")
    assert not list(tmp_path.glob("*.*"))


def test_the_tables_open_elsewhere_as_they_are(store: Store) -> None:
    """As docs/results.md shows; polars and Spark read the same files."""
    from deltalake import DeltaTable

    files = [file.removeprefix("file://") for file in DeltaTable(store.root / "trials").file_uris()]
    assert duckdb.read_parquet(files).aggregate("count(*)").fetchall() == [(14,)]
    assert len(DeltaTable(store.root / "trials").to_pandas()) == 14
    assert datetime.now(UTC) >= DeltaTable(store.root / "trials").to_pandas()["started_at"].max()
