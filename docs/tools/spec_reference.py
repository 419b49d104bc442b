"""The page of all fields of spec files, from their JSON Schema."""

import json
from collections.abc import Iterator
from typing import Any

from docs.tools.markdown import line, table
from lnets.specs.schemas import schemas

_HEAD = """# Fields of sweeps and experiments

<!-- Written by `make schemas` from lnets/specs; changes belong there. -->

A [sweep](#sweep) is a YAML file; an [experiment](write-a-sweep.md#an-experiment-alone) is its
section `experiment`. Fields without a default must be given. Sections that have a `type` are one
of those named, whose other fields follow from it.

"""
_WORDS = {"integer": "whole number", "boolean": "true or false", "string": "text", "null": "null"}
_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def spec_reference() -> str:
    """The page as Markdown."""
    schema = schemas()["sweep.schema.json"]
    sections = {"Sweep": schema, **schema["$defs"]}
    return _HEAD + "\n".join(
        part for name, section in sections.items() for part in _section(name, section) if part
    )


def _section(name: str, section: dict[str, Any]) -> Iterator[str]:
    yield f"## {name.removesuffix('Spec')}\n"
    tag = next((f for f in ("type", "task") if "const" in section["properties"].get(f, {})), None)
    about = line(section.get("description", ""))
    yield (f"`{tag}: {section['properties'][tag]['const']}`. {about}" if tag else about) + "\n"
    required = section.get("required", ())
    rows = (
        (f"`{field}`", _kind(one), _default(one, field in required), line(one["description"]))
        for field, one in section["properties"].items()
        if field != tag
    )
    yield table(("field", "is", "default", ""), rows)


def _kind(field: dict[str, Any]) -> str:
    """What a field may be, in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2].removesuffix("Spec")
        return f"[{name}](#{name.lower()})"
    if "const" in field or "enum" in field:
        values = field.get("enum", [field.get("const")])
        return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in values)
    for several in ("oneOf", "anyOf"):
        if several in field:
            return " or ".join(dict.fromkeys(map(_kind, field[several])))
    match field.get("type"):
        case "array":
            return _list(field)
        case "object":
            return _object(field)
        case None:
            return "anything"
        case kind:
            return " ".join(filter(None, [_WORDS.get(kind, kind), _bounds(field)]))


def _list(field: dict[str, Any]) -> str:
    if "prefixItems" in field:
        return f"[{'; '.join(map(_kind, field['prefixItems']))}]"
    inner = _kind(field.get("items", {}))
    return "list" if inner == "anything" else f"list of {inner}"


def _object(field: dict[str, Any]) -> str:
    if "properties" in field:
        names = ", ".join(f"`{name}`" for name in field["properties"])
        return f"section of {names}"
    inner = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    kinds = [_kind(one) for one in inner if isinstance(one, dict)]
    return f"by name: {kinds[0]}" if kinds else "section"


def _bounds(field: dict[str, Any]) -> str:
    found = [f"{sign} {_number(field[key])}" for key, sign in _SIGNS.items() if key in field]
    return " and ".join(found)


def _number(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _default(field: dict[str, Any], required: bool) -> str:
    if required:
        return ""
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else "none"
