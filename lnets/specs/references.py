"""How an experiment names a trial whose result it starts from."""

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from lnets.specs.spec import Matching, Path, Spec

_NAME = "[a-z][a-z0-9_]{0,62}"
_KEY = "[0-9a-f]{64}"
_S = TypeVar("_S", bound=Spec)


NEED_NAME = Matching(_NAME, "must be at most 63 small letters, digits and `_`, a letter first")
NeedName = Annotated[str, NEED_NAME]
"""What the experiments of a sweep call a trial that they need."""


class TrialReference(str):
    """Key of a finished trial of the same store, or a name under the sweep's `needs`."""

    @property
    def is_key(self) -> bool:
        """Whether this is a trial's key, and no name."""
        return re.fullmatch(_KEY, self) is not None

    @classmethod
    def _read(cls, value: Any) -> "TrialReference":
        rule = "must be a trial's key, which has 64 hex digits, or a name under `needs`"
        if isinstance(value, dict):
            rule += "; all trials of a sweep are taken under `search`"
        if not isinstance(value, str) or re.fullmatch(f"{_KEY}|{_NAME}", value) is None:
            raise PydanticCustomError("trial_reference", rule)
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({_KEY}|{_NAME})$"}


class Reference(NamedTuple):
    """A field that names a trial."""

    path: Path
    """From the spec that was searched."""
    section: Spec
    """The spec that has the field."""
    to: TrialReference
    """What the field holds."""

    @property
    def field(self) -> str:
        """The field's name."""
        return next(part for part in reversed(self.path) if isinstance(part, str))


def references(spec: Spec) -> Iterator[Reference]:
    """Every field that names a trial, wherever it is in a spec."""
    return _references(spec, (), spec)


def with_references(spec: _S, change: Callable[[TrialReference], str]) -> _S:
    """A spec with other trials in place of those that it names."""
    return _changed(spec, change)


def _references(value: Any, path: Path, section: Spec) -> Iterator[Reference]:
    if isinstance(value, TrialReference):
        yield Reference(path, section, value)
    elif isinstance(value, Spec):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name), (*path, name), value)
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from _references(item, (*path, i), section)


def _changed(value: Any, change: Callable[[TrialReference], str]) -> Any:
    if isinstance(value, TrialReference):
        return TrialReference(change(value))
    if isinstance(value, Spec):
        fields = type(value).model_fields
        new = {name: _changed(getattr(value, name), change) for name in fields}
        return value.model_copy(update=new)
    return tuple(_changed(item, change) for item in value) if isinstance(value, tuple) else value
