"""What has become of every field of a configuration."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lnets.specs.spec import Path


class LeftOut(NamedTuple):
    """Fields that an experiment does not have, and why."""

    fields: tuple[tuple[str, Any], ...]
    why: str


class Account:
    """What has become of every field that a configuration gives, so that none is lost silently.

    Args:
        data: The configuration as it stands in its file.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self._values = dict(_leaves(data))
        self._open = dict.fromkeys(self._values)
        self.ignored: list[LeftOut] = []
        """What the original did not read."""
        self.elsewhere: list[LeftOut] = []
        """What is no part of an experiment here."""
        self.differs: list[str] = []
        """What the original did and the experiment does not."""
        self.beside: dict[Path, list[str]] = {}
        """Comments on fields of the experiment, by their path there."""

    def given(self, path: str) -> bool:
        """Whether the configuration has a field, or fields of a section."""
        return any(_within(leaf, path) for leaf in self._values)

    def carry(self, *paths: str) -> None:
        """These fields decide what stands in the experiment."""
        for path in paths:
            for leaf in self._leaves(path):
                self._open.pop(leaf, None)

    def take(self, section: str, fields: Any, *names: str) -> dict[str, Any]:
        """Values of those fields of a section that are given; they are carried over."""
        found = {}
        for name in names:
            path = f"{section}.{name}" if section else name
            if self.given(path):
                found[name] = getattr(fields, name)
                self.carry(path)
        return found

    def ignore(self, why: str, *paths: str) -> None:
        """The original did not read these fields; nothing where they are not given."""
        self._leave_out(self.ignored, why, paths)

    def drop(self, why: str, *paths: str) -> None:
        """These fields are no part of an experiment here; nothing where they are not given."""
        self._leave_out(self.elsewhere, why, paths)

    def comment(self, path: str, text: str) -> None:
        """Say something beside a field of the experiment."""
        self.beside.setdefault(tuple(path.split(".")), []).append(text)

    def rest(self) -> list[str]:
        """Fields of which nothing has been said."""
        return list(self._open)

    def _leave_out(self, into: list[LeftOut], why: str, paths: Iterable[str]) -> None:
        leaves = [leaf for path in paths for leaf in self._leaves(path) if leaf in self._open]
        if leaves:
            into.append(LeftOut(tuple((leaf, self._values[leaf]) for leaf in leaves), why))
            self.carry(*leaves)

    def _leaves(self, path: str) -> list[str]:
        return [leaf for leaf in self._values if _within(leaf, path)]


def _within(leaf: str, path: str) -> bool:
    return f"{leaf}.".startswith(f"{path}.")


def _leaves(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def in_words(left_out: LeftOut) -> str:
    """One line: the fields with their values, and why."""
    values = ((path, json.dumps(value, ensure_ascii=False)) for path, value in left_out.fields)
    named = ", ".join(f"{path} {value}" for path, value in values)
    return f"{named}: {left_out.why}"
