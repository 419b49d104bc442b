"""A sweep as its driver tells of it, look by look, until it ends."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lnets.results.live import STOPPING, Heartbeat, heartbeats

Looks: TypeAlias = Generator[Heartbeat, None, None]
"""What a driver has told, as long as it is at work."""
_LOOK_SECONDS = 1.0
_LINE_SECONDS = 5.0
_STATES = ("failed", "blocked", "diverged", "stopped", "left")


class Stands(Protocol):
    """How a sweep stands, for a program and for a person."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""

    def to_text(self) -> str:
        """Lines."""


def looks(root: Path, sweep_id: str) -> Looks:
    """What a sweep's driver tells, each time anew, as long as one is at work on it.

    Args:
        root: Folder of the store.
        sweep_id: The sweep.
    """
    while True:
        alive = [one for one in heartbeats(root) if one.sweep_id == sweep_id]
        if not alive:
            return
        yield max(alive, key=lambda one: one.standing is not None)
        time.sleep(_LOOK_SECONDS)


def changes(looks: Looks) -> Looks:
    """Each look that has something new."""
    last = None
    for look in looks:
        if look != last:
            yield look
        last = look


def watch_as_json(looks: Looks, standing: Callable[[], Stands]) -> Iterator[dict[str, Any]]:
    """Each look that has something new, then how the sweep stands."""
    with contextlib.closing(looks):
        for look in changes(looks):
            yield look.model_dump(mode="json")
    yield standing().to_json()


def watch(looks: Looks, standing: Callable[[], Stands], console: Console) -> None:
    """Show a sweep until it ends: a table that changes on a terminal, else a line now and then.

    Args:
        looks: What is shown.
        standing: How the sweep stands, which is asked in the end.
        console: Where.
    """
    with contextlib.closing(looks):
        if console.is_terminal:
            first = next(looks, None)
            if first is not None:  # nothing is drawn where there is nothing to watch
                with Live(_table(first), console=console, transient=True) as shown:
                    for look in looks:
                        shown.update(_table(look))
        else:
            said = -_LINE_SECONDS
            for look in looks:
                if time.monotonic() - said >= _LINE_SECONDS:
                    said = time.monotonic()
                    console.print(line(look), soft_wrap=True, highlight=False, markup=False)
    console.print(standing().to_text(), soft_wrap=True, highlight=False, markup=False)


def line(look: Heartbeat) -> str:
    """A look as a line."""
    return f"{look.name}: {' · '.join(_parts(look))}"


def _parts(look: Heartbeat) -> Iterator[str]:
    standing = look.standing
    if standing is None:
        yield "begins"
        return
    if look.asked is not None:
        yield STOPPING
    yield f"{standing.done}/{standing.total} done"
    yield f"{len(look.running)} running"
    for state in _STATES:
        if getattr(standing, state):
            yield f"{getattr(standing, state)} {state}"
    if standing.lost:
        yield f"{standing.lost} workers lost"
    if standing.spooled:
        yield f"{standing.spooled} spooled"
    if standing.best is not None:
        label = standing.best_label.removeprefix(f"{look.name} ")
        yield f"best trial: {standing.objective} {standing.best:.5g} ({label})"
    if standing.steps_per_second is not None:
        yield f"{standing.steps_per_second:.4g} steps/s"
    if standing.seconds_left is not None and standing.left:
        yield f"ETA {timedelta(seconds=round(standing.seconds_left))}"


def _table(look: Heartbeat) -> Group:
    table = Table(title=Text(f"{look.name} ({look.sweep_id})"), show_header=False)
    table.add_row("driver", Text(f"{look.pid} on {look.host}"))
    if look.dashboard:
        table.add_row("Ray dashboard", Text(look.dashboard))
    for part in _parts(look):
        word, _, rest = part.partition(" ")
        table.add_row(*((Text(rest), Text(word)) if word[0].isdigit() else (word, Text(rest))))
    for label in look.running:
        table.add_row("▸", Text(label.removeprefix(f"{look.name} "), style="dim"))
    standing = look.standing
    if standing is not None and standing.trouble:
        table.add_row("latest trouble", Text(standing.trouble, style="red"))
    done = 0 if standing is None else standing.total - standing.left
    bar = ProgressBar(1 if standing is None else standing.total, done, width=60)
    return Group(bar, Text(), table)  # a bar does not end its line
