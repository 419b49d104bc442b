"""The class that every spec derives from, and how mistakes in a spec are worded."""

import difflib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

if TYPE_CHECKING:
    from lnets.specs.experiment import ExperimentSpec

Path: TypeAlias = tuple[str | int, ...]
Broken: TypeAlias = tuple[Path, str]
"""A broken rule: path of the field that should change, and the message."""


class Spec(BaseModel):
    """Frozen, strict, closed: a field that is not written here is a mistake, `"3"` is not 3."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
        defer_build=True,  # most commands use a few of the specs
    )

    def why_not_from(self, field: str, needed: "ExperimentSpec") -> str | None:
        """The reason why a field here cannot name a trial of an experiment; None if it can.

        Args:
            field: Of type `TrialReference`.
            needed: What that trial does.
        """
        return None


def frozen(value: Any) -> Any:
    """Lists as tuples, as the loader gives them and fields want them, where data come from JSON."""
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    if isinstance(value, dict):
        return {name: frozen(item) for name, item in value.items()}
    return value


def rule_broken(*problems: Broken) -> PydanticCustomError:
    """An error of rules that span fields, each reported at the field which should change.

    Args:
        problems: Path of that field from the spec that checks the rule, and the message: the rule,
            the values, the remedy.
    """
    text = "; ".join(f"{'.'.join(map(str, path))} {message}" for path, message in problems)
    return PydanticCustomError("rule_broken", "{text}", {"text": text, "problems": problems})


def closest(name: str, known: Collection[str]) -> str | None:
    """The known name that was probably meant, if one is near."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.5)), None)


def nearest(name: str, known: Collection[str]) -> str:
    """The remedy for a name that is not known: the nearest known one, or all of them."""
    close = closest(name, known)
    if close is not None:
        return f"did you mean `{close}`?"
    shown = sorted(known)[:20]
    return f"known: {', '.join(shown)}{', …' if len(known) > len(shown) else ''}"


def show(value: Any) -> str:
    """A value as it would stand in a file, its type first, cut to a readable length."""
    if isinstance(value, dict) and "type" in value:
        value = {"type": value["type"], **value}
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"


def many(number: int, noun: str) -> str:
    """How many there are of something."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Matching:
    """Annotation of text that must match a pattern."""

    pattern: str
    """Regular expression of the whole text."""
    rule: str
    """What it asks for, as a person reads it: must be …"""

    def problem(self, text: str) -> str | None:
        """What is wrong with a text; None if nothing is."""
        return None if re.fullmatch(self.pattern, text) else f"{self.rule}, got {show(text)}"

    def _checked(self, text: str) -> str:
        problem = self.problem(text)
        if problem is not None:
            raise rule_broken(((), problem))
        return text

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}
