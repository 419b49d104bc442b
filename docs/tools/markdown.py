"""Pieces of Markdown."""

import html
import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]*`)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty where it has no rows."""
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""])


def line(text: str) -> str:
    """Text in one line, in which nothing but code is taken for markup."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _cell(text: str) -> str:
    """Text for a table, in which renderers disagree on how code has a bar."""
    parts = _CODE.split(text)
    return "".join(
        f"<code>{html.escape(part[1:-1]).replace('|', '&#124;')}</code>"
        if part.startswith("`") and "|" in part
        else part.replace("|", "\\|")
        for part in parts
    )
