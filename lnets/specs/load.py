"""YAML file -> spec. Every mistake is found here, with file:line:column and the remedy."""

import re
from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from lnets.errors import Problem, SpecError
from lnets.specs.experiment import ExperimentSpec
from lnets.specs.overrides import written_path
from lnets.specs.spec import Path, Spec
from lnets.specs.sweep import SweepSpec
from lnets.specs.wording import word

_S = TypeVar("_S", bound=Spec)

MAX_BYTES = 1_000_000
MAX_NODES = 100_000

_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map")}
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


def load_sweep(file: FilePath) -> SweepSpec:
    """Read a sweep.

    Raises:
        SpecError: With every mistake that can be found.
    """
    return _load(file, SweepSpec)


def load_experiment(file: FilePath) -> ExperimentSpec:
    """Read a single experiment, the section `experiment` of a sweep as a file of its own.

    Raises:
        SpecError: With every mistake that can be found.
    """
    return _load(file, ExperimentSpec)


def _load(file: FilePath, kind: type[_S]) -> _S:
    document = _Document(file)
    data = document.data
    if not isinstance(data, dict):
        raise document.refusal((), "must be a section of fields; see sweeps/ for examples")
    if kind is not SweepSpec and "experiment" in data:
        raise document.refusal(("experiment",), "this is a sweep, not an experiment; use `submit`")
    if kind is SweepSpec and "task" in data and "experiment" not in data:
        raise document.refusal(
            ("task",),
            "this is an experiment, not a sweep; use `run`, or put it under `experiment:`",
        )
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise document.error(_problems(error, kind, data)) from None


def _problems(error: ValidationError, kind: type[Spec], data: Any) -> list[tuple[Path, str]]:
    problems: list[tuple[Path, str]] = []
    missing: dict[Path, str] = {}
    for detail in error.errors(include_url=False):
        path = written_path(detail["loc"], data, missing=detail["type"] == "missing")
        if detail["type"] == "rule_broken":
            for further, message in detail["ctx"]["problems"]:
                problems.append(((*path, *further), message))
        elif detail["type"] == "missing":
            missing[path] = word(detail, kind)
        else:
            problems.append((path, word(detail, kind)))
    # A field that is missing because its name is misspelt is one mistake.
    misspelt = {
        (*path[:-1], message.rsplit("`", 2)[-2])
        for path, message in problems
        if "did you" in message
    }
    return problems + [(path, word) for path, word in missing.items() if path not in misspelt]


class _Document:
    """A parsed file: its data, lists as tuples, and where every part of it stands."""

    def __init__(self, file: FilePath) -> None:
        self.file = file
        self._keys: dict[Path, yaml.Mark] = {}
        self._values: dict[Path, yaml.Mark] = {}
        self._nodes = 0
        try:
            node = yaml.compose(self._text(), Loader=yaml.BaseLoader)
            self.data = None if node is None else self._construct(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else f"{file}:1:1"
            reason = ", ".join(part for part in (error.context, error.problem) if part)
            raise self._refusal_at(where, f"is not valid YAML: {reason}; mend the syntax") from None
        except yaml.YAMLError as error:
            reason = str(error).partition("\n")[0]
            raise self._refusal_at(f"{file}:1:1", f"is not valid YAML: {reason}") from None
        except RecursionError:
            raise self._refusal_at(f"{file}:1:1", "is nested too deeply") from None

    def error(self, problems: Iterable[tuple[Path, str]]) -> SpecError:
        """One error for all problems, those at one place put together."""
        merged: dict[Path, list[str]] = {}
        for path, message in problems:
            merged.setdefault(path, []).append(message)
        found = [
            Problem(self._where(path), ".".join(map(str, path)), "; or ".join(messages))
            for path, messages in merged.items()
        ]
        return SpecError("\n".join(map(str, found)), found)

    def refusal(self, path: Path, message: str) -> SpecError:
        """An error about one place."""
        return self.error([(path, message)])

    def _refusal_at(self, where: str, message: str) -> SpecError:
        problem = Problem(where, "", message)
        return SpecError(str(problem), [problem])

    def _text(self) -> str:
        where = f"{self.file}:1:1"
        try:
            size = self.file.stat().st_size
            if size > MAX_BYTES:
                raise self._refusal_at(
                    where, f"must be at most {MAX_BYTES:,} bytes, got {size:,}; is it a spec?"
                )
            return self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise SpecError(f"{self.file}: no such file") from None
        except OSError as error:
            raise SpecError(f"{self.file}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise self._refusal_at(where, f"must be UTF-8 text: {error.reason}") from None

    def _where(self, path: Path) -> str:
        for length in range(len(path), -1, -1):
            mark = self._keys.get(path[:length]) or self._values.get(path[:length])
            if mark is not None:
                return f"{self.file}:{mark.line + 1}:{mark.column + 1}"
        return f"{self.file}:1:1"

    def _construct(self, node: yaml.Node, path: Path) -> Any:
        self._values[path] = node.start_mark
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self.refusal(
                (), f"must have at most {MAX_NODES} values; do aliases repeat too much?"
            )
        if node.tag not in _PLAIN_TAGS:
            raise self.refusal(
                path, f"YAML tags are not allowed, got `{node.tag}`; write plain values"
            )
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self._construct(item, (*path, i)) for i, item in enumerate(node.value))
        assert isinstance(node, yaml.MappingNode)
        return self._mapping(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        section: dict[str, Any] = {}
        for key_node, value_node in node.value:
            at = (*path, key_node.value) if isinstance(key_node, yaml.ScalarNode) else path
            if at == path or key_node.tag not in _PLAIN_TAGS:
                self._values[path] = key_node.start_mark
                raise self.refusal(path, "a field's name must be plain text")
            key = key_node.value
            if key in section:
                first = self._keys[at].line + 1
                self._keys[at] = key_node.start_mark
                raise self.refusal(
                    at, f"stands here again, first in line {first}; keep one of them"
                )
            self._keys[at] = key_node.start_mark
            section[key] = self._construct(value_node, at)
        return section


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
