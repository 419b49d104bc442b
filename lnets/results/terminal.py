"""Tables as wide as a terminal, in which no word is broken that need not be."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from lnets.results.rendering import MADE_BY, Grid, format_interval, mark
from lnets.results.tables import Cell, Table

_FRAME = 3  # beside a column: a line, and a space on both sides of the text
_EDGES = 4  # a line and a space on both sides of a table
# Of names, which are written without spaces; the point of a number is none of their ends.
_PIECE = re.compile(r"(?:[^\s._@,/]|\.(?=\d))*[\s._@,/]*")


@dataclass(frozen=True)
class _Column:
    """What stands in a column."""

    head: str
    cells: Sequence[Text]
    number: bool = False
    """Whether of numbers, which stay on one line."""

    @cached_property
    def content(self) -> int:
        """The width of the widest cell."""
        return max((cell_len(cell.plain) for cell in self.cells), default=0)

    @cached_property
    def natural(self) -> int:
        """The width in which nothing is wrapped."""
        return max(self.content, *map(cell_len, self.head.split("\n")))

    @cached_property
    def least(self) -> int:
        """The width in which no piece of a name, and no number, is broken."""
        if self.number:
            return max(self.content, _longest(self.head))
        return max(_longest(self.head), *(_longest(cell.plain) for cell in self.cells), 0)


def render(table: Table, *, width: int, title: str = "") -> list[RichTable]:
    """A comparison table for a terminal; of one metric, which is then named above it, a matrix.

    Args:
        table: What to show.
        width: Of the terminal, in letters.
        title: What the table is called.

    Returns:
        One table, or several below each other, each with some of the columns of numbers.
    """
    grid = Grid.of(table)
    matrix = bool(table.layout.columns) and len(table.layout.values) == 1
    if matrix:
        title = ": ".join(filter(None, (title, table.layout.values[0])))
    names = [
        _Column(path, [Text(texts[i]) for texts, _ in grid.body])
        for i, path in enumerate(grid.rows)
    ]
    numbers = [
        _Column(
            column.heading if matrix else f"{column.heading}\n{column.metric}".strip(),
            [_styled(grid, cells[i]) for _, cells in grid.body],
            number=True,
        )
        for i, column in enumerate(grid.columns)
    ]
    return _blocks(names, numbers, title, width)


def render_texts(
    title: str,
    names: Mapping[str, Sequence[str]],
    numbers: Mapping[str, Sequence[str]],
    *,
    width: int,
) -> list[RichTable]:
    """A table for a terminal of what is there as text.

    Args:
        title: What it is called.
        names: The cells of the columns that name rows, by heading.
        numbers: The same of those that are not wrapped.
        width: Of the terminal, in letters.

    Returns:
        One table, or several below each other, each with some of the columns of numbers.
    """
    return _blocks(
        [_Column(head, list(map(Text, cells))) for head, cells in names.items()],
        [_Column(head, list(map(Text, cells)), number=True) for head, cells in numbers.items()],
        title,
        width,
    )


def render_rows(rows: Sequence[dict[str, str]], *, width: int) -> RichTable | list[str]:
    """Rows of equal columns; where the terminal is too narrow for them, a line per value.

    Args:
        rows: By column, one at least.
        width: Of the terminal, in letters.
    """
    columns = [_Column(name, [Text(row[name]) for row in rows]) for name in rows[0]]
    widths = [column.natural for column in columns]
    if _total(widths) > width:
        widths = _fitted(columns, width)
    if _total(widths) <= width + _EDGES:
        shown = _table(list(zip(columns, widths, strict=True)), "")
        shown.show_edge = shown.pad_edge = _total(widths) <= width
        return shown
    longest = max(map(cell_len, rows[0]))
    records = [
        [f"{name}{' ' * (longest - cell_len(name))}  {text}" for name, text in row.items()]
        for row in rows
    ]
    return [line for record in records for line in (*record, "")][:-1]


def wrap_notes(lines: Sequence[str], *, width: int) -> list[str]:
    """Lines below a table, wrapped between words; commands are not, so that they can be copied."""
    return [
        part
        for line in lines
        for part in (
            [line]
            if line.startswith(MADE_BY)
            else textwrap.wrap(
                line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        )
    ]


def _blocks(
    names: Sequence[_Column], numbers: Sequence[_Column], title: str, width: int
) -> list[RichTable]:
    """All columns in one table, or in some that repeat the names."""
    if _total([column.natural for column in (*names, *numbers)]) <= width:
        return [_table([(one, one.natural) for one in (*names, *numbers)], title)]
    widest = max((column.least for column in numbers), default=0)
    room = min(width // 2, width - widest - _FRAME)
    named = list(zip(names, _fitted(names, room), strict=True))
    blocks: list[list[tuple[_Column, int]]] = []
    for column in numbers:
        shown = (column, column.least)
        if blocks and _total([w for _, w in (*named, *blocks[-1], shown)]) <= width:
            blocks[-1].append(shown)
        else:
            blocks.append([shown])
    spare = width - max(_total([w for _, w in (*named, *block)]) for block in blocks or [[]])
    named = list(zip(names, _fitted(names, room + max(0, spare)), strict=True))
    return [_table([*named, *block], "" if i else title) for i, block in enumerate(blocks or [[]])]


def _fitted(columns: Sequence[_Column], width: int) -> list[int]:
    """Widths of columns of words: what is over is for those that lack least."""
    widths = [column.least for column in columns]
    while _total(widths) < width:
        short = [i for i, one in enumerate(columns) if widths[i] < one.natural]
        if not short:
            break
        widths[min(short, key=lambda i: columns[i].natural - widths[i])] += 1
    return widths


def _table(columns: Sequence[tuple[_Column, int]], title: str) -> RichTable:
    shown = RichTable(title=title or None, title_justify="left")
    for column, width in columns:
        shown.add_column(
            Text(wrapped(column.head, width)),
            justify="right" if column.number else "left",
            width=width,
            overflow="fold",
        )
    for row in zip(*(column.cells for column, _ in columns), strict=True):
        shown.add_row(
            *(
                cell if column.number else Text(wrapped(cell.plain, width))
                for cell, (column, width) in zip(row, columns, strict=True)
            )
        )
    return shown


def _styled(grid: Grid, cell: Cell | None) -> Text:
    if cell is None:
        return Text("–")
    text = f"{format_interval(cell.interval)}{grid.suffix(cell)} {mark(cell) or ' '}"
    return Text(text, style="bold" if cell.best else "")


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _FRAME * len(widths) + 1


def _longest(text: str) -> int:
    return max((cell_len(piece.rstrip()) for piece in _PIECE.findall(text)), default=0)


def wrapped(text: str, width: int) -> str:
    """Text with line breaks between its pieces, so that it is no wider where that can be."""
    lines: list[str] = []
    for given in text.split("\n"):
        lines.append("")
        for piece in _PIECE.findall(given):
            if lines[-1] and cell_len((lines[-1] + piece).rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)
