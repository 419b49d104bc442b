"""From a store to a paper, by the command line."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lnets.results.live import Live
from lnets.results.store import Store
from tests.conftest import REPOSITORY

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stored(cli: Cli, write: Callable[..., Path], tiny: dict[str, Any]) -> Cli:
    """Two sweeps: activations with three seeds, and the same with more steps."""
    tiny |= {
        "name": "first",
        "search": {"model.activation": ["maxmin", "relu"]},
        "seeds": 3,
        "table": {
            "rows": ["model.activation"],
            "values": ["wasserstein_estimate", "train_seconds"],
        },
    }
    assert cli("submit", write(tiny, "first.yaml"), "--runner", "in-process")[0] == 0
    tiny |= {"name": "second", "experiment": {**tiny["experiment"], "steps": 4}}
    assert cli("submit", write(tiny, "second.yaml"), "--runner", "in-process")[0] == 0
    return cli


def test_reading_commands_start_without_torch_and_ray(stored: Cli, tmp_path: Path) -> None:
    for arguments in (
        ["table", "first", "--format", "latex"],
        ["compare", "first", "second"],
        ["list"],
        ["gc"],
        ["query", "SELECT 1"],
        ["diff", "first", "second"],
    ):
        program = (
            "import sys; from lnets.cli import app\n"
            f"app({[*arguments, '--store', str(tmp_path / 'store')]!r}, standalone_mode=False)\n"
            "print(sorted({'torch', 'ray', 'optuna'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]", arguments


def test_tables_have_formats(stored: Cli) -> None:
    for kind, part in (
        ("markdown", "| --- |"),
        ("latex", r"\toprule"),
        ("html", "<caption>first</caption>"),
        ("json", '"cells"'),
        ("terminal", "┃"),
    ):
        code, out, err = stored("table", "first", "--format", kind)
        assert (code, part in out, err) == (0, True, "")
        assert "seeds 0" in out
    code, out, err = stored("table", "first", "--format", "csv")
    assert len(list(csv.DictReader(io.StringIO(out)))) == 4
    assert "made by: lnets-sweep table first --format csv" in err
    code, out, _ = stored("table", "first", "--json")
    assert json.loads(out)["footer"]


def test_tables_take_conditions_kinds_and_several_sweeps(stored: Cli) -> None:
    code, out, _ = stored("table", "first", "--where", "model.activation = 'maxmin'", "--json")
    assert {cell["row"]["model.activation"] for cell in json.loads(out)["cells"]} == {"maxmin"}
    code, out, _ = stored("table", "first", "second", "--rows", "sweep", "--json")
    assert [cell["row"]["sweep"] for cell in json.loads(out)["cells"]][::2] == ["first", "second"]
    code, out, _ = stored("table", "first", "second", "--json")
    assert json.loads(out)["averaged"] == ["steps"]
    code, out, _ = stored("table", "first", "--kind", "wasserstein")
    assert "wasserstein_lower_bound" in out
    code, out, _ = stored("table", "first", "--kind", "speed", "--json")
    assert {cell["metric"] for cell in json.loads(out)["cells"]} == {
        "seconds_per_step",
        "steps_per_second",
        "train_seconds",
        "peak_memory",
    }
    both = "wasserstein_estimate,train_seconds"
    code, out, _ = stored("table", "first", "--kind", "pareto", "--values", both)
    assert (code, "not dominated" in out) == (0, True)
    assert stored("table", "first", "--test", "permutation")[0] == 0


def test_options_of_tables_may_be_repeated(stored: Cli) -> None:
    values = ("--values", "wasserstein_estimate", "--values", "train_seconds")
    rows = ("--rows", "model.activation", "--rows", "optim.lr")
    code, out, _ = stored("table", "first", *values, *rows, "--json")
    cells = json.loads(out)["cells"]
    assert code == 0
    assert {cell["metric"] for cell in cells} == {"wasserstein_estimate", "train_seconds"}
    assert set(cells[0]["row"]) == {"model.activation", "optim.lr"}
    both = ("--where", "model.activation = 'maxmin' OR seed = 0", "--where", "seed = 0")
    code, out, _ = stored("table", "first", *both, "--json")
    found = json.loads(out)
    assert found["source"]["seeds"] == [0]
    assert len({cell["row"]["model.activation"] for cell in found["cells"]}) == 2


def test_comparisons(stored: Cli, tmp_path: Path) -> None:
    code, out, _ = stored("compare", "first", "second", "--json")
    data = json.loads(out)
    assert code == 0
    assert {one["path"] for one in data["spec"]} == {"name", "experiment.steps"}
    assert data["configurations"] == [{"path": "steps", "a": [3], "b": [4]}]
    metric = next(one for one in data["metrics"] if one["metric"] == "wasserstein_estimate")
    assert (metric["paired"], list(metric["seeds"])) == (True, ["0", "1", "2"])
    sql = 'SELECT DISTINCT config_key, "model.activation" AS a FROM trials ORDER BY a'
    a, b = (row["config_key"] for row in json.loads(stored("query", sql, "--json")[1])[:2])
    assert stored("compare", a[:12], b[:12])[0] == 0
    condition = "model.activation = 'relu' AND steps = 4"
    code, out, _ = stored("compare", a[:12], "--where", condition)
    assert (code, condition in out) == (0, True)
    assert stored("compare", tmp_path / "first.yaml", "second")[0] == 0


def test_specs_are_compared(stored: Cli, tmp_path: Path, write: Callable[..., Path]) -> None:
    code, out, _ = stored("diff", "first", tmp_path / "second.yaml", "--json")
    found = {row["path"]: (row["a"], row["b"]) for row in json.loads(out)}
    assert found == {"name": ("first", "second"), "experiment.steps": (3, 4)}
    code, out, err = stored("diff", "first", tmp_path / "first.yaml")
    assert (code, out, "no field differs" in err) == (0, "", True)
    import yaml

    experiment = yaml.safe_load((tmp_path / "first.yaml").read_text())["experiment"]
    one, other = write(experiment, "one.yaml"), write({**experiment, "steps": 9}, "other.yaml")
    code, out, _ = stored("diff", one, other, "--store", tmp_path / "none")
    assert (code, "steps" in out) == (0, True)
    assert stored("diff", write({"task": "x"}, "bad.yaml"), other)[0] == 2


def test_exports_and_one_liners(stored: Cli, tmp_path: Path) -> None:
    file = tmp_path / "trials.parquet"
    code, out, err = stored("export", file)
    assert (code, out, "wrote 12 rows" in err) == (0, "", True)
    assert set(pd.read_parquet(file)["model.activation"]) == {"maxmin", "relu"}
    code, _, _ = stored("export", tmp_path / "x.csv", "--sql", "SELECT seed FROM trials")
    assert (code, len(pd.read_csv(tmp_path / "x.csv"))) == (0, 12)
    assert stored("export", tmp_path / "x.csv", "--sql", "DROP VIEW trials")[0] == 2


def test_the_history_of_a_store(stored: Cli) -> None:
    code, out, _ = stored("list", "--json")
    second, first = json.loads(out)
    assert (first["name"], second["name"]) == ("first", "second")
    assert first["best"]["metric"] == "wasserstein_estimate"
    assert set(first["best"]["configuration"]) == {"model.activation"}
    assert first["train_seconds"] > 0
    assert 0 < first["age_seconds"] < 600
    code, out, _ = stored("list")
    assert (code, "6 of 6" in out, "wasserstein_estimate" in out) == (0, True, True)
    key = json.loads(stored("query", "SELECT trial_key AS k FROM trials LIMIT 1", "--json")[1])
    code, out, _ = stored("show", key[0]["k"][:12])
    assert (code, "model.safetensors" in out, "wasserstein_estimate" in out) == (0, True, True)
    code, out, _ = stored("show", key[0]["k"], "--json")
    assert json.loads(out)["trial_key"] == key[0]["k"]


def test_what_may_go_is_listed_first(stored: Cli, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    long_ago = time.time() - 7200
    for path in [*(store.root / "artifacts").rglob("*")]:
        os.utime(path, (long_ago, long_ago))
    rows = store.table("trials").num_rows
    code, out, err = stored("gc")
    assert (code, out, "0 files" in err) == (0, "", True)
    code, out, err = stored("gc", "--drop", "second", "--json")
    assert (code, len(json.loads(out)), "with --yes" in err) == (0, 6, True)
    assert len(list((store.root / "artifacts").iterdir())) == 12
    live = Live(store.root, json.loads(stored("list", "--json")[1])[0]["sweep_id"], "second", None)
    live.beat(())
    code, _, err = stored("gc", "--drop", "second", "--yes")
    assert (code, "it is running" in err) == (2, True)
    live.stop()
    code, out, err = stored("gc", "--drop", "second", "--yes")
    assert (code, "are removed" in err) == (0, True)
    assert len(list((store.root / "artifacts").iterdir())) == 6
    assert store.table("trials").num_rows == rows
    assert stored("table", "second")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["table", "first", "--values", "clean_accuracy"], 2, "no trial has a metric"),
        (["table", "first", "--values", "wasserstein_estimat"], 2,
         "did you mean `wasserstein_estimate`?"),
        (["table", "first", "--values", ""], 2, "--values: must name one at least"),
        (["table", "first", "--rows", "model.activatio"], 2, "did you mean `model.activation`?"),
        (["table", "first", "--rows", "loss.type"], 2, "--rows: no trial has a field"),
        (["table", "first", "--columns", "nothing"], 2, "--columns: no trial has a field"),
        (["table", "first", "--where", "model.activatio = 1"], 2, "did you mean"),
        (["table", "first", "--kind", "robustness"], 2, "no metric of this kind"),
        (["table", "first", "--kind", "pareto"], 2, "needs two objectives"),
        (["table", "first", "--kind", "pareto", "--values", "tightness,wasserstein_exact"], 2,
         "is no objective"),
        (["table", "first", "--kind", "speed", "--values", "tightness"], 2, "has its own metrics"),
        (["table", "first", "--format", "word"], 2, "word"),
        (["table", "first", "--test", "anova"], 2, "anova"),
        (["compare", "first"], 2, "needs two sides, got 1"),
        (["compare", "first", "first"], 2, "are the same trials"),
        (["compare", "first", "thrid"], 4, "no sweep `thrid`"),
        (["compare", "first", "0123456789abcdef"], 4, "no configuration whose key begins so"),
        (["compare", "first", "--where", "seed > 100"], 4, "no trial of the store fulfils"),
        (["table", "first", "--where", "seed > 100"], 4, "no trial of `first` fulfils"),
        (["table", "first", "--where", "seed === 1"], 2, "name === does not exist"),
        (["query", "DELETE FROM trials"], 2, "must be one SELECT"),
        (["report", "first", "-o", "x.pdf"], 2, "must end in .html"),
        (["export", "x.xlsx"], 2, "must end in .parquet or .csv"),
        (["show", "zzz"], 4, "no trial whose key begins"),
        (["gc", "--drop", "thrid"], 4, "no sweep `thrid`"),
        (["diff", "first", "thrid"], 4, "no sweep `thrid`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_every_mistake_is_named(stored: Cli, arguments: list[str], code: int, message: str) -> None:
    got, out, err = stored(*arguments)
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_html_in_errors_and_names_is_text(stored: Cli) -> None:
    code, out, _ = stored(
        "table", "first", "--where", "'<script>' = '<script>'", "--format", "html"
    )
    assert (code, "<script>" in out) == (0, False)
    assert "&lt;script&gt;" in out


def test_shipped_sweeps_have_tables_before_they_have_run(cli: Cli, tmp_path: Path) -> None:
    Store(tmp_path / "store", create=True)
    code, out, _ = cli("table", REPOSITORY / "sweeps" / "absolute_value.yaml")
    assert (code, "no completed trial" in out, "9 missing" in out) == (0, True, True)
