"""The commit that rows carry tells apart whatever code has run."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.results.records import DIRTY, short_commit
from lnets.sweep import code
from lnets.sweep.code import code_commit


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in a checkout of its own."""
    folder = tmp_path / "checkout" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("one = 1\n")
    (folder.parent / ".gitignore").write_text("__pycache__\n")
    monkeypatch.setattr(code, "_PACKAGE", folder)
    return folder


def git(package: Path, *arguments: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=n@localhost", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=package.parent, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(package: Path) -> str:
    if not (package.parent / ".git").exists():
        git(package, "init", "-q")
    git(package, "add", "-A")
    git(package, "commit", "-q", "-m", "a commit")
    return git(package, "rev-parse", "HEAD")


def test_changes_are_told_apart_until_they_are_committed(package: Path) -> None:
    assert code_commit() is None
    first = commit(package)
    (package / "__init__.py").touch()
    assert code_commit() == first
    seen = {first}
    for change in ("one = 2\n", "one = 3\n"):
        (package / "__init__.py").write_text(change)
        seen.add(str(code_commit()))
    (package / "new.py").write_text("two = 2\n")
    seen.add(str(code_commit()))
    (package / "new.py").write_text("two = 3\n")
    seen.add(str(code_commit()))
    assert len(seen) == 5
    assert all(found.startswith(first) for found in seen)
    last = code_commit()
    assert last is not None
    assert last == code_commit()
    assert len(last.removeprefix(first + DIRTY)) == 64
    assert short_commit(last) == f"{first[:12]}-dirty-{last.rpartition('-')[2][:12]}"
    assert code_commit() != commit(package) == code_commit() != first


def test_what_is_no_code_is_no_change(package: Path) -> None:
    first = commit(package)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.pyc").write_text("compiled")
    (package.parent / "my_sweep.yaml").write_text("name: mine\n")
    assert code_commit() == first


def test_a_sweep_of_changed_code_is_refused_on_request(
    package: Path,
    cli: Callable[..., tuple[int, str, str]],
    tiny: dict[str, Any],
    write: Callable[..., Path],
) -> None:
    submit = ("submit", write(tiny), "--runner", "in-process")
    status, _, errors = cli(*submit, "--require-clean")
    assert (status, "is no checkout of git" in errors) == (2, True)
    first = commit(package)
    (package / "__init__.py").write_text("one = 2\n")
    status, _, errors = cli(*submit, "--require-clean")
    assert status == 2
    assert f"has changes ({first[:12]}-dirty-" in errors
    assert cli("list")[0] == 4, "something was run"
    assert cli(*submit)[0] == 0
    shown = short_commit(code_commit())
    assert f"commit {shown}" in cli("status", "tiny")[1]
    assert f"commit {shown}" in cli("table", "tiny")[1]
    assert f'"commit": "{code_commit()}"' in cli("list", "--json")[1]
    commit(package)
    assert cli(*submit, "--require-clean")[0] == 0
