"""A sweep as its driver tells of it, look by look, until it ends."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lnets.results.live import Heartbeat, heartbeats
from lnets.results.store import Store
from lnets.sweep.overview import find_submission, status_of

_LOOK_SECONDS = 1.0
_LINE_SECONDS = 5.0
_STATES = ("failed", "blocked", "diverged", "stopped", "left")


def looks(store: Store, name: str) -> Iterator[Heartbeat]:
    """What a sweep's driver tells, each time anew, as long as one is at work on it.

    Args:
        store: Where it is.
        name: Name, id or file of the sweep.

    Raises:
        NotFoundError: If the store has no such sweep.
    """
    sweep_id = find_submission(store, name)["sweep_id"]
    while True:
        alive = [one for one in heartbeats(store.root) if one.sweep_id == sweep_id]
        if not alive:
            return
        yield max(alive, key=lambda one: one.standing is not None)
        time.sleep(_LOOK_SECONDS)


def watch_as_json(store: Store, name: str) -> Iterator[dict[str, Any]]:
    """Each look that has something new, then how the sweep stands."""
    last: dict[str, Any] | None = None
    for look in looks(store, name):
        data = look.model_dump(mode="json")
        if data != last:
            yield data
        last = data
    yield status_of(store, name)[0].to_json()


def watch(store: Store, name: str, console: Console) -> None:
    """Show a sweep until it ends: a table that changes on a terminal, else a line now and then."""
    if console.is_terminal:
        seen = looks(store, name)
        first = next(seen, None)
        if first is not None:  # nothing is drawn where there is nothing to watch
            with Live(_table(first), console=console, transient=True) as shown:
                for look in seen:
                    shown.update(_table(look))
    else:
        said = -_LINE_SECONDS
        for look in looks(store, name):
            if time.monotonic() - said >= _LINE_SECONDS:
                said = time.monotonic()
                console.print(line(look), soft_wrap=True, highlight=False, markup=False)
    text = status_of(store, name)[0].to_text()
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def line(look: Heartbeat) -> str:
    """A look as a line."""
    return f"{look.name}: {' · '.join(_parts(look))}"


def _parts(look: Heartbeat) -> Iterator[str]:
    standing = look.standing
    if standing is None:
        yield "begins"
        return
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
        yield f"best {standing.objective} {standing.best:.5g} ({label})"
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
