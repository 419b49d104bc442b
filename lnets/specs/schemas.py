"""JSON Schemas of the spec files, for editors and for other programs."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lnets.errors import writing
from lnets.specs.experiments import EXPERIMENT
from lnets.specs.sweep import SweepSpec

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by file name."""
    kinds: dict[str, TypeAdapter[Any]] = {
        "sweep.schema.json": TypeAdapter(SweepSpec),
        "experiment.schema.json": EXPERIMENT,
    }
    return {name: {"$schema": _DIALECT, **kind.json_schema()} for name, kind in kinds.items()}


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into a folder; returns the files.

    Raises:
        SpecError: If that cannot be.
    """
    files = []
    for name, schema in schemas().items():
        files.append(folder / name)
        with writing(files[-1]):
            files[-1].write_text(_text(schema), encoding="utf-8")
    return files


def stale(folder: Path) -> list[Path]:
    """Files in a folder that do not say what the specs say, or are not there."""
    expected = {folder / name: _text(schema) for name, schema in schemas().items()}
    return [
        file
        for file, text in expected.items()
        if not file.is_file() or file.read_bytes() != text.encode()
    ]


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
