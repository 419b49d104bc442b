"""What a shell offers for an argument while it is typed: spec files, sweeps, trials."""

from collections.abc import Iterator
from pathlib import Path

import typer

from lnets.errors import LnetsError

Offer = tuple[str, str]
"""What is offered, and what it is."""

_SUFFIXES = (".yaml", ".yml", ".json")
_DEEPEST = 2


def specs(incomplete: str) -> list[str]:
    """Files that may be specs, also those in folders below, whose paths begin so."""
    folder, slash, begin = incomplete.rpartition("/")
    start = Path(folder + slash or ".").expanduser()
    found = _files(start, begin, _DEEPEST)
    return [f"{folder}{slash}{file.relative_to(start)}" for file in found]


def sweeps(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Sweeps of the store by name, or else files of sweeps, that begin so."""
    rows = _rows(ctx, "sweeps", ["name", "sweep_id"])
    names = {row["name"]: row["sweep_id"] for row in rows}
    found = [(name, of) for name, of in names.items() if name.startswith(incomplete)]
    return found or [(file, "") for file in specs(incomplete)]


def trials(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Trials of the store by how their keys begin; whole keys where that much is typed."""
    from lnets.results.records import KEY_DIGITS

    digits = None if len(incomplete) >= KEY_DIGITS else KEY_DIGITS
    rows = _rows(ctx, "trials", ["trial_key", "name", "seed", "status"])
    return [
        (row["trial_key"][:digits], f"{row['name']}, seed {row['seed']}, {row['status']}")
        for row in rows
        if row["trial_key"].startswith(incomplete)
    ]


def sweeps_and_trials(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Both."""
    return [*sweeps(ctx, incomplete), *trials(ctx, incomplete)]


def _files(folder: Path, begin: str, deepest: int) -> Iterator[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return
    for path in found:
        if not path.name.startswith(begin) or path.name.startswith("."):
            continue
        if path.is_dir() and deepest and not (path / "lnets-store.json").exists():
            yield from _files(path, "", deepest - 1)
        elif path.suffix in _SUFFIXES:
            yield path


def _rows(ctx: typer.Context, table: str, columns: list[str]) -> list[dict[str, str]]:
    """Of the store that the command is given; none where there is none, or it is damaged."""
    from lnets.results.store import Store

    try:
        return Store(ctx.params["store"]).table(table, columns).to_pylist()
    except (LnetsError, OSError):
        return []
