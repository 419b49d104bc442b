"""A newcomer's path: the README's commands, in a clean clone, end with the table that it shows.

`make` finds an environment there whose packages are this one's, so that torch is not installed once
more; `.ci/run` lets the same Makefile install everything.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.documented import blocks, commands

README = REPOSITORY / "README.md"
MAKE_TEST = ("make", "test")
HEAD = "model.activation"
MEASURED = {"train_seconds"}  # which is another on every machine
# Sums are split by threads: three seeds of 300 steps, at most so far from what the page shows.
TOLERANCE = 0.02


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of what is committed, with an environment in it."""
    made = tmp_path / "lnets"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, made], check=True)
    venv.create(made / ".venv", with_pip=False, symlinks=True)
    packages = made / ".venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    paths = [str(made), sysconfig.get_path("purelib")]
    (packages / "site-packages" / "lnets.pth").write_text("\n".join(paths))
    script = made / ".venv" / "bin" / "lnets-sweep"
    python = made / ".venv" / "bin" / "python"
    script.write_text(f"#!{python}\nfrom lnets.cli import main\n\nmain()\n")
    script.chmod(0o755)
    (made / ".venv" / ".ready").touch()
    return made


def table(text: str) -> dict[str, list[str]]:
    """Cells of the first table in a text, by the first one of each row."""
    lines = text[text.index("┏") : text.index("└")].splitlines()
    rows = [re.split(r"[│┃]", line)[1:-1] for line in lines if line[0] in "│┃"]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def number(cell: str) -> float:
    return float(cell.split()[0])


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="the README asks for make")
def test_the_readme_ends_with_its_table(clone: Path, tmp_path: Path) -> None:
    first, second, *_ = blocks(README, "sh")
    assert [command.words for command in commands(README)][:2] == [("make", "sweep"), MAKE_TEST]
    assert (
        "make check" in (REPOSITORY / ".ci" / "run").read_text()
    )  # which is more than `make test`
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", first.replace(" ".join(MAKE_TEST), ":") + second],
        cwd=clone,
        env={"PATH": os.defpath, "HOME": str(tmp_path), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown, printed = table(blocks(README, "")[0]), table(done.stdout)
    assert list(shown) == list(printed)[: len(shown)]
    names = shown.pop(HEAD)
    assert printed[HEAD] == names
    for row, cells in shown.items():
        for name, cell, got in zip(names, cells, printed[row], strict=True):
            if name not in MEASURED:
                assert number(got) == pytest.approx(number(cell), abs=TOLERANCE), (row, name)
    assert (clone / "pictures" / "absolute_value.html").is_file()
    changed = ["git", "status", "--porcelain"]
    assert subprocess.check_output(changed, cwd=clone, text=True) == ""
