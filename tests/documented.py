"""What the documentation's pages show: commands, code, names."""

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

PAGES = sorted(
    path
    for path in (
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").glob("*.md"),
        *REPOSITORY.glob("*/README.md"),
    )
    if path.name != "CHANGELOG.md"  # which speaks of the past
)
_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
NEEDS = re.compile(r"#\s*(needs|takes) ")
"""Begins the comment of a command that cannot be run just anywhere, or in a moment."""


@dataclass(frozen=True)
class Command:
    """A line of a shell."""

    page: str
    words: tuple[str, ...]
    needs: bool
    """Whether its comment says that it needs a cluster, a GPU, data or much time."""


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return [text for kind, text in _FENCED.findall(page.read_text()) if kind == language]


def inline(page: Path) -> list[str]:
    """Whatever is set as code within text."""
    text = _FENCED.sub("", page.read_text()).replace("\\|", "|")
    return [" ".join(code.split()) for code in _INLINE.findall(text)]


def commands(page: Path) -> list[Command]:
    """The commands of a page's shell blocks, in their order."""
    return [
        Command(page.name, _words(line), bool(NEEDS.search(line)))
        for block in blocks(page, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip()
    ]


def _words(line: str) -> tuple[str, ...]:
    """Without the variables that are set for it alone."""
    words = shlex.split(line, comments=True)
    return tuple(itertools.dropwhile(lambda word: re.match(r"[A-Z_]+=", word), words))


def mentions(page: Path) -> Iterator[tuple[str, ...]]:
    """Every call of `lnets-sweep`, in blocks or in text, as words."""
    texts = [line for block in blocks(page, "sh") for line in block.splitlines()]
    for text in [*texts, *inline(page)]:
        for call in re.findall(r"lnets-sweep [^;&|]*(?:'[^']*'|\"[^\"]*\")?[^;&]*", text):
            try:
                yield tuple(shlex.split(call, comments=True)[1:])
            except ValueError:  # an apostrophe of the text
                yield tuple(call.split()[1:])
