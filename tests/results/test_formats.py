"""Every format says the same numbers, and nothing in a name can leave its cell."""

import csv
import html.parser
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from lnets.results.formats import Format, to_text
from lnets.results.rendering import format_interval
from lnets.results.store import Store
from lnets.results.tables import Table
from tests.results.stored import demo_store, demo_sweep, layout, put_values, tabulate

# What an S column takes: a number with its uncertainty, or anything in braces.
NUMBER = r"(\\bfseries )?-?\d+(\.\d+)?( \+- \d+(\.\d+)?)?(\\,.*)?|\{.*\}|\\multicolumn.*"
BROKEN: dict[str, Callable[[str], str]] = {
    "brace": lambda text: text.replace(r"\begin{table}", r"\begin{table"),
    "cell": lambda text: text.replace(" & ", " ", 3),
    "environment": lambda text: text.replace(r"\end{tabular}", ""),
    "number": lambda text: text.replace("+-", "±"),
    "sign": lambda text: text.replace(r"\_", "_"),
}
NASTY = '<b>x</b> & |y| *z* _u_ 100% $5 #1 {a} ~ ^ \\ `c` [d] "e"'


def text_of(table: Table, kind: Format, title: str = "demo") -> str:
    return to_text(table, kind, title=title, command="lnets-sweep table demo")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return tabulate(
        demo_store(tmp_path / "store", seeds=7),
        demo_sweep(seeds=7),
        layout=layout(
            rows=("model.activation", "optim.lr"),
            columns=("model.layers",),
            values=("tightness", "train_seconds"),
        ),
    )


@pytest.fixture
def nasty(tmp_path: Path) -> Table:
    """Names that every markup could take for its own; cells that differ in n; empty cells."""
    store = Store(tmp_path / "store", create=True)
    a = put_values(store, NASTY, {seed: 0.9 + 0.01 * seed for seed in range(12)})
    b = put_values(store, "[1, 2]*", {seed: -1234.5 * seed for seed in range(7)})
    c = put_values(store, "c", {0: 1e-7})
    return tabulate(store, a, b, c, layout=layout(rows=("name",), columns=("optim.lr",)))


class Cells(html.parser.HTMLParser):
    """Texts of a page's cells, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("br", "wbr"):
            self.open.append(tag)
        if tag in ("td", "th"):
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.texts[-1] += data


def test_html_is_a_table_whose_names_are_text(table: Table, nasty: Table) -> None:
    for made, name in ((table, "maxmin"), (nasty, NASTY)):
        page = text_of(made, "html", title="<script>alert(1)</script>")
        cells = Cells()
        cells.feed(page)
        assert cells.open == []
        assert set(cells.tags) <= {
            "figure", "table", "caption", "thead", "tbody", "tr", "th", "td", "br", "strong",
            "abbr", "figcaption", "style", "wbr",
        }  # fmt: skip
        assert name in cells.texts
        assert "http" not in page
        for cell in made.cells:
            assert any(format_interval(cell.interval) in text for text in cells.texts)


def test_markdown_has_as_many_cells_in_every_row(table: Table, nasty: Table) -> None:
    for made in (table, nasty):
        lines = [line for line in text_of(made, "markdown").splitlines() if line.startswith("| ")]
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(widths) == 1
        rows = {json.dumps(dict(cell.row)) for cell in made.cells}
        assert len(lines) == 2 + len(rows)
    text = text_of(table, "markdown")
    assert "**0.930 ± 0.020** \\*" in text
    assert r"\<b\>x\</b\> \& \|y\| \*z\*" in text_of(nasty, "markdown")


def test_csv_has_all_digits_and_a_line_per_cell(nasty: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(text_of(nasty, "csv"))))
    assert len(rows) == len(nasty.cells) == 3
    assert rows[0]["name"] == NASTY
    for row, cell in zip(rows, nasty.cells, strict=True):
        assert float(row["mean"]) == cell.interval.mean
        assert int(row["n"]) == cell.interval.n
    assert rows[2]["low"] == ""


def test_json_is_data_with_its_footer(table: Table) -> None:
    data = json.loads(text_of(table, "json"))
    assert list(data)[:2] == ["sweeps", "cells"]
    cell: dict[str, Any] = data["cells"][0]
    assert {"row", "column", "metric", "mean", "low", "high", "n", "best"} <= set(cell)
    assert data["footer"][-1] == "made by: lnets-sweep table demo"


def test_every_format_tells_seeds_version_and_command(table: Table) -> None:
    for kind in set(get_args(Format)) - {"terminal", "csv"}:
        text = text_of(table, kind)
        assert "seeds 0" in text
        assert "of the store" in text
        assert "made by: lnets" in text


def column_kinds(preamble: str) -> str:
    """The letters of a tabular's columns, without the options of S columns."""
    depth, kinds = 0, ""
    for character in preamble:
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0)
        kinds += character if depth == 0 and character in "lS" else ""
    return kinds


def check_latex(text: str) -> None:
    """What a compiler would trip over: braces, environments, bare signs, cells per row, numbers.

    Raises:
        AssertionError: Saying which.
    """
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    depth = 0
    for character in re.sub(r"\\[\\{}]", "", body):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0, "a brace is closed that was not opened"
    assert depth == 0, "a brace stays open"
    begun = re.findall(r"\\begin\{(\w+)\}", body)
    assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", body)), "an environment is open"
    assert not re.search(r"(?<!\\)[#%_^]", re.sub(r"\$[^$]*\$", "", body)), "a bare sign"
    found = re.search(r"\\begin\{tabular\}\{(.*)\}\n\\toprule\n(.*)\\bottomrule", body, re.DOTALL)
    assert found is not None, "there is no table"
    kinds = column_kinds(found[1])
    for line in found[2].split("\\\\\n")[:-1]:
        row = re.sub(r"\\(midrule|cmidrule(\(lr\))?\{[\d-]+\})\s*", "", line)
        cells = re.split(r"(?<!\\)&", row)
        spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
        assert len(cells) + spanned == len(kinds), f"{len(cells)} cells in {row}"
        if not spanned:
            for cell, kind in zip(cells, kinds, strict=True):
                assert kind == "l" or re.fullmatch(NUMBER, cell.strip()), f"no number: {cell}"


def test_latex_passes_a_checker(table: Table, nasty: Table) -> None:
    for made in (table, nasty):
        check_latex(text_of(made, "latex", title=NASTY))
    text = text_of(table, "latex")
    assert r"\bfseries 0.930 +- 0.020" in text
    assert r"\toprule" in text
    assert "S[table-format=1.3(2)" in text


@pytest.mark.parametrize("broken", BROKEN)
def test_the_checker_finds_mistakes(table: Table, broken: str) -> None:
    text = text_of(table, "latex")
    with pytest.raises(AssertionError):
        check_latex(BROKEN[broken](text))


@pytest.mark.skipif(
    not (shutil.which("tectonic") or shutil.which("pdflatex")), reason="there is no TeX here"
)
def test_latex_compiles(table: Table, nasty: Table, tmp_path: Path) -> None:
    tables = "\n".join(text_of(made, "latex", title=NASTY) for made in (table, nasty))
    source = (
        "\\documentclass{article}\n\\usepackage{booktabs, siunitx}\n"
        f"\\begin{{document}}\n{tables}\n\\end{{document}}\n"
    )
    file = tmp_path / "table.tex"
    file.write_text(source, encoding="utf-8")
    command = ["tectonic", file.name]
    if not shutil.which("tectonic"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", file.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert file.with_suffix(".pdf").stat().st_size > 0
