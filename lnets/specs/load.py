"""YAML file -> spec. Every mistake is found here, with file:line:column and the remedy."""

from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lnets.errors import SpecError
from lnets.specs.all_trials import with_all_trials
from lnets.specs.document import Document
from lnets.specs.experiments import EXPERIMENT, AnyExperiment
from lnets.specs.need_files import write_out
from lnets.specs.references import references
from lnets.specs.sweep import SweepSpec
from lnets.specs.wording import worded

_S = TypeVar("_S")


def load_sweep(file: FilePath) -> SweepSpec:
    """Read a sweep, and those whose trials it needs or takes.

    Raises:
        SpecError: With every mistake that can be found.
    """
    return _load_sweep(file, ())


def load_experiment(file: FilePath) -> AnyExperiment:
    """Read a single experiment, the section `experiment` of a sweep as a file of its own.

    Raises:
        SpecError: With every mistake that can be found.
    """
    document = _document(file)
    experiment = _read(document, document.data, AnyExperiment, EXPERIMENT)
    named = [reference for reference in references(experiment) if not reference.to.is_key]
    if named:
        raise document.error(
            (
                reference.path,
                f"`{reference.to}` names a need of a sweep, and this is an experiment by itself; "
                "write the key of a finished trial, or a sweep with `needs`",
            )
            for reference in named
        )
    return experiment


def _load_sweep(file: FilePath, through: tuple[FilePath, ...]) -> SweepSpec:
    """Read a sweep; `through` are the files of those that name it."""
    document = _document(file)
    data = document.data
    through = (*through, file.resolve())

    def read(other: str) -> SweepSpec:
        if (file.parent / other).resolve() in through:
            circle = " → ".join(path.name for path in (*through, file.parent / other))
            raise SpecError(f"sweeps must not name each other in a circle, got {circle}")
        return _load_sweep(file.parent / other, through)

    for part, write in (("needs", write_out), ("search", with_all_trials)):
        if isinstance(data.get(part), dict):
            written, problems = write(data[part], read)
            if problems:
                raise document.error(((part, *path), message) for path, message in problems)
            data = {**data, part: written}
    return _read(document, data, SweepSpec, TypeAdapter(SweepSpec))


def _document(file: FilePath) -> Document:
    document = Document(file)
    if not isinstance(document.data, dict):
        raise document.refusal((), "must be a section of fields; see sweeps/ for examples")
    return document


def _read(document: Document, data: dict[str, Any], kind: Any, adapter: TypeAdapter[_S]) -> _S:
    if kind is not SweepSpec and "experiment" in data:
        raise document.refusal(("experiment",), "this is a sweep, not an experiment; use `submit`")
    if kind is SweepSpec and "task" in data and "experiment" not in data:
        raise document.refusal(
            ("task",),
            "this is an experiment, not a sweep; use `run`, or put it under `experiment:`",
        )
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        raise document.error(
            (path, message) for _, path, message in worded(error, kind, data)
        ) from None
