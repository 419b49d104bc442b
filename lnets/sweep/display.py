"""Live progress of a sweep on a terminal, or as lines where there is none."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lnets.sweep.progress import Progress

_LINE_SECONDS = 5.0


class Display:
    """Shows a progress on stderr.

    Args:
        name: The sweep's name.
        progress: What to show.
    """

    def __init__(self, name: str, progress: Progress) -> None:
        self._name = name
        self._progress = progress
        self._console = Console(file=sys.stderr)
        self._start = time.monotonic()
        self._shown = self._start
        self._failures = 0
        self._said = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the display while the block runs; on a terminal it moves, else lines follow."""
        self._start = self._shown = time.monotonic()
        if self._console.is_terminal:
            with Live(get_renderable=self._render, console=self._console, refresh_per_second=4):
                yield
        else:
            yield
            self._say_line()

    def changed(self) -> None:
        """Say what is new: failures, what they block, lost workers; the state now and then."""
        failures = self._progress.failed + self._progress.blocked + self._progress.retried
        if failures > self._failures:
            self._failures = failures
            self._console.print(Text(self._progress.last_error, style="red"), soft_wrap=True)
        if not self._console.is_terminal and time.monotonic() - self._shown >= _LINE_SECONDS:
            self._shown = time.monotonic()
            self._say_line()

    def _say_line(self) -> None:
        line = self._line()
        if line != self._said:
            self._said = line
            self._console.print(line, highlight=False, soft_wrap=True)

    def _line(self) -> str:
        progress = self._progress
        parts = [
            f"{progress.there}/{progress.total} done",
            f"{len(progress.running)} running",
            *(f"{n} {state}" for state, n in progress.otherwise.items() if n or state == "failed"),
        ]
        if progress.best is not None:
            label = self._short(progress.best_label)
            parts.append(f"best trial: {progress.objective} {progress.best:.5g} ({label})")
        if progress.left and progress.seconds_left is not None:
            parts.append(f"ETA {timedelta(seconds=round(progress.seconds_left))}")
        else:
            parts.append(f"{time.monotonic() - self._start:.0f} s")
        return f"{self._name}: {' · '.join(parts)}"

    def _short(self, label: str) -> str:
        return label.removeprefix(f"{self._name} ")

    def _render(self) -> Table:
        progress = self._progress
        grid = Table.grid()
        grid.add_row(ProgressBar(progress.total, progress.total - progress.left, width=60))
        grid.add_row(Text(self._line()))
        for label in progress.at_work:
            grid.add_row(Text(f"  ▸ {self._short(label)}", style="dim"))
        return grid
