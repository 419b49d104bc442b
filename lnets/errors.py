"""Everything that lnets raises on purpose.

LnetsError                exit code 1
├── SpecError             2  the person's file or flags are wrong; nothing was dispatched
├── TrialError            1  a trial could not produce a result
├── DataError             1  a data set is not there, or is damaged
├── StoreError            1  the results store cannot be read or written; it is left untouched
│   └── NotFoundError     4  no such store, sweep or trial
└── ClusterError          3  Ray could not be started or reached
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


class LnetsError(Exception):
    """Base of every error whose message is meant for a person."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True)
class Problem:
    """One mistake in a spec: where it is, which rule it breaks, and what to do."""

    where: str
    """`file:line:column`."""
    path: str
    """The field, as a dotted path from the top of the file; empty for the file itself."""
    message: str
    """The rule, then the values, then the remedy."""

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.where, self.path, self.message) if part)
        return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


class SpecError(LnetsError):
    """A spec, or a flag, that asks for something that cannot be done."""

    exit_code = 2

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class TrialError(LnetsError):
    """A trial that could not produce a result."""


class DataError(LnetsError):
    """A data set that is not there, or is damaged."""


class StoreError(LnetsError):
    """A store that cannot be read or written."""


class NotFoundError(StoreError):
    """A store, sweep or trial that does not exist."""

    exit_code = 4


class ClusterError(LnetsError):
    """Ray could not be started or reached."""

    exit_code = 3


@contextlib.contextmanager
def writing(file: Path) -> Iterator[None]:
    """Make the folder of a file that a person has named, and write it in the block.

    Raises:
        SpecError: If that cannot be.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise SpecError(f"{file}: cannot be written: {error.strerror or error}") from None
