"""Comparison tables as text for papers, pages and programs."""

import csv
import html
import io
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal

from lnets.results.rendering import Grid, footer, format_interval, mark, rounded
from lnets.results.tables import Cell, Table

Format = Literal["terminal", "markdown", "latex", "csv", "json", "html"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"{{{character}}}" for character in "[]*"},  # `\\` would take them for its own
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
    "…": r"\ldots{}",
}
_STYLE = """<style>
.lnets-table { margin: 1em 0; overflow-x: auto; }
.lnets-table table { border-collapse: collapse; border-block: 2px solid; }
.lnets-table td { font-variant-numeric: tabular-nums; white-space: nowrap; }
.lnets-table caption { font-weight: bold; padding: .3em 0; text-align: left; }
.lnets-table :is(th, td) { font-weight: normal; padding: .25em .75em; text-align: left; }
.lnets-table :is(td, .number) { text-align: right; }
.lnets-table thead th { border-bottom: 1px solid; vertical-align: bottom; }
.lnets-table figcaption { font-size: .8em; margin-top: .5em; }
.lnets-table abbr { text-decoration: none; }
</style>"""
_LATEX_HEAD = r"""% \usepackage{booktabs, siunitx}
\begin{table}
\centering
\sisetup{separate-uncertainty, mode=match, reset-text-series=false, reset-math-version=false,
  text-series-to-math}"""


def to_text(table: Table, kind: Format, *, title: str, command: str) -> str:
    """A table with its footer, which CSV has no place for.

    Args:
        table: What to write.
        kind: Any format but the terminal's.
        title: What it is called.
        command: What made it.
    """
    writers: Mapping[str, Callable[[Table, str, Sequence[str]], str]] = {
        "markdown": _markdown,
        "latex": _latex,
        "csv": _csv,
        "json": _json,
        "html": lambda *parts: f"{_STYLE}\n{html_table(*parts)}",
    }
    best = "bold:" if kind == "latex" else "*"
    return writers[kind](table, title, footer(table, command, best=best))


def _markdown(table: Table, title: str, notes: Sequence[str]) -> str:
    grid = Grid.of(table)

    def text(cell: Cell | None) -> str:
        if cell is None:
            return "–"
        number = format_interval(cell.interval) + grid.suffix(cell)
        return f"**{number}** \\*" if cell.best else f"{number} {mark(cell)}".strip()

    heads = [*map(_plain, grid.rows)]
    heads += [_plain(": ".join(filter(None, (c.heading, c.metric)))) for c in grid.columns]
    rows = [heads, ["---"] * len(grid.rows) + ["---:"] * len(grid.columns)]
    rows += [[*map(_plain, names), *map(text, cells)] for names, cells in grid.body]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"**{_plain(title)}**", "", *lines, "", *(f"{_plain(n)}  " for n in notes)])


def _plain(text: str) -> str:
    """Text that is no Markdown, and stays in its cell."""
    return re.sub(r"([\\`*_\[\]<>|~#&])", r"\\\1", " ".join(text.split()))


def _csv(table: Table, title: str, notes: Sequence[str]) -> str:
    """A line per cell, numbers as they are."""
    paths = [*table.layout.rows, *table.layout.columns]
    names = ["metric", "mean", "low", "high", "n", "best", "as_good", "p_value"]
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow([*paths, *names])
    for cell in table.cells:
        data, place = cell.to_json(), {**cell.row, **cell.column}
        values = [place[path] for path in paths]
        texts = [v if isinstance(v, str) else json.dumps(v) for v in values]
        rows.writerow([*texts, *(data[name] for name in names)])
    return written.getvalue().rstrip("\n")


def _json(table: Table, title: str, notes: Sequence[str]) -> str:
    data = {**table.to_json(), "footer": list(notes)}
    return json.dumps(data, indent=2, allow_nan=False)


def html_table(table: Table, title: str, notes: Sequence[str]) -> str:
    """A figure without any style of its own, but for `class` at it and its cells.

    Args:
        table: What to write.
        title: What it is called.
        notes: What stands below it.
    """
    grid = Grid.of(table)

    def text(cell: Cell | None) -> str:
        if cell is None:
            return "<td>–</td>"
        number = html.escape(format_interval(cell.interval) + grid.suffix(cell))
        if cell.best:
            return f'<td class="best"><strong>{number}</strong> <abbr title="best">*</abbr></td>'
        if cell.as_good:
            why = "not significantly worse than the best"
            return f'<td class="as-good">{number} <abbr title="{why}">≈</abbr></td>'
        return f"<td>{number}</td>"

    heads = [f'<th scope="col">{_breakable(path)}</th>' for path in grid.rows]
    for column in grid.columns:
        parts = map(_breakable, filter(None, (column.heading, column.metric)))
        heads.append(f'<th scope="col" class="number">{"<br>".join(parts)}</th>')
    body = []
    for names, cells in grid.body:
        row = [f'<th scope="row">{html.escape(name)}</th>' for name in names]
        body.append(f"<tr>{''.join([*row, *map(text, cells)])}</tr>")
    return "\n".join(
        [
            '<figure class="lnets-table">',
            f"<table>\n<caption>{html.escape(title)}</caption>",
            f"<thead><tr>{''.join(heads)}</tr></thead>",
            *["<tbody>", *body, "</tbody>", "</table>"],
            f"<figcaption>{'<br>'.join(map(html.escape, notes))}</figcaption>",
            "</figure>",
        ]
    )


def _breakable(name: str) -> str:
    """A name as HTML, with line breaks where its parts end."""
    return re.sub(r"(?<=[._@])(?=\w)", "<wbr>", html.escape(name))


def _latex(table: Table, title: str, notes: Sequence[str]) -> str:
    """For `booktabs` and version 3 of `siunitx`; bold numbers are the best."""
    grid = Grid.of(table)
    numbers = list(zip(*(cells for _, cells in grid.body), strict=True))
    columns = [_number_column(grid, [cell for cell in column if cell]) for column in numbers]
    heads = [rf"{{{_tex(column.metric)}}}" for column in grid.columns]
    lines = [rf"\begin{{tabular}}{{{'l' * len(grid.rows)}{''.join(columns)}}}", r"\toprule"]
    if table.layout.columns and heads:
        lines += _column_heads(grid)
    lines.append(rf"{' & '.join([*map(_tex, grid.rows), *heads])} \\")
    lines.append(r"\midrule")
    for names, cells in grid.body:
        texts = [*map(_tex, names), *(_tex_cell(grid, cell) for cell in cells)]
        lines.append(rf"{' & '.join(texts)} \\")
    below = "\\\\\n".join(map(_tex, notes))
    return "\n".join(
        [
            *[_LATEX_HEAD, rf"\caption{{{_tex(title)}}}", *lines],
            *[r"\bottomrule", r"\end{tabular}", r"\par\medskip\raggedright\footnotesize", below],
            r"\end{table}",
        ]
    )


def _column_heads(grid: Grid) -> list[str]:
    """The row above the metrics: what names their columns, and rules below it."""
    headings = [column.heading for column in grid.columns]
    groups = [(heading, len(list(run))) for heading, run in itertools.groupby(headings)]
    first = len(grid.rows) + 1
    rules = []
    for _, width in groups:
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    heads = [rf"\multicolumn{{{width}}}{{c}}{{{_tex(name)}}}" for name, width in groups]
    return [rf"{' & '.join([*[''] * len(grid.rows), *heads])} \\", "".join(rules)]


def _number_column(grid: Grid, cells: Sequence[Cell]) -> str:
    """An S column as wide as its numbers are."""
    whole = decimals = uncertain = 0
    sign = ""
    for cell in cells:
        mean, half = map(_tex_number, rounded(cell.interval))
        before, _, after = mean.partition(".")
        sign = "-" if before.startswith("-") else sign
        whole = max(whole, len(before.lstrip("-")))
        decimals = max(decimals, len(after))
        uncertain = max(uncertain, len(half.replace(".", "").lstrip("0")))
    number = f"{sign}{whole}.{decimals}" + (f"({uncertain})" if uncertain else "")
    post = max((_tex_post(grid, cell) for cell in cells), key=len, default="")
    space = f", table-space-text-post={{{post}}}" if post else ""
    return f"S[table-format={number}{space}]"


def _tex_cell(grid: Grid, cell: Cell | None) -> str:
    if cell is None:
        return "{--}"
    mean, half = map(_tex_number, rounded(cell.interval))
    number = f"{mean} +- {half}" if half else mean
    bold = r"\bfseries " if cell.best else ""
    return f"{bold}{number}{_tex_post(grid, cell)}"


def _tex_post(grid: Grid, cell: Cell) -> str:
    good = r"\,$\approx$" if cell.as_good else ""
    n = "" if grid.common_n is not None else rf"\,{{\scriptsize($n={cell.interval.n}$)}}"
    return good + n


def _tex_number(text: str | None) -> str:
    """Without an exponent."""
    return f"{Decimal(text):f}" if text else ""


def _tex(text: str) -> str:
    """Text that is no LaTeX."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
