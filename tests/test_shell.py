"""What a shell and a terminal are given: completion, help, colours."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lnets.cli.app import EXIT_CODES, ORDER, app
from lnets.errors import ClusterError, LnetsError, NotFoundError, SpecError, StoreError, TrialError

GROUP: Any = typer.main.get_command(app)
COMPLETED = re.compile(r"SPEC|EXPERIMENT|SWEEP|TRIAL|^FILE\.json$|^A$|^B$|^A B$")
WIDE = {"COLUMNS": "200"}
PROGRAM = "from lnets.cli import main; import sys; sys.argv[0] = 'lnets-sweep'; main()"


@pytest.fixture
def stored(
    cli: Callable[..., tuple[int, str, str]], write: Callable[..., Path], tiny: dict[str, Any]
) -> Callable[..., tuple[int, str, str]]:
    cli("submit", write({**tiny, "seeds": 1}), "--runner", "in-process")
    return cli


def a_key(stored: Callable[..., tuple[int, str, str]]) -> str:
    found = stored("query", "SELECT min(trial_key) AS trial_key FROM trials", "--json")[1]
    return json.loads(found)[0]["trial_key"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_options_and_what_they_take(
    stored: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shell: str,
) -> None:
    def offered(words: str) -> str:
        """For the last word, by the protocol of the shell's completion script."""
        with monkeypatch.context() as patch:
            patch.setenv("_LNETS_SWEEP_COMPLETE", f"complete_{shell}")
            patch.setenv("COMP_WORDS", words)
            patch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
            patch.setenv("_TYPER_COMPLETE_ARGS", words)
            patch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
            code, out, err = stored()
        assert (code, err) == (0, "")
        return out

    key = a_key(stored)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "questions").mkdir()
    (tmp_path / "questions" / "mine.yaml").touch()
    (tmp_path / "questions" / "notes.txt").touch()
    assert "validate" in offered("lnets-sweep val")
    assert "--where" in offered("lnets-sweep table x --wh")
    assert "wasserstein" in offered("lnets-sweep table x --kind was")
    assert "questions/mine.yaml" in offered("lnets-sweep submit qu")
    assert f"{tmp_path}/questions/mine.yaml" in offered(f"lnets-sweep run {tmp_path}/qu")
    assert "notes" not in offered("lnets-sweep submit qu")
    assert "tiny" in offered("lnets-sweep table ti")
    assert key[:12] in offered(f"lnets-sweep show {key[:3]}")
    assert key in offered(f"lnets-sweep audit {key[:14]}")
    assert "tiny" not in offered(f"lnets-sweep table --store {tmp_path / 'none'} ti")


def test_completion_is_quick_and_needs_neither_torch_nor_ray(
    stored: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    program = (
        "import atexit, sys; atexit.register(lambda: print(sorted("
        "{'torch', 'ray', 'optuna', 'duckdb', 'scipy', 'matplotlib'} & set(sys.modules))));"
    )
    asked = {"_LNETS_SWEEP_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    words = {"COMP_WORDS": "lnets-sweep show "}
    done = subprocess.run(
        [sys.executable, "-c", program + PROGRAM],
        env=os.environ | asked | words,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    *keys, imported = done.stdout.splitlines()
    assert (len(keys), imported) == (2, "[]")


def test_the_scripts_that_shells_source_exist() -> None:
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"_LNETS_SWEEP_COMPLETE": f"source_{shell}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "_LNETS_SWEEP_COMPLETE" in done.stdout


@pytest.mark.parametrize("name", GROUP.commands)
def test_whatever_takes_a_sweep_a_trial_or_a_spec_completes_it(name: str) -> None:
    for param in GROUP.commands[name].params:
        if param.metavar and COMPLETED.search(param.metavar):
            assert param._custom_shell_complete is not None, param.name


@pytest.mark.parametrize("name", ["", *GROUP.commands])
def test_help_shows_a_type_only_where_a_value_follows(name: str) -> None:
    shown = CliRunner().invoke(app, [*filter(None, [name]), "--help"], env=WIDE).output
    assert "<bool>" not in shown
    assert "Show this message and exit." in shown


def test_help_lists_commands_as_a_person_meets_them() -> None:
    shown = CliRunner().invoke(app, ["--help"], env=WIDE).output
    assert re.findall(r"(?m)^│ ([a-z]+) ", shown) == list(ORDER)
    assert set(ORDER) == set(GROUP.commands)


def test_exit_codes_are_told_and_are_those_of_errors() -> None:
    shown = " ".join(CliRunner().invoke(app, ["--help"], env=WIDE).output.split())
    assert all(f"{code} {what}" in shown for code, what in EXIT_CODES.items())
    errors = (LnetsError, SpecError, TrialError, StoreError, NotFoundError, ClusterError)
    assert {error.exit_code for error in errors} == set(EXIT_CODES) - {0, 130}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["tabel"], "Did you mean 'table'?"),
        (["table", "x", "--rowz", "y"], "--rows"),
        (["table", "x", "--kind", "wassersten"], "Did you mean 'wasserstein'?"),
        (["table", "x", "--format", "latx"], "Did you mean 'latex'?"),
        (["plot", "curve", "x"], "Did you mean 'curves'?"),
    ],
)
def test_the_nearest_name_is_told(
    cli: Callable[..., tuple[int, str, str]], arguments: list[str], hint: str
) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert hint in " ".join(err.replace("│", "").split())
    assert "Value error" not in err


@pytest.mark.parametrize("colourless", [False, True])
def test_a_terminal_gets_colours_unless_it_says_no(colourless: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "plan", "--help"],
        env=environment | {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if colourless else {}),
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with open(ours, "rb", buffering=0) as terminal:
            while True:
                try:
                    read = terminal.read(4096)
                except OSError:  # its other end is closed
                    break
                if not read:
                    break
                shown += read
    assert process.returncode == 0
    assert b"Show what a sweep would run" in re.sub(rb"\x1b\[[0-9;]*m", b"", shown)
    coloured = re.search(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|38|9[0-7])[;m]", shown)
    assert (coloured is None) == colourless


def test_folders_are_made_for_whatever_is_written(
    stored: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    for i, command in enumerate((["report", "tiny", "-o"], ["plot", "curves", "tiny", "-o"])):
        file = folder / str(i) / ("page.html", "curves.pdf")[i]
        assert stored(*command, file)[0] == 0
        assert file.exists()
    assert stored("export", folder / "2" / "trials.csv")[0] == 0
    (tmp_path / "file").touch()
    for command in (["report", "tiny", "-o"], ["plot", "curves", "tiny", "-o"], ["export"]):
        suffix = ".html" if command[0] == "report" else ".pdf" if command[0] == "plot" else ".csv"
        code, out, err = stored(*command, tmp_path / "file" / f"x{suffix}")
        assert (code, out) == (2, "")
        assert f"x{suffix}: cannot be written: " in err
        assert "errno" not in err
    code, out, err = stored("figures", "tiny", "--out", tmp_path / "file" / "x")
    assert (code, out, "cannot be written: " in err) == (2, "", True)


def test_a_trial_is_shown_with_each_attempt_once(
    stored: Callable[..., tuple[int, str, str]],
) -> None:
    key = a_key(stored)
    out = stored("show", key)[1]
    assert [line.split() for line in out.splitlines() if line.startswith("attempt")] == [
        ["attempt", "1", "completed"]
    ]
