"""A configuration file of the original, read and checked as it stands."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError

from lnets.errors import Problem, SpecError
from lnets.legacy.fields import (
    AnyFields,
    AttackFields,
    ClassifierFields,
    DualFields,
    GanFields,
    GradientFields,
)
from lnets.specs.document import Document, read_text, refusal_at
from lnets.specs.spec import Path, nearest
from lnets.specs.wording import worded

# Each begins with what no other kind has.
_KINDS: tuple[tuple[frozenset[str], type[BaseModel]], ...] = (
    (frozenset({"distrib1", "distrib2"}), DualFields),
    (frozenset({"lrG", "lrD", "input_size", "gpu_mode"}), GanFields),
    (frozenset({"attack_kwargs", "distance", "num_examples"}), AttackFields),
    (frozenset({"visualization"}), GradientFields),
    (frozenset({"optim", "data", "model"}), ClassifierFields),
)
_LOOKS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"$schema"}), "a JSON Schema"),
    (frozenset({"properties"}), "a JSON Schema"),
    (frozenset({"nbformat"}), "a Jupyter notebook"),
    (frozenset({"success_rate"}), "results of an attack of the original"),
    (frozenset({"architectures"}), "a configuration of Hugging Face's transformers"),
    (frozenset({"model_type"}), "a configuration of Hugging Face's transformers"),
    (frozenset({"dependencies"}), "a package.json"),
    (frozenset({"scripts"}), "a package.json"),
)
_OUR_TASKS = ("wasserstein", "classification", "gan", "robustness")
_WORDS = "a configuration of the original has distrib1 and distrib2, model with optim and data, "
_WORDS += "gan_type, attack_kwargs, or pretrained_path with visualization"


class Source:
    """A configuration file of the original with some of its values replaced.

    Args:
        file: Which.
        overrides: `key=value`, several in one text with blanks between them if need be; keys are
            dotted paths, values are written as in the file, and text needs no quotes.
        text: What the file says; None reads it.

    Raises:
        SpecError: If it cannot be read, is none, has fields that are unknown or missing, or values
            of the wrong type.
    """

    def __init__(
        self, file: FilePath, overrides: Sequence[str] = (), *, text: str | None = None
    ) -> None:
        if file.suffix in (".yaml", ".yml"):
            message = "must be JSON, but looks like YAML, of which lnets' own files are; a sweep "
            message += "is for `submit`, an experiment for `run`"
            raise refusal_at(file, "1:1", message)
        text = read_text(file) if text is None else text
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            place, reason = f"{error.lineno}:{error.colno}", error.msg
            raise refusal_at(file, place, f"must be JSON: {reason}; mend the syntax") from None
        except RecursionError:
            raise refusal_at(file, "1:1", "is nested too deeply; is it a configuration?") from None
        # Tabs, of which YAML has an opinion, stand between values only; a blank keeps columns.
        self._document = Document(file, text.replace("\t", " "))
        self.file = file
        data = self._document.data
        if not isinstance(data, dict):
            raise self._document.refusal((), _not_one(data))
        self._overridden: list[Path] = []
        for override in overrides:
            for key, value in _assignments(override):
                self._set(data, key, value)
        self.data = data
        self.fields = self._checked()

    def refusal(self, path: str, message: str) -> SpecError:
        """An error about a field, given by its dotted path."""
        return self._error([(tuple(path.split(".")), message)])

    def overridden(self, path: str) -> bool:
        """Whether a field's value was given beside the file."""
        return tuple(path.split(".")) in self._overridden

    def _checked(self) -> AnyFields:
        kind = next((kind for marks, kind in _KINDS if marks & self.data.keys()), None)
        ours = kind is not GanFields and _our_own(self.data)
        other = kind is ClassifierFields and not _of_networks(self.data)
        if kind is None or ours or other:
            raise self._document.refusal((), _not_one(self.data))
        data = self.data
        if kind is GanFields:  # a run adds its folders to what it was given
            data = {name: value for name, value in data.items() if not name.endswith("_dir")}
        try:
            fields = kind.model_validate(data)
        except ValidationError as error:
            found = ((path, message) for _, path, message in worded(error, kind, data))
            raise self._error(found) from None
        assert isinstance(fields, AnyFields)
        return fields

    def _set(self, data: dict[str, Any], key: str, value: str) -> None:
        *parents, name = path = tuple(key.split("."))
        section = data
        for depth, parent in enumerate(parents, start=1):
            if parent not in section:
                section[parent] = {}
                self._overridden.append(path[:depth])
            below = section[parent]
            if not isinstance(below, dict):
                raise SpecError(f"-o {key}: `{parent}` is a value, not a section; shorten the key")
            section = below
        parsed = _parsed(key, value)
        if isinstance(section.get(name), tuple) and isinstance(parsed, str) and "+" in parsed:
            parsed = tuple(_parsed(key, part) for part in parsed.split("+"))
        section[name] = parsed
        self._overridden.append(path)

    def _error(self, problems: Iterable[tuple[Path, str]]) -> SpecError:
        """Where a value was given beside the file, that is where it is wrong."""
        in_file, beside = [], []
        for path, message in problems:
            given = next((k for k in self._overridden if path[: len(k)] == k), None)
            if given is None:
                in_file.append((path, message))
            else:
                beside.append(Problem("-o", ".".join(map(str, path)), message))
        found = [*self._document.error(in_file).problems, *beside]
        return SpecError("\n".join(map(str, found)), found)


def _assignments(override: str) -> Iterator[tuple[str, str]]:
    # A blank begins another one only where a key follows, so lists may have blanks.
    for part in re.split(r"\s+(?=[A-Za-z_][\w.]*=)", override.strip()):
        key, found, value = part.partition("=")
        if not found or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", key):
            raise SpecError(
                f"-o must be KEY=VALUE, got `{part}`; as in -o model.linear.bjorck_iter=3"
            )
        yield key, value


def _parsed(key: str, text: str) -> Any:
    return Document(FilePath(f"-o {key}"), text).data


def _of_networks(data: dict[str, Any]) -> bool:
    """Whether `model`, `optim` and `data`, names that others have too, are the original's."""
    sections = [data.get(name) for name in ("model", "optim", "data")]
    words = {"linear", "layers", "l_constant", "lr_schedule", "per_class_count", "train_size"}
    return any(isinstance(section, dict) and words & section.keys() for section in sections)


def _our_own(data: dict[str, Any]) -> bool:
    return data.get("task") in _OUR_TASKS or "experiment" in data


def _not_one(data: Any) -> str:
    """What a file that is no configuration of the original looks like instead."""
    rule = "must be a configuration of the original LNets code, but looks like"
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, tuple) else "a single value"
        return f"{rule} {kind}; {_WORDS}"
    if _our_own(data):
        if {"seed", "experiment"} <= data.keys():
            return f"{rule} what a store keeps of a trial; its `experiment` is for `run`, as YAML"
        kind, command = ("a sweep", "submit") if "experiment" in data else ("an experiment", "run")
        return f"{rule} {kind} of lnets; name it .yaml, as JSON is YAML, for `{command}`"
    for marks, look in _LOOKS:
        if marks <= data.keys():
            return f"{rule} {look}; {_WORDS}"
    names = [name for name in data if isinstance(name, str)]
    shown = ", ".join(f"`{name}`" for name in names[:5]) or "no field at all"
    return f"{rule} something else, with {shown}{' …' if len(names) > 5 else ''}; {_WORDS}"


def nearest_of(kind: str, value: str, known: Iterable[str]) -> str:
    """The message about a name that the original does not know.

    Args:
        kind: What it names.
        value: The name.
        known: What there is.
    """
    names = list(known)
    return f"is no {kind} of the original, got {json.dumps(value)}; {nearest(value, names)}"
