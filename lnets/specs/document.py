"""A YAML file as data, in which every value keeps its place."""

import re
from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Any

import yaml

from lnets.errors import Problem, SpecError
from lnets.specs.spec import Path

MAX_BYTES = 1_000_000
MAX_NODES = 100_000

_MAX_SHOWN = 20
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".nan": float("nan"),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
}


class _Loader(yaml.BaseLoader):
    """Takes every scalar as text, and refuses what a spec has no use for."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        tag = getattr(event, "tag", None)
        if tag is not None:
            problem = f"YAML tags are not allowed, got `{tag}`; leave it out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


class Document:
    """A parsed file: its data, lists as tuples, and where every part of it stands.

    Args:
        file: What errors name.
        text: What it says; None reads the file.

    Raises:
        SpecError: If it cannot be read, or is no YAML that a spec may be.
    """

    def __init__(self, file: FilePath, text: str | None = None) -> None:
        self.file = file
        self._keys: dict[Path, yaml.Mark] = {}
        self._values: dict[Path, yaml.Mark] = {}
        self._nodes = 0
        text = read_text(file) if text is None else text
        try:
            node = yaml.compose(text, Loader=_Loader)
            self.data: Any = None if node is None else self._construct(node, (), ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            reason = ", ".join(part for part in (error.context, error.problem) if part)
            if "tags" not in reason:
                reason = f"is not valid YAML: {reason}; mend the syntax"
            raise refusal_at(file, _place(mark), reason) from None
        except yaml.reader.ReaderError as error:
            code = f"U+{error.character:04X}" if isinstance(error.character, int) else "bytes"
            raise refusal_at(
                file,
                _place_of(text, error.position),
                f"must be plain text, got {code}; leave it out",
            ) from None
        except RecursionError:
            raise refusal_at(file, "1:1", "is nested too deeply; is it a spec?") from None

    def error(self, problems: Iterable[tuple[Path, str]]) -> SpecError:
        """One error for all problems, those at one place put together."""
        merged: dict[Path, list[str]] = {}
        for path, message in problems:
            merged.setdefault(path, []).append(message)
        found = [
            Problem(self._where(path), ".".join(map(str, path)), "; or ".join(messages))
            for path, messages in merged.items()
        ]
        lines = [str(problem) for problem in found[:_MAX_SHOWN]]
        if len(found) > _MAX_SHOWN:
            lines.append(f"… and {len(found) - _MAX_SHOWN} more mistakes")
        return SpecError("\n".join(lines), found)

    def refusal(self, path: Path, message: str) -> SpecError:
        """An error about one place."""
        return self.error([(path, message)])

    def _where(self, path: Path) -> str:
        for length in range(len(path), -1, -1):
            mark = self._keys.get(path[:length]) or self._values.get(path[:length])
            if mark is not None:
                return f"{self.file}:{_place(mark)}"
        return f"{self.file}:1:1"

    def _construct(self, node: yaml.Node, path: Path, around: tuple[yaml.Node, ...]) -> Any:
        self._values[path] = node.start_mark
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self.refusal((), f"must have at most {MAX_NODES:,} values, repeated ones too")
        if node in around:
            raise self.refusal(path, "an anchor must not contain itself; write the values out")
        if isinstance(node, yaml.ScalarNode):
            self._check_text(node, path)
            return _scalar(node)
        around = (*around, node)
        if isinstance(node, yaml.SequenceNode):
            return tuple(
                self._construct(item, (*path, i), around) for i, item in enumerate(node.value)
            )
        assert isinstance(node, yaml.MappingNode)
        return self._mapping(node, path, around)

    def _mapping(
        self, node: yaml.MappingNode, path: Path, around: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        section: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._values[path] = key_node.start_mark
                raise self.refusal(path, "a field's name must be plain text")
            key = key_node.value
            at = (*path, key)
            self._check_text(key_node, at)
            if key in section:
                first = self._keys[at].line + 1
                self._keys[at] = key_node.start_mark
                raise self.refusal(at, f"stands here again, first in line {first}; keep one")
            self._keys[at] = key_node.start_mark
            if key == "<<":
                raise self.refusal(at, "merge keys are not allowed; write the fields out")
            section[key] = self._construct(value_node, at, around)
        return section

    def _check_text(self, node: yaml.ScalarNode, path: Path) -> None:
        if any("\ud800" <= c <= "\udfff" for c in node.value):
            place = _place(node.start_mark)
            raise refusal_at(self.file, place, "must be Unicode text, got half a surrogate pair")


def read_text(file: FilePath) -> str:
    """What a file says.

    Raises:
        SpecError: If it cannot be read, or is no text of a sensible size.
    """
    try:
        with open(file, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        ours = file.suffix != ".json"  # others are configurations of the original
        raise SpecError(f"{file}: no such file{'; sweeps/ has examples' * ours}") from None
    except OSError as error:
        raise SpecError(f"{file}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        rule = f"must be at most {MAX_BYTES:,} bytes, got more; is it a spec?"
        raise refusal_at(file, "1:1", rule)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_of(content[: error.start].decode(), error.start)
        wrong = f"must be UTF-8 text, got byte 0x{content[error.start]:02X}; save it as UTF-8"
        raise refusal_at(file, place, wrong) from None


def refusal_at(file: FilePath, place: str, message: str) -> SpecError:
    """An error about a place of a file, which is `line:column`."""
    problem = Problem(f"{file}:{place}", "", message)
    return SpecError(str(problem), [problem])


def _place(mark: yaml.Mark | None) -> str:
    return "1:1" if mark is None else f"{mark.line + 1}:{mark.column + 1}"


def _place_of(text: str, position: int) -> str:
    before = text[:position]
    return f"{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}"


def _scalar(node: yaml.ScalarNode) -> Any:
    """YAML 1.2's plain values: `1e-3` is a number, `no` is text."""
    text: str = node.value
    if node.style is not None:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
