"""An experiment as YAML, with a comment wherever a person should know something."""

import textwrap
from typing import Any

import yaml

from lnets.legacy.account import Account, LeftOut, in_words
from lnets.specs.spec import Path

_WIDTH = 100


def header(name: str, account: Account) -> str:
    """What has become of the fields that are not in the experiment.

    Args:
        name: Of the configuration's file.
        account: Of its fields.
    """
    lines = _comment(f"From {name}, a configuration of the original LNets code.", "")
    parts: tuple[tuple[str, list[str]], ...] = (
        ("Ignored by the original, so left out:", _words(account.ignored)),
        ("No part of an experiment here:", _words(account.elsewhere)),
        ("Not reproduced:", account.differs),
    )
    for title, items in parts:
        if items:
            lines += ["#", f"# {title}"]
            lines += [line for item in items for line in _comment(f"- {item}", "", hang="  ")]
    return "\n".join(lines) + "\n"


def body(
    data: dict[str, Any], given: dict[str, Any], beside: dict[Path, list[str]], path: Path = ()
) -> str:
    """Fields as YAML; those that are filled in say so.

    Args:
        data: All fields.
        given: Those that are not defaults.
        beside: Comments, by the paths of fields.
        path: Of the section that the fields are in.
    """
    lines = []
    indent = "  " * len(path)
    for name, value in data.items():
        for text in beside.get((*path, name), ()):
            lines += _comment(text, indent)
        default = "" if name in given else "  # default"
        if isinstance(value, dict) and value:
            lines.append(f"{indent}{name}:{default}")
            inner = given.get(name, value)
            inner = inner if isinstance(inner, dict) else value
            lines.append(body(value, inner, beside, (*path, name)).rstrip("\n"))
        else:
            lines.append(f"{indent}{name}: {_flow(value)}{default}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(
        [value], default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    )
    return text.strip()[1:-1]


def _words(left_out: list[LeftOut]) -> list[str]:
    return [in_words(one) for one in left_out]


def _comment(text: str, indent: str, *, hang: str = "") -> list[str]:
    start = f"{indent}# "
    # A field's value may have characters that would end a comment.
    text = "".join(c if c.isprintable() else "�" for c in text)
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=start + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
