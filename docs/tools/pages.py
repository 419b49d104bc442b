"""Write the generated pages of the documentation: `python -m docs.tools.pages`."""

from collections.abc import Callable
from pathlib import Path

from docs.tools.cli_reference import cli_reference
from docs.tools.spec_reference import spec_reference

GENERATED: dict[str, Callable[[], str]] = {
    "commands.md": cli_reference,
    "fields.md": spec_reference,
}
"""What makes each page, by its name in `docs`."""

if __name__ == "__main__":
    for name, page in GENERATED.items():
        (Path(__file__).parent.parent / name).write_text(page(), encoding="utf-8")
