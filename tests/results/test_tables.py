import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from lnets.errors import SpecError
from lnets.results.query import mean_train_seconds, run_query
from lnets.results.records import SweepTrials
from lnets.results.statistics import Interval, mean_interval
from lnets.results.store import Store
from lnets.results.tables import Table, footer, format_interval, make_table, render
from lnets.specs.sweep import TableSpec
from tests.results.test_store import record


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=10))
def test_the_interval_is_scipys(values: list[float]) -> None:
    interval = mean_interval(values)
    mean, error = stats.tmean(values), stats.sem(values)
    assert interval.n == len(values)
    if error > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, mean, error)
        assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_interval([2.0]) == Interval(2.0, None, None, 1)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.99981, 0.99955, 1.00007, 3), "0.99981 ± 0.00026"),
        (Interval(12345.6, 12000.0, 12691.2, 3), "12346 ± 346"),
        (Interval(0.123456, None, None, 1), "0.1235"),
        (Interval(1.0, 1.0, 1.0, 3), "1 ± 0"),
        (Interval(-2.0, -2.5, -1.5, 3), "-2.00 ± 0.50"),
    ],
)
def test_numbers_are_rounded_by_their_uncertainty(interval: Interval, text: str) -> None:
    assert format_interval(interval) == text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two activations × two widths × three seeds; one trial failed and then worked."""
    store = Store(tmp_path / "store", create=True)
    for i, activation in enumerate(("maxmin", "relu")):
        for width in (8, 16):
            for seed in range(3):
                key = f"{activation}-{width}-{seed}"
                config = {"model": {"activation": activation, "layers": [width, 1]}}
                fields: dict[str, Any] = {
                    "config": json.dumps(config),
                    "config_key": f"{activation}-{width}",
                    "seed": seed,
                    "train_seconds": float(width),
                    "metrics": {"tightness": 0.9 - 0.4 * i + 0.01 * seed, "train_seconds": 1.0},
                }
                if key == "relu-8-0":
                    failed = {"status": "failed", "metrics": {}, "error": "x", "attempt": 1}
                    store.put(record(key, **{**fields, **failed}))
                    store.commit()
                    fields["attempt"] = 2
                store.put(record(key, **fields))
    store.put(record("bad", status="diverged", metrics={}, config="{}"))
    store.commit()
    return store


def sweep(*extra: str) -> SweepTrials:
    keys = [f"{a}-{w}-{s}" for a in ("maxmin", "relu") for w in (8, 16) for s in range(3)]
    return SweepTrials("id", "demo", (*keys, *extra))


def layout(**parts: tuple[str, ...]) -> TableSpec:
    return TableSpec(**{"rows": ("model.activation",), "values": ("tightness",), **parts})


def text_of(table: Table) -> str:
    console = Console(width=500)
    with console.capture() as capture:
        console.print(render(table, title="demo"))
    return capture.get() + footer(table)


def test_cells_are_means_over_the_seeds(store: Store) -> None:
    table = make_table(store, [sweep()], layout(columns=("model.layers",)))
    data = table.to_json()
    assert data["sweeps"][0]["completed"] == 12
    assert len(data["cells"]) == 4
    first = data["cells"][0]
    assert first["row"] == {"model.activation": "maxmin"}
    assert first["column"] == {"model.layers": [8, 1]}
    assert first["mean"] == pytest.approx(0.91)
    assert first["n"] == 3
    assert first["low"] < 0.91 < first["high"]
    assert [cell["best"] for cell in data["cells"]] == [True, True, False, False]
    assert json.loads(json.dumps(data)) == data


def test_one_metric_in_rows_and_columns_is_a_matrix(store: Store) -> None:
    table = make_table(store, [sweep()], layout(columns=("model.layers",)))
    lines = text_of(table).splitlines()
    assert lines[0].strip() == "demo: tightness"
    headings = [part.strip() for part in lines[2].strip("┃").split("┃")]
    assert headings == ["model.activation", "[8, 1]", "[16, 1]"]
    metrics = ("tightness", "train_seconds")
    several = text_of(
        make_table(store, [sweep()], layout(columns=("model.layers",), values=metrics))
    )
    assert several.splitlines()[0].strip() == "demo"
    assert several.count("tightness") == 2


def test_best_follows_the_metrics_direction(store: Store) -> None:
    metrics = ("tightness", "train_seconds", "lipschitz_upper_bound")
    table = make_table(store, [sweep()], layout(values=metrics))
    assert {cell.metric for cell in table.cells if cell.best} == {"tightness", "train_seconds"}
    assert {cell.metric for cell in table.cells} == {"tightness", "train_seconds"}


def test_a_reader_is_told_what_is_averaged_and_what_is_missing(store: Store) -> None:
    text = text_of(make_table(store, [sweep("bad", "gone")], layout()))
    assert "n = 6" in text
    assert "cells average over model.layers" in text
    assert "12 of 14 trials completed, 1 diverged, 1 missing" in text
    assert "0.9100 ± 0.0094 *" in text
    partial = SweepTrials("id", "demo", ("maxmin-8-0", "relu-8-0", "relu-8-1"))
    text = text_of(make_table(store, [partial], layout()))
    assert "(n=1)" in text
    assert "(n=2)" in text


def test_a_table_of_nothing_says_so(store: Store) -> None:
    table = make_table(store, [SweepTrials("id", "demo", ("gone",))], layout())
    assert table.cells == ()
    assert "0 of 1 trials completed, 1 missing" in text_of(table)


def test_queries_see_paths_and_metrics_as_columns(store: Store) -> None:
    sql = """SELECT "model.activation", count(*), max(tightness), any_value("model.layers")
             FROM trials WHERE status = 'completed' GROUP BY 1 ORDER BY 1"""
    names, rows = run_query(store, sql)
    assert names[:2] == ["model.activation", "count_star()"]
    assert [row[:3] for row in rows] == [("maxmin", 6, 0.92), ("relu", 6, 0.52)]
    assert rows[0][3] in ("[8, 1]", "[16, 1]")
    assert run_query(store, "SELECT count(*) FROM attempts")[1] == [(14,)]
    assert run_query(store, "SELECT count(*) FROM curves")[1] == [(13,)]
    assert run_query(store, "SELECT * FROM sweeps")[1] == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DROP VIEW trials", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("", "one SELECT"),
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM trials", "nothing"),
        ("SELECT * FROM '/etc/passwd'", "does not exist"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
        ("COPY trials TO '/tmp/x.csv'", "one SELECT"),
        ("SET enable_external_access = true", "one SELECT"),
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
