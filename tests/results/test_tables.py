import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lnets.errors import SpecError
from lnets.results.records import SweepTrials
from lnets.results.rendering import Grid, footer, format_interval
from lnets.results.statistics import Interval
from lnets.results.store import Store
from lnets.results.tables import Table, trials_that_count
from lnets.results.terminal import render
from lnets.specs.search import ObjectiveSpec
from tests.results.stored import demo_store, demo_sweep, layout, put_values, tabulate
from tests.results.test_store import record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return demo_store(tmp_path / "store")


def text_of(table: Table, width: int = 500) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        for part in render(table, width=width, title="demo"):
            console.print(part)
    return "\n".join([capture.get(), *footer(table, "lnets-sweep table demo")])


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.99981, 0.99955, 1.00007, 3), "0.99981 ± 0.00026"),
        (Interval(12345.6, 12000.0, 12691.2, 3), "12350 ± 350"),
        (Interval(0.123456, None, None, 1), "0.1235"),
        (Interval(1.0, 1.0, 1.0, 3), "1"),
        (Interval(-2.0, -2.5, -1.5, 3), "-2.00 ± 0.50"),
        (Interval(0.5, 0.4004, 0.5996, 3), "0.50 ± 0.10"),
        (Interval(-1e-4, -0.5, 0.5, 3), "0.00 ± 0.50"),
        (Interval(3e-15, -1e-14, 1.6e-14, 3), "3e-15 ± 1.3e-14"),
    ],
)
def test_numbers_are_rounded_by_their_uncertainty(interval: Interval, text: str) -> None:
    assert format_interval(interval) == text


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_a_rounded_number_is_off_by_less_than_a_tenth_of_its_uncertainty(
    mean: float, half: float
) -> None:
    shown, uncertainty = format_interval(Interval(mean, mean - half, mean + half, 3)).split(" ± ")
    assert abs(float(shown) - mean) <= 0.1 * half + 1e-9 * abs(mean)
    assert float(uncertainty) == pytest.approx(half, rel=0.06, abs=1e-9 * abs(mean))


def test_cells_are_means_over_the_seeds(store: Store) -> None:
    table = tabulate(store, layout=layout(columns=("model.layers",)))
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
    table = tabulate(store, layout=layout(columns=("model.layers",)))
    lines = text_of(table).splitlines()
    assert lines[0].strip() == "demo: tightness"
    headings = [part.strip() for part in lines[2].strip("┃").split("┃")]
    assert headings == ["model.activation", "model.layers = [8, 1]", "model.layers = [16, 1]"]
    metrics = ("tightness", "train_seconds")
    both = tabulate(store, layout=layout(columns=("model.layers",), values=metrics))
    [several] = render(both, width=500)
    assert several.title is None
    assert [str(column.header) for column in several.columns[1:3]] == [
        "model.layers = [8, 1]\ntightness",
        "model.layers = [8, 1]\ntrain_seconds",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_terminal_breaks_neither_numbers_nor_words(store: Store, width: int) -> None:
    metrics = ("tightness", "lipschitz_upper_bound", "train_seconds", "steps_per_second")
    table = tabulate(store, layout=layout(columns=("model.layers",), values=metrics))
    text = text_of(table, width).partition("mean ± ")[0]
    assert max(map(len, text.splitlines())) <= width
    for cell in table.cells:
        assert format_interval(cell.interval) in text
    pieces = {"tightness", "lipschitz_", "upper_", "bound", "train_", "per_", "second", "maxmin"}
    assert pieces <= set(re.findall(r"[a-z]+_?", text))
    assert "16, 1]" in text


def test_numbers_in_names_have_as_few_digits_as_tell_them_apart(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)

    def put(name: str, lr: float) -> SweepTrials:
        return put_values(store, name, {0: 1.0}, config=json.dumps({"optim": {"lr": lr}}))

    sweeps = [put("a", 0.123456789), put("b", 0.2)]
    assert "│ 0.1235 " in text_of(tabulate(store, *sweeps, layout=layout(rows=("optim.lr",))))
    text = text_of(
        tabulate(store, *sweeps, put("c", 0.123456788), layout=layout(rows=("optim.lr",)))
    )
    assert "│ 0.123456789 " in text
    assert "│ 0.123456788 " in text


def test_numbers_of_what_was_drawn_rise(tmp_path: Path) -> None:
    """Rows and columns, though no row has all columns; other values stay as they come."""
    store = Store(tmp_path / "store", create=True)
    places = [("relu", 11), ("maxmin", 9), ("relu", None), ("maxmin", 100)]
    for i, (activation, width) in enumerate(places):
        model = {"activation": activation} | ({} if width is None else {"width": width})
        fields = {"config": json.dumps({"model": model}), "config_key": f"{i}", "seed": 0}
        store.put(record(f"{i}", **fields, metrics={"tightness": 0.5}))
    store.commit()
    keys = tuple(map(str, range(len(places))))
    asked = layout(columns=("model.width",))

    def headings(*, drawn: bool) -> tuple[list[str], list[str]]:
        sweep = SweepTrials("id", "demo", keys, drawn=drawn)
        grid = Grid.of(tabulate(store, sweep, layout=asked))
        widths = [column.place["model.width"] for column in grid.columns]
        return [names[0] for names, _ in grid.body], widths

    assert headings(drawn=True) == (["relu", "maxmin"], ["9", "11", "100", "null"])
    assert headings(drawn=False) == (["relu", "maxmin"], ["11", "9", "null", "100"])
    sweep = SweepTrials("id", "demo", keys, drawn=True)
    table = tabulate(store, sweep, layout=layout(rows=("model.width",)))
    assert [cell.row["model.width"] for cell in table.cells] == [9, 11, 100, None]


def test_best_follows_the_metrics_direction_and_the_objectives(store: Store) -> None:
    metrics = layout(values=("tightness", "train_seconds", "lipschitz_upper_bound"))
    table = tabulate(store, layout=metrics)
    assert {cell.metric for cell in table.cells if cell.best} == {"tightness", "train_seconds"}
    assert {cell.metric for cell in table.cells} == {"tightness", "train_seconds"}
    worst = tabulate(store, objectives=[ObjectiveSpec(minimize="tightness")])
    assert [cell.row["model.activation"] for cell in worst.cells if cell.best] == ["relu"]
    assert [winner.objective for winner in worst.winners] == ["minimize tightness"]


def test_a_winner_is_named_by_a_metric_that_is_not_in_the_table(store: Store) -> None:
    objectives = [ObjectiveSpec(maximize="tightness"), ObjectiveSpec(minimize="train_seconds")]
    table = tabulate(
        store, layout=layout(rows=("model.layers",), values=("steps_per_second",)),
        objectives=objectives,
    )  # fmt: skip
    assert {cell.metric for cell in table.cells} == {"steps_per_second"}
    text = "\n".join(footer(table))
    assert "minimize train_seconds: model.layers = [8, 1] (8)" in text


def test_a_reader_is_told_what_is_averaged_and_what_is_missing(store: Store) -> None:
    text = text_of(tabulate(store, demo_sweep("bad", "gone")))
    assert "n = 3 seeds" in text
    assert "cells average over model.layers" in text
    assert "12 of 14 trials completed, 1 diverged, 1 missing" in text
    assert "0.910 ± 0.025 *" in text
    assert "seeds 0–2" in text
    assert f"version {store.version('trials')} of the store's trials" in text
    assert "made by: lnets-sweep table demo" in text
    partial = SweepTrials("id", "demo", ("maxmin-8-0", "relu-8-0", "relu-8-2"))
    text = text_of(tabulate(store, partial))
    assert "(n=1)" in text
    assert "(n=2)" in text
    assert "too few seeds for a test: 1 cell" in text
    assert "seeds 0, 2" in text


def test_seeds_that_lack_configurations_are_told(store: Store) -> None:
    uneven = SweepTrials("id", "demo", ("maxmin-8-0", "maxmin-16-0", "maxmin-8-1"))
    table = tabulate(store, uneven)
    assert table.cells[0].interval.mean == pytest.approx((0.90 + 0.91) / 2)
    assert "1 place of this table lacks configurations" in "\n".join(footer(table))


def test_a_table_of_nothing_says_so(store: Store) -> None:
    table = tabulate(store, SweepTrials("id", "demo", ("gone",)))
    assert table.cells == ()
    text = text_of(table)
    assert "0 of 1 trials completed, 1 missing" in text
    assert "no completed trial" in text
    assert tabulate(store, where="seed > 99").cells == ()


def test_conditions_keep_trials(store: Store) -> None:
    table = tabulate(store, where="model.activation = 'maxmin' AND seed < 2")
    assert [cell.row for cell in table.cells] == [{"model.activation": "maxmin"}]
    assert table.cells[0].interval.n == 2
    assert "only trials where model.activation = 'maxmin' AND seed < 2" in text_of(table)
    assert len(tabulate(store, where="model.layers = '[8,1]'").cells) == 2
    assert len(tabulate(store, where="tightness > 0.8 and optim.lr < 1").cells) == 1


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("model.activatio = 'x'", "did you mean `model.activation`?"),
        ("tightnes > 1", "did you mean `tightness`?"),
        ("1 = 1; DROP VIEW trials", "not an SQL expression"),
        ("1 = 1) UNION SELECT 1", "not an SQL expression"),
        ("seed IN (SELECT seed FROM read_csv('/etc/passwd'))", "disabled"),
        ("'x'", "not an SQL expression"),
        ("", "not an SQL expression"),
        ("\udc80", "not an SQL expression"),
    ],
)
def test_a_condition_that_is_none_is_refused(store: Store, where: str, message: str) -> None:
    with pytest.raises(SpecError, match="--where") as caught:
        tabulate(store, where=where)
    assert message in str(caught.value)


def test_sweeps_are_told_apart_where_they_are_asked_for(store: Store) -> None:
    both = [demo_sweep(), SweepTrials("other", "half", ("maxmin-8-0", "maxmin-8-1"))]
    assert len(tabulate(store, *both).cells) == 2
    table = tabulate(store, *both, layout=layout(rows=("sweep", "model.activation")))
    named = [(cell.row["sweep"], cell.row["model.activation"]) for cell in table.cells]
    assert named == [("demo", "maxmin"), ("demo", "relu"), ("half", "maxmin")]


def test_what_is_not_significantly_worse_is_marked(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    best = {seed: 0.9 + 0.001 * math.sin(seed) for seed in range(8)}
    near = {seed: value - 0.002 * math.cos(3 * seed) - 1e-4 for seed, value in best.items()}
    far = {seed: value - 0.5 for seed, value in best.items()}
    sweeps = [put_values(store, n, v) for n, v in (("best", best), ("near", near), ("far", far))]
    table = tabulate(store, *sweeps, layout=layout(rows=("name",)))
    marked = {cell.row["name"]: (cell.best, cell.as_good) for cell in table.cells}
    assert marked == {"best": (True, False), "near": (False, True), "far": (False, False)}
    p_values = {cell.row["name"]: cell.p_value for cell in table.cells}
    assert p_values["best"] is None
    assert p_values["far"] == pytest.approx(2 * 2 / 2**8)
    text = text_of(table)
    assert "≈ not significantly worse than the best: p ≥ 0.05" in text
    assert "Holm over 2 comparisons" in text
    by_values = tabulate(store, *sweeps, layout=layout(rows=("name",)), test="permutation")
    assert by_values.tests.test == "permutation"


def test_few_seeds_mark_nothing_and_say_so(store: Store) -> None:
    table = tabulate(store)
    assert not any(cell.as_good for cell in table.cells)
    text = text_of(table)
    assert "3 seeds are too few to call any difference significant; 6 could be enough" in text


def test_one_seed_is_not_the_best_of_others_that_have_more(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    sweeps = [put_values(store, "lucky", {0: 0.9}), put_values(store, "fair", {0: 0.7, 1: 0.8})]
    objectives = [ObjectiveSpec(maximize="tightness")]
    table = tabulate(store, *sweeps, layout=layout(rows=("name",)), objectives=objectives)
    assert {cell.row["name"]: cell.best for cell in table.cells} == {"lucky": False, "fair": True}
    assert [winner.cell.row["name"] for winner in table.winners] == ["fair"]
    assert "one seed alone (n=1) is not called the best" in text_of(table)
    alone = tabulate(store, sweeps[0], layout=layout(rows=("name",)))
    assert alone.cells[0].best
    missing = SweepTrials("id", "demo", (*sweeps[1].trial_keys, "gone"))
    table = tabulate(store, missing, layout=layout(rows=("name",)), objectives=objectives)
    assert "maximize tightness so far: name = fair" in text_of(table)


def test_ties_are_all_best_and_never_worse(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    values = dict.fromkeys(range(7), 0.5)
    sweeps = [put_values(store, name, values) for name in "ab"]
    table = tabulate(store, *sweeps, layout=layout(rows=("name",)))
    assert [cell.best for cell in table.cells] == [True, True]
    assert [cell.p_value for cell in table.cells] == [None, 1.0]


def test_other_seeds_are_not_paired(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    chance = [0.1, 0.4, 0.2, 0.9, 0.3, 0.7]
    a = put_values(store, "a", dict(enumerate(chance)))
    b = put_values(store, "b", {10 + i: v - 5 for i, v in enumerate(chance)})
    c = put_values(store, "c", {seed: v - 5 for seed, v in list(enumerate(chance))[:5]})
    text = text_of(tabulate(store, a, b, layout=layout(rows=("name",))))
    assert "rank-sum test" in text
    assert "not paired, because seeds differ" in text
    text = text_of(tabulate(store, a, c, layout=layout(rows=("name",))))
    assert "paired by those seeds that both have: 1 comparison" in text
    text = text_of(tabulate(store, a, b, c, layout=layout(rows=("name",))))
    assert "not paired, because seeds differ, but by Wilcoxon's rank-sum test" in text


def test_values_that_are_missing_or_not_finite_are_left_out_and_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    trials = put_values(store, "a", {0: 0.5, 1: 0.6, 2: 0.7})
    others = put_values(store, "a", {3: 0.0}, metrics={"train_seconds": 1.0})
    table = tabulate(store, trials, others, layout=layout(rows=("name",)))
    assert table.cells[0].interval.n == 3
    assert "without a finite tightness, and left out of it: 1 trial" in text_of(table)


def test_the_attempt_that_counts_counts(store: Store) -> None:
    found = trials_that_count(store, ["relu-8-0", "maxmin-8-0", "gone"])
    assert {key: row["status"] for key, row in found.items()} == {
        "relu-8-0": "completed",
        "maxmin-8-0": "completed",
    }
    assert found["relu-8-0"]["attempt"] == 2


def test_means_over_configurations_do_not_depend_on_threads(store: Store) -> None:
    first: dict[str, Any] = tabulate(store).to_json()
    assert all(tabulate(store).to_json() == first for _ in range(5))
