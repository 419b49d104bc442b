"""Every command that a page shows can be typed as it stands there.

Sweeps are shortened to a few steps of few configurations, and what a page reads from the store is
put there before. What needs more than that says so in its comment, and is not run.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnets.cli import main
from tests.conftest import REPOSITORY
from tests.documented import PAGES, Command, blocks, commands

README = REPOSITORY / "README.md"
SHOWN = {page: commands(page) for page in PAGES if commands(page)}
CAPS = {"steps": 3, "epochs": 1, "test_sample_size": 16, "batch_size": 16, "configurations": 3}
OTHERS = {"split": {"type": "per_class", "train": 16, "validation": 2}, "step": 0.5, "seeds": 1}
LEFT_OUT = ("schedule", "max_train_seconds", "every")
NEEDED = ("gan_quick",)
"""Sweeps of which others need a configuration, so that all must be there."""
ENVIRONMENT = (
    *("make", "source", "export", "pip", "ray", "optuna-dashboard", "pytest"),
    "cluster/two-nodes.sh",
)
"""What else may be typed. `make sweep` and the script have tests of their own, and Ray's commands have
Ray's."""


def shortened(value: Any) -> Any:
    """A sweep, or a part of one, that takes a moment."""
    if isinstance(value, list):
        return [shortened(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if name in CAPS and isinstance(inner, int):
            found[name] = min(inner, CAPS[name])
        elif name == "layers":
            found[name] = [min(width, 128) for width in inner]
        elif name == "search" and value["name"] not in NEEDED:
            found[name] = {path: _fewer(domain) for path, domain in inner.items()}
        elif name not in LEFT_OUT:
            found[name] = OTHERS.get(name, shortened(inner))
    return found


def _fewer(domain: Any) -> Any:
    """Its first and last value, if it is a list."""
    return shortened(domain[:: max(1, len(domain) - 1)]) if isinstance(domain, list) else domain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a clone of the repository, with what pages speak of."""
    made = tmp_path_factory.mktemp("clone")
    for file in (REPOSITORY / "sweeps").rglob("*.yaml"):
        copy = made / file.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        sweep = {**shortened(yaml.safe_load(file.read_text())), "seeds": 1}
        copy.write_text(yaml.safe_dump(sweep, sort_keys=False))
    for file in (REPOSITORY / "tests" / "legacy").glob("*.json"):
        shutil.copy(file, made)
    files: dict[str, str] = {}
    for page in PAGES:
        for text in blocks(page, "yaml"):
            named = re.match(r"# (\w+\.yaml)\b", text)
            if named:
                files[named[1]] = files.get(named[1], "") + text
    for name, text in files.items():
        spec = yaml.safe_load(text)
        experiment = spec.get("experiment", spec)
        experiment["steps"] = min(experiment["steps"], CAPS["steps"])
        (made / name).write_text(yaml.safe_dump(spec, sort_keys=False))
    return made


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Type a command; returns what it prints on stdout."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LNETS_DATA", str(folder / "data"))
    monkeypatch.delenv("LNETS_STORE", raising=False)

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", list(words))
        code: Any = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        captured = capsys.readouterr()
        assert code == 0, f"{' '.join(words)}\n{captured.err}"
        return captured.out

    return call


def needed(words: tuple[str, ...], folder: Path) -> Iterator[str]:
    """The sweep files whose results a command reads, or which it submits."""
    stems = {file.stem: file for file in folder.rglob("*.yaml") if "name:" in file.read_text()}
    for word in re.findall(r"[\w-]+", " ".join(words)):
        if word in stems and words[1] not in ("validate", "plan", "run"):
            yield str(stems[word].relative_to(folder))


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("page", SHOWN, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_its_commands_can_be_typed(page: Path, run: Callable[..., str], folder: Path) -> None:
    there: set[str] = set()
    for command in SHOWN[page]:
        words = tuple(word for word in command.words if word != ">")
        if words[0] != "lnets-sweep":
            assert words[0] in ENVIRONMENT, " ".join(words)
            if words == ("make", "sweep"):
                run("lnets-sweep", "submit", "sweeps/absolute_value.yaml", "--runner", "in-process")
            continue
        if command.needs:
            continue
        for file in set(needed(words, folder)) - there:
            run("lnets-sweep", "submit", file, "--runner", "in-process")
            there.add(file)
        run(*_with_keys(_redirected(command), run))


def _redirected(command: Command) -> tuple[str, ...]:
    words = command.words
    return words[: words.index(">")] if ">" in words else words


def _with_keys(words: tuple[str, ...], run: Callable[..., str]) -> Iterator[str]:
    """The words, with keys of the store in place of those that the page makes up."""
    made_up = [word for word in words if re.fullmatch(r"[0-9a-f]{8,12}", word)]
    if made_up:
        column = "config_key" if words[1] == "compare" else "trial_key"
        sql = f"SELECT DISTINCT {column} FROM trials WHERE task = 'wasserstein' ORDER BY 1"
        keys = [row[column] for row in json.loads(run("lnets-sweep", "query", sql, "--json"))]
        found = dict(zip(made_up, keys, strict=False))
        words = tuple(found.get(word, word) for word in words)
    yield from words


def test_every_page_that_shows_commands_is_among_those() -> None:
    assert {README, REPOSITORY / "docs" / "results.md"} <= set(SHOWN)
    assert sum(not command.needs for page in SHOWN.values() for command in page) > 40
