"""What a person reads when a field is wrong: the rule, the value, the remedy."""

import re
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from lnets.specs.spec import Path, nearest, show

_REMEDIES = {
    "int_type": "write a whole number without quotes",
    "float_type": "write a number without quotes",
    "bool_type": "write true or false",
    "string_type": "write text, in quotes if it looks like a number",
    "tuple_type": "write a list: [a, b]",
    "model_type": "write a section of fields",
    "model_attributes_type": "write a section of fields",
    "dict_type": "write a section of fields",
    "greater_than": "choose a larger value",
    "greater_than_equal": "choose a larger value",
    "less_than": "choose a smaller value",
    "less_than_equal": "choose a smaller value",
    "finite_number": "write a finite number",
    "too_short": "add what is missing",
    "too_long": "leave some out",
    "string_pattern_mismatch": "use at most 64 letters, digits, `_` and `-`",
}


def word(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """The message for one of Pydantic's errors about data of a model."""
    context = detail.get("ctx", {})
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    match detail["type"]:
        case "missing":
            return f"is required; add `{name}: …`"
        case "extra_forbidden":
            return f"is not a known field; {nearest(name, _fields_at(model, detail['loc'][:-1]))}"
        case "union_tag_invalid":
            known = _quoted(context["expected_tags"])
            wrong = str(context["tag"])
            return f"must have type {_either(known)}, got `{wrong}`; {nearest(wrong, known)}"
        case "union_tag_not_found":
            return (
                f"needs a field `type`; add type: {_either(_fields_at_tags(model, detail['loc']))}"
            )
        case "literal_error":
            known = _quoted(context["expected"])
            wrong = detail["input"]
            return f"must be {_either(known)}, got {show(wrong)}; {nearest(str(wrong), known)}"
        case "domain":
            return f"{detail['msg']}, got {show(detail['input'])}"
    rule = re.sub(r"^(Input|Tuple|String|Dictionary|List) ", "", detail["msg"])
    remedy = _REMEDIES.get(detail["type"])
    return f"{rule}, got {show(detail['input'])}" + (f"; {remedy}" if remedy else "")


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _either(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _models_at(model: type[BaseModel], loc: Path) -> list[type[BaseModel]]:
    """The models that may stand at a location, which names the tags of unions."""
    here: list[Any] = [model]
    for part in loc:
        below: list[Any] = []
        for kind in here:
            if part in _tags(kind):
                below.append(kind)
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                if part in kind.model_fields:
                    below += _members(kind.model_fields[str(part)].annotation)
            elif get_origin(kind) is dict or isinstance(part, int):
                below += [leaf for inner in get_args(kind) for leaf in _members(inner)]
        here = below
    return [kind for kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _fields_at(model: type[BaseModel], loc: Path) -> list[str]:
    return [
        field.alias or name
        for kind in _models_at(model, loc)
        for name, field in kind.model_fields.items()
    ]


def _fields_at_tags(model: type[BaseModel], loc: Path) -> list[str]:
    return [tag for kind in _models_at(model, loc) for tag in _tags(kind)]


def _tags(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel) and "type" in kind.model_fields:
        return [str(tag) for tag in get_args(kind.model_fields["type"].annotation)]
    return []


def _members(annotation: Any) -> list[Any]:
    """A union's members, the annotations around them taken off; dict and tuple stay whole."""
    if get_origin(annotation) in (dict, tuple) or not get_args(annotation):
        return [annotation]
    if hasattr(annotation, "__metadata__"):
        return _members(get_args(annotation)[0])
    return [leaf for inner in get_args(annotation) for leaf in _members(inner)]
