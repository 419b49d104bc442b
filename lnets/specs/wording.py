"""What a person reads when a field is wrong: the rule, the value, the remedy."""

import re
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lnets.specs.overrides import written_path
from lnets.specs.spec import Path, closest, nearest, show

_REMEDIES = {
    "int_type": "write a whole number without quotes",
    "int_from_float": "write a whole number",
    "float_type": "write a number without quotes",
    "bool_type": "write true or false",
    "string_type": "write text, in quotes if it looks like a number",
    "tuple_type": "write a list: [a, b]",
    "greater_than": "choose a larger value",
    "greater_than_equal": "choose a larger value",
    "less_than": "choose a smaller value",
    "less_than_equal": "choose a smaller value",
    "finite_number": "write a finite number",
    "too_short": "add what is missing",
    "too_long": "leave some out",
    "string_too_short": "write a name",
}
_RULES = (
    (r"^(Input|Tuple|String|Dictionary|List) ", ""),
    (r"a valid tuple", "a list"),
    (r"a valid dictionary( or .*)?$", "a section of fields"),
    (r" after validation, not", ", got"),
)


def worded(error: ValidationError, model: Any, data: Any) -> list[tuple[str, Path, str]]:
    """Of each mistake: Pydantic's name for its kind, the path in the data, and the message.

    `model` is a model, or a union of models, that refused the data.

    One mistake is told once: a field that is missing because its name is misspelt, and a list that
    is too short because an entry of it is wrong, are left out.
    """
    found: list[tuple[str, Path, str]] = []
    misspelt: set[Path] = set()
    for detail in error.errors(include_url=False):
        kind = detail["type"]
        path = written_path(detail["loc"], data, missing=kind == "missing")
        if kind == "rule_broken":
            found += [
                (kind, (*path, *further), message) for further, message in detail["ctx"]["problems"]
            ]
            continue
        if kind == "extra_forbidden":
            name = closest(str(path[-1]), _fields_at(model, detail["loc"][:-1]))
            misspelt |= {(*path[:-1], name)} if name else set()
        if kind == "union_tag_invalid":
            path = (*path, _discriminator(detail))
        found.append((kind, path, _word(detail, model)))
    paths = [path for _, path, _ in found]
    return [
        (kind, path, message)
        for kind, path, message in found
        if not (kind == "missing" and path in misspelt)
        and not (kind == "too_short" and any(_below(other, path) for other in paths))
    ]


def _below(path: Path, section: Path) -> bool:
    return len(path) > len(section) and path[: len(section)] == section


def _discriminator(detail: ErrorDetails) -> str:
    """The field whose value tells the members of a union apart."""
    return next(iter(_quoted(detail["ctx"]["discriminator"])), "type")


def _word(detail: ErrorDetails, model: Any) -> str:
    context = detail.get("ctx", {})
    last = detail["loc"][-1] if detail["loc"] else ""
    match detail["type"]:
        case "missing" if isinstance(last, int):
            return f"must have more entries, got {show(detail['input'])}; add what is missing"
        case "missing":
            return f"is required; add `{last}: …`"
        case "extra_forbidden":
            known = _fields_at(model, detail["loc"][:-1])
            return f"is not a known field; {nearest(str(last), known)}"
        case "union_tag_invalid":
            known = _quoted(context["expected_tags"])
            wrong = str(context["tag"])
            return f"must be {_either(known)}, got {show(wrong)}; {nearest(wrong, known)}"
        case "union_tag_not_found":
            tags = [tag for kind in _models_at(model, detail["loc"]) for tag in _tags(kind)]
            field = _discriminator(detail)
            return f"needs a field `{field}`; add {field}: {_either(tags)}"
        case "literal_error":
            known = _quoted(context["expected"])
            wrong = detail["input"]
            return f"must be {_either(known)}, got {show(wrong)}; {nearest(str(wrong), known)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a section of fields, got {show(detail['input'])}; write `name: value`"
    rule = detail["msg"]
    for pattern, replacement in _RULES:
        rule = re.sub(pattern, replacement, rule)
    remedy = _REMEDIES.get(detail["type"])
    return f"{rule}, got {show(detail['input'])}" + (f"; {remedy}" if remedy else "")


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _either(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _models_at(model: Any, loc: Path) -> list[type[BaseModel]]:
    """The models that may stand at a location, which names the tags of unions."""
    here = _members(model)
    for part in loc:
        tagged = [kind for kind in here if part in _tags(kind)]
        below = tagged or [leaf for kind in here for leaf in _step(kind, part)]
        here = below or here  # a tag that no model carries leaves all members possible
    return [kind for kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _step(kind: Any, part: str | int) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return [] if field is None else _members(field.annotation)
    if get_origin(kind) is dict:
        return _members(get_args(kind)[1])
    if get_origin(kind) is tuple and isinstance(part, int):
        return [leaf for inner in get_args(kind) for leaf in _members(inner)]
    return []


def _fields_at(model: Any, loc: Path) -> list[str]:
    return [
        field.alias or name
        for kind in _models_at(model, loc)
        for name, field in kind.model_fields.items()
    ]


def _tags(kind: Any) -> list[str]:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    fields = [kind.model_fields[name] for name in ("type", "task") if name in kind.model_fields]
    return [str(tag) for field in fields for tag in get_args(field.annotation)]


def _members(annotation: Any) -> list[Any]:
    """A union's members, the annotations around them taken off; dict and tuple stay whole."""
    if get_origin(annotation) in (dict, tuple) or not get_args(annotation):
        return [annotation]
    if hasattr(annotation, "__metadata__"):
        return _members(get_args(annotation)[0])
    return [leaf for inner in get_args(annotation) for leaf in _members(inner)]
