import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lnets import __version__
from lnets.cli.commands import app
from lnets.specs.data import DataSpec, FileSplitSpec
from tests.conftest import REPOSITORY, enlarge

Write = Callable[..., Path]
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


def test_validate_answers_without_torch_and_ray(tmp_path: Path) -> None:
    program = (
        "import sys; from lnets.cli.commands import app\n"
        f"app(['validate', {str(REPOSITORY / 'sweeps' / 'absolute_value.yaml')!r}], "
        "standalone_mode=False)\n"
        "print(sorted({'torch', 'ray', 'optuna', 'deltalake', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "valid; 3 configurations × 3 seeds = 9 trials" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_road_from_a_question_to_a_table(
    cli: Callable[..., tuple[int, str, str]], write: Write, tiny: dict[str, Any], tmp_path: Path
) -> None:
    spec = write(tiny)
    code, out, _ = cli("validate", spec, "--json")
    assert (code, json.loads(out)["sweeps"][0]["trials"]) == (0, 4)
    code, out, _ = cli("plan", spec)
    assert code == 0
    assert "done already: 0, to run: 4" in out
    assert not (tmp_path / "store").exists()

    code, out, err = cli("submit", spec, "--runner", "in-process")
    assert code == 0
    assert "4 of 4 trials completed" in out
    assert "4/4 done" in err
    first_table = out

    code, out, err = cli("submit", spec)
    assert (code, out.splitlines()[:-1]) == (0, first_table.splitlines()[:-1])
    assert "nothing to run, 4 trials done" in err

    code, out, _ = cli("plan", spec, "--json")
    planned = json.loads(out)
    assert (code, planned["done"], planned["to_run"]) == (0, 4, [])
    assert planned["expected_train_seconds"] == 0

    assert first_table.endswith(f"made by: lnets-sweep submit {spec} --runner in-process\n")
    code, out, _ = cli("table", "tiny")
    assert out.splitlines()[:-1] == first_table.splitlines()[:-1]
    assert cli("table", spec)[1].splitlines()[:-1] == first_table.splitlines()[:-1]
    code, out, _ = cli("table", "tiny", "--json", "--values", "tightness", "--columns", "steps")
    cells = json.loads(out)["cells"]
    assert code == 0
    assert [cell["row"] for cell in cells] == [{"optim.lr": 0.1}, {"optim.lr": 0.2}]
    assert {(cell["metric"], cell["n"], cell["column"]["steps"]) for cell in cells} == {
        ("tightness", 2, 3)
    }

    columned = write(
        {**tiny, "table": {"rows": ["steps"], "columns": ["optim.lr"], "values": ["tightness"]}}
    )
    code, out, _ = cli("table", columned, "--rows", "optim.lr", "--json")
    assert code == 0
    assert [cell["column"] for cell in json.loads(out)["cells"]] == [{}, {}]

    code, out, _ = cli("list", "--json")
    [listed] = json.loads(out)
    assert (code, listed["name"], listed["state"], listed["completed"]) == (0, "tiny", "done", 4)
    code, out, _ = cli("status", "tiny")
    assert code == 0
    assert "4 of 4 trials completed" in out
    code, out, _ = cli("status", "--json")
    assert json.loads(out)[0]["driver"] is None

    sql = 'SELECT "optim.lr", count(*) AS n FROM trials GROUP BY 1 ORDER BY 1'
    code, out, _ = cli("query", sql, "--json")
    assert (code, json.loads(out)) == (0, [{"optim.lr": 0.1, "n": 2}, {"optim.lr": 0.2, "n": 2}])


def test_a_single_experiment(
    cli: Callable[..., tuple[int, str, str]], write: Write, tiny: dict[str, Any]
) -> None:
    file = write(tiny["experiment"], "my experiment.yaml")
    code, out, err = cli("run", file, "--seed", 5, "--json")
    result = json.loads(out)
    assert (code, result["status"]) == (0, "completed")
    assert "nothing to run" not in err
    code, again, err = cli("run", file, "--seed", 5, "--json")
    assert json.loads(again) == result
    assert "nothing to run" in err
    code, out, _ = cli("run", file, "--seed", 5)
    assert "wasserstein_estimate" in out
    assert json.loads(cli("list", "--json")[1])[0]["name"] == "my_experiment"


def test_failed_trials_end_with_exit_code_1_and_reasons(
    cli: Callable[..., tuple[int, str, str]], write: Write, tiny: dict[str, Any]
) -> None:
    enlarge(tiny["experiment"])
    tiny["search"] = {"test_sample_size": [4, 1_000_000]}
    code, out, err = cli("submit", write({**tiny, "seeds": 1}), "--runner", "in-process")
    assert code == 1
    assert "failed: tiny test_sample_size=1000000 seed=0:" in err
    assert "1 of 2 trials completed, 1 failed" in out
    assert "failed: trial " in cli("status", "tiny")[1]
    assert "can't allocate memory" in cli("status", "tiny")[1]
    tiny["experiment"]["test_sample_size"] = 1_000_000
    code, _, err = cli("run", write(tiny["experiment"]))
    assert code == 1
    assert "failed" in err
    tiny["experiment"] |= {"optim": {"type": "sgd", "lr": 1000.0}, "steps": 300}
    tiny["experiment"]["model"]["linear"] = {"type": "standard"}
    code, _, err = cli("run", write(tiny["experiment"]))
    assert (code, "diverged" in err) == (1, True)


@pytest.mark.usefixtures("_quick")
def test_the_road_of_a_sweep_that_needs_trials(
    cli: Callable[..., tuple[int, str, str]], write: Write, tuning: dict[str, Any]
) -> None:
    spec = write(tuning)
    code, out, _ = cli("validate", spec)
    assert (code, "= 2 trials, after 2 that they need" in out) == (0, True)
    code, out, err = cli("submit", spec, "--runner", "in-process")
    assert (code, "2 of 2 trials completed" in out, "4/4 done" in err) == (0, True, True)
    code, out, err = cli("submit", spec)
    assert (code, "nothing to run" in err) == (0, True)
    planned = json.loads(cli("plan", spec, "--json")[1])
    assert [need["status"] for need in planned["needs"].values()] == ["completed"] * 2

    tuning["needs"]["first"]["experiment"]["init_from"] = "b" * 64
    code, out, err = cli("submit", write({**tuning, "name": "broken"}), "--runner", "in-process")
    assert code == 1
    assert "0 of 2 trials completed, 2 blocked" in out
    assert "failed: broken needs first: " in err
    assert "blocked: broken needs second and 1 more: needs `first`, which has failed" in err
    assert "1 trial failed and 3 trials blocked; `lnets-sweep status broken`" in err
    out = cli("status", "broken")[1]
    assert "0 failed, 2 blocked, 0 missing" in out
    assert "blocked: 1 trial: needs `second`, which is blocked itself (trial " in out
    assert [row["state"] for row in json.loads(cli("list", "--json")[1])] == ["blocked", "done"]
    code, _, err = cli("run", write(tuning["needs"]["second"]["experiment"], "one.yaml"))
    assert (code, "names a need of a sweep" in err) == (2, True)


@pytest.mark.parametrize("command", ["validate", "plan", "submit", "table", "status", "run"])
def test_a_mistake_in_a_file_writes_nothing(
    cli: Callable[..., tuple[int, str, str]],
    write: Write,
    tiny: dict[str, Any],
    tmp_path: Path,
    command: str,
) -> None:
    tiny["experiment"]["stepz"] = 1
    file = write(tiny["experiment"] if command == "run" else tiny)
    if command in ("table", "status"):
        cli("submit", REPOSITORY / "sweeps" / "nothing.yaml")
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "lnets-store.json").write_text('{"schema_version": 1}')
    before = sorted(tmp_path.rglob("*"))
    code, out, err = cli(command, file)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {file}:")
    assert "did you mean `steps`?" in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["table", "x"], 4, "no results store here"),
        (["list"], 4, "submit a sweep first"),
        (["plan", "nothing.yaml"], 2, "no such file"),
        (["submit", "x.yaml", "--runner", "slurm"], 2, "slurm"),
        (["frobnicate"], 2, "frobnicate"),
        (["run", "x.yaml", "--seed", "-1"], 2, "greater than or equal to 0"),
        (["query", "SELECT 1", "--store", "s3://bucket"], 1, "a folder"),
        (["submit", str(REPOSITORY / "sweeps/absolute_value.yaml"), "--store", "/proc/x"], 1,
         "cannot be used"),
        (["submit", str(REPOSITORY / "sweeps/absolute_value.yaml"), "--store", str(REPOSITORY)], 1,
         "not a results store"),
        (["schema", "--check", "--folder", "/nowhere"], 2, "schema --write"),
    ],
)  # fmt: skip
def test_every_error_has_its_exit_code(
    cli: Callable[..., tuple[int, str, str]], arguments: list[str], code: int, message: str
) -> None:
    got, out, err = cli(*arguments)
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["validate", "plan", "submit"])
def test_a_wrong_sampler_is_told_with_its_place(
    cli: Callable[..., tuple[int, str, str]], tmp_path: Path, tiny: dict[str, Any], command: str
) -> None:
    def refused(algorithm: str) -> str:
        file = tmp_path / "tiny.yaml"
        rest = json.dumps({**tiny, "search": {"optim.lr": [0.1, 0.2]}})[1:]
        file.write_text(
            f'{{"algorithm":\n  {{type: optuna, configurations: 2, {algorithm}}},\n{rest}'
        )
        code, out, err = cli(command, file)
        assert (code, out) == (2, "")
        return err.removeprefix(f"error: {file}:").strip()

    assert refused("sampler: tpee") == (
        "2:37: algorithm.sampler: `tpee` is not a sampler of Optuna; did you mean `tpe`?"
    )
    assert refused("arguments: {n_startup: 4}") == (
        "2:49: algorithm.arguments.n_startup: is not an argument of TPESampler; "
        "did you mean `n_startup_trials`?"
    )


def test_what_the_store_does_not_know(
    cli: Callable[..., tuple[int, str, str]], write: Write, tiny: dict[str, Any]
) -> None:
    cli("submit", write(tiny), "--runner", "in-process")
    code, _, err = cli("table", "tinny")
    assert (code, "did you mean `tiny`?" in err) == (4, True)
    code, _, err = cli("status", "other")
    assert (code, "no sweep `other`" in err) == (4, True)
    code, _, err = cli("table", "tiny", "--values", "tightnes")
    assert (code, "did you mean `tightness`?" in err) == (2, True)
    code, _, err = cli("table", "tiny", "--rows", "optim.lrr")
    assert (code, "did you mean `optim.lr`?" in err) == (2, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"lnets-sweep {command}" in result.output.split("Example:")[1]


def test_the_schema_command(cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    assert set(json.loads(cli("schema")[1])) == {"sweep.schema.json", "experiment.schema.json"}
    assert cli("schema", "--write", "--folder", tmp_path / "schemas")[0] == 0
    assert cli("schema", "--check", "--folder", tmp_path / "schemas")[0] == 0
    (tmp_path / "schemas" / "sweep.schema.json").write_text("{}")
    code, _, err = cli("schema", "--check", "--folder", tmp_path / "schemas")
    assert (code, "sweep.schema.json" in err) == (2, True)


def test_mistakes_of_all_files_are_told(
    cli: Callable[..., tuple[int, str, str]], write: Write, tiny: dict[str, Any]
) -> None:
    seeds = {"a": 0, "b": 1, "c": 0}
    files = [write({**tiny, "seeds": n}, f"{name}.yaml") for name, n in seeds.items()]
    code, out, err = cli("validate", *files)
    assert code == 2
    assert "a.yaml:" in err
    assert "c.yaml:" in err
    assert out == f"{files[1]}: valid; 2 configurations × 1 seed = 2 trials\n"
    code, out, _ = cli("validate", *files, "--json")
    found = json.loads(out)
    assert (code, found["valid"], len(found["sweeps"]), len(found["mistakes"])) == (2, False, 1, 2)


def test_what_is_printed_is_data_not_markup(
    cli: Callable[..., tuple[int, str, str]], write: Write, tiny: dict[str, Any]
) -> None:
    cli("submit", write(tiny), "--runner", "in-process")
    assert "[red]x" in cli("query", "SELECT '[red]x' AS \"[/b]\"")[1]
    out = cli("query", "SELECT 'nan'::DOUBLE AS a, MAP {DATE '2020-01-01': 1} AS b", "--json")[1]
    assert json.loads(out)[0]["a"] is None
    assert cli("table", "tiny", "--rows", "steps,steps")[0] == 2
    assert cli("table", "tiny", "--values", "tightness,tightness")[0] == 2
    assert cli("run", write(tiny["experiment"], "größe ².yaml"))[0] == 0


def test_reading_commands_end_as_they_should(
    cli: Callable[..., tuple[int, str, str]], write: Write, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """An Arrow thread that calls Python aborted every second interpreter at its very end."""
    cli("submit", write(tiny), "--runner", "in-process")
    program = "from lnets.cli import main; main()"
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", program, "list", "--store", str(tmp_path / "store")],
            capture_output=True,
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_the_version(cli: Callable[..., tuple[int, str, str]]) -> None:
    assert cli("--version") == (0, f"{__version__}\n", "")


def test_figures_are_drawn_and_named(
    cli: Callable[..., tuple[int, str, str]], write: Write, tiny: dict[str, Any], tmp_path: Path
) -> None:
    cli("submit", write({**tiny, "seeds": 1, "search": {}}), "--runner", "in-process")
    code, out, _ = cli("figures", "tiny")
    (file,) = out.splitlines()
    assert code == 0
    assert file.startswith(str(tmp_path / "store" / "artifacts"))
    assert Path(file).name == "learning_curves.png"
    code, out, _ = cli("figures", "tiny", "--out", tmp_path / "pictures", "--json")
    assert (code, len(json.loads(out))) == (0, 1)
    (picture,) = map(Path, json.loads(out))
    key = json.loads(cli("query", "SELECT trial_key FROM trials", "--json")[1])[0]["trial_key"]
    assert picture.parent == tmp_path / "pictures" / f"seed=0_{key[:12]}"
    cli("submit", write({**tiny, "name": "two", "seeds": 1}), "--runner", "in-process")
    out = cli("figures", "two", "--out", tmp_path / "two")[1]
    folders = sorted(Path(file).parent.name.rpartition("_")[0] for file in out.splitlines())
    assert folders == ["lr=0.1_seed=0", "lr=0.2_seed=0"]
    code, _, err = cli("figures", "other")
    assert (code, "no sweep `other`" in err) == (4, True)


def test_splits_are_written_as_files(
    cli: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNETS_DATA", str(tmp_path / "sets"))
    folder = "small"
    options = ("--per-class", 30, "--validation-per-class", 10)
    code, _, err = cli("split", folder, "--dataset", "digits", *options)
    assert (code, len(err.splitlines())) == (0, 2)
    data = {"dataset": "digits", "split": {"type": "files", "folder": folder}}
    split = DataSpec.model_validate(data).split
    assert isinstance(split, FileSplitSpec)
    assert [len(indices) for indices in split.read(1_438)] == [300, 100]
    code, _, err = cli("split", folder, "--dataset", "digit", *options)
    assert (code, "did you mean `digits`?" in err) == (2, True)
    code, _, err = cli("split", folder, "--dataset", "digits", *options[:3], 110)
    assert code == 2
    assert "must be at most 139 images per class" in err
