"""Printing data on stdout: for people, or as JSON for programs."""

import json
import math
import shlex
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table as RichTable

    from lnets.results.formats import Format
    from lnets.results.tables import Table
    from lnets.sweep.plan import Plan
    from lnets.sweep.progress import Progress


def print_json(data: Any) -> None:
    """Plain data as JSON on stdout; what JSON does not know as text or null."""
    typer.echo(json.dumps(_finite(data), indent=2, default=str, allow_nan=False))


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Rows of equal columns, at least one unless as JSON."""
    if as_json:
        print_json(rows)
        return
    from lnets.results.terminal import render_rows

    texts = [
        {name: "–" if value is None else str(value) for name, value in row.items()} for row in rows
    ]
    shown = render_rows(texts, width=terminal_width())
    print_parts(shown if isinstance(shown, list) else [shown])


def print_table(table: "Table", title: str, kind: "Format") -> None:
    """A comparison table with its footer, which goes to stderr where the format has none."""
    from lnets.results.formats import to_text
    from lnets.results.rendering import footer
    from lnets.results.terminal import render, wrap_notes

    command = shlex.join(["lnets-sweep", *sys.argv[1:]])
    if kind == "terminal":
        width = terminal_width()
        notes = wrap_notes(footer(table, command), width=width)
        print_parts([*render(table, width=width, title=title), *notes])
    else:
        typer.echo(to_text(table, kind, title=title, command=command))
        if kind == "csv":
            typer.echo("\n".join(footer(table, command)), err=True)


def print_outcome(table: "Table", progress: "Progress", name: str, as_json: bool) -> None:
    """The table of a sweep that has run, and what went wrong in it.

    Raises:
        typer.Exit: If something did.
    """
    print_table(table, name, "json" if as_json else "terminal")
    if progress.failed or progress.blocked:
        from lnets.specs.spec import many

        counts = {"failed": progress.failed, "blocked": progress.blocked}
        found = " and ".join(
            f"{many(count, 'trial')} {what}" for what, count in counts.items() if count
        )
        again = ", submitting again retries them" if progress.failed else ""
        typer.echo(f"{found}; `lnets-sweep status {name}` has the reasons{again}.", err=True)
        raise typer.Exit(1)


def print_parts(parts: "Iterable[str | RichTable]") -> None:
    """Lines of text, and tables."""
    for part in parts:
        if isinstance(part, str):
            typer.echo(part)
        else:
            _console().print(part)


def terminal_width() -> int:
    """In letters; as wide as anything may be where stdout is not a terminal."""
    return _console().width


def plan_sizes(plan: "Plan") -> dict[str, int]:
    """How much a sweep asks for."""
    return {
        "configurations": plan.num_configurations,
        "seeds": len(plan.sweep.seed_list()),
        "trials": plan.num_configurations * len(plan.sweep.seed_list()),
        "needed": len(plan.needed),
        "skipped": len(plan.skipped),
    }


def plan_words(sizes: dict[str, Any]) -> str:
    """The same for a person."""
    from lnets.specs.spec import many

    configurations, seeds, trials = (
        many(sizes[f"{noun}s"], noun) for noun in ("configuration", "seed", "trial")
    )
    words = f"{configurations} × {seeds} = {trials}"
    words += f", after {sizes['needed']} that they need" if sizes["needed"] else ""
    return f"{words}, {sizes['skipped']} impossible ones skipped" if sizes["skipped"] else words


def _finite(data: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(data, dict):
        return {str(name): _finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _console() -> "Console":
    """For stdout; as wide as it needs to be where that is not a terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=10_000)
