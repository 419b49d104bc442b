"""What every part of the translation is given."""

from typing import Any, NamedTuple

from lnets.legacy.account import Account
from lnets.legacy.source import Source, nearest_of


class Translation(NamedTuple):
    """A configuration that is becoming an experiment."""

    source: Source
    """The file."""
    account: Account
    """What has become of its fields."""
    faithful: bool
    """Whether the original's algorithm is kept."""

    def one_of(self, path: str, kind: str, value: str, known: dict[str, Any]) -> Any:
        """What a name of the original stands for here.

        Args:
            path: Of the field that holds it.
            kind: What it names.
            value: The name.
            known: What names stand for.

        Raises:
            SpecError: If it is not known.
        """
        if value not in known:
            raise self.source.refusal(path, nearest_of(kind, value, known))
        self.account.carry(path)
        return known[value]

    def required(self, path: str, value: Any) -> Any:
        """The value of a field that must be given.

        Raises:
            SpecError: If it is not.
        """
        if value is None:
            raise self.source.refusal(path, f"is required; add `{path.rpartition('.')[2]}: …`")
        self.account.carry(path)
        return value
