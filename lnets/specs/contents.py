"""Files whose content is part of a spec: its SHA-256 stands beside their name."""

from typing import Annotated, Any

from lnets.specs.spec import Matching, rule_broken

Sha256 = Annotated[
    str, Matching("[0-9a-f]{64}", "must be 64 hex digits, which are filled in when left out")
]
"""64 hex digits."""


def with_sha256(data: dict[str, Any], field: str, found: str) -> dict[str, Any]:
    """Data of a spec with the identity of the content that is there now.

    Args:
        data: What the spec is made of; `sha256` may be in it.
        field: What says where the content is.
        found: SHA-256 of the content.

    Raises:
        PydanticCustomError: If another identity is in it.
    """
    known = data.get("sha256") or found
    if found != known:
        message = (
            f"must be that of the content of `{field}`, {found}, got {known}; leave it out, or "
            f"search whole sections: [{{type: {data.get('type')}, {field}: …}}, …]"
        )
        raise rule_broken((("sha256",), message))
    return {**data, "sha256": found}
