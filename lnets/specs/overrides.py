"""One configuration of a sweep: the experiment with some of its fields set."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from lnets.specs.experiment import ExperimentSpec
from lnets.specs.spec import Path

Overrides: TypeAlias = dict[str, Any]
"""Dotted path of a field, and its value."""


def split_paths(key: str) -> tuple[str, ...]:
    """Paths that a key of `search` names: one, or several that change together."""
    return tuple(part.strip() for part in key.split(","))


def assignments(key: str, value: Any) -> Overrides:
    """What one value of a key of `search` sets."""
    paths = split_paths(key)
    return {paths[0]: value} if len(paths) == 1 else dict(zip(paths, value, strict=True))


def keys_that_set(field: str, keys: Iterable[str]) -> list[str]:
    """Keys of `search` that set a field."""
    return [key for key in keys if any(within(field, path) for path in split_paths(key))]


def within(path: str, section: str) -> bool:
    """Whether a dotted path is that of a section, or of a field inside it."""
    return f"{path}.".startswith(f"{section}.")


def dotted(path: Path) -> str:
    """A path as people write it."""
    return ".".join(map(str, path))


def apply_overrides(experiment: ExperimentSpec, overrides: Overrides) -> ExperimentSpec:
    """The experiment with fields set; what stands at a path is replaced whole.

    Raises:
        ValidationError: If the result is not a valid experiment.
    """
    return type(experiment).model_validate(overridden(experiment, overrides))


def overridden(experiment: ExperimentSpec, overrides: Overrides) -> dict[str, Any]:
    """The data that `apply_overrides` validates."""
    data = experiment.model_dump()
    for path, value in overrides.items():
        *parents, field = path.split(".")
        section = data
        for parent in parents:
            section = section[parent]
        section[field] = value
    return data


def field_paths(experiment: ExperimentSpec) -> tuple[str, ...]:
    """Dotted path of every field and section of the resolved experiment."""
    return tuple(paths_in(experiment.model_dump()))


def paths_in(section: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted path of every field and section of a configuration."""
    found = []
    for name, value in section.items():
        found.append(f"{prefix}{name}")
        if isinstance(value, dict):
            found += paths_in(value, f"{prefix}{name}.")
    return found


def written_path(loc: Path, data: Any, *, missing: bool = False) -> Path:
    """Where a validation error's location lies in the data: without the tags of unions.

    Args:
        loc: Location as Pydantic gives it.
        data: What was validated.
        missing: Whether the last part names a field that the data lacks.
    """
    path: list[str | int] = []
    for i, part in enumerate(loc):
        present = (
            part in data
            if isinstance(data, dict)
            else (isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data))
        )
        if present:
            path.append(part)
            data = data[part]
        elif missing and i == len(loc) - 1:
            path.append(part)
    return tuple(path)
