"""`lnets-sweep`: parse, call one function, print. Data to stdout, everything else to stderr."""

import gc
import io
import os
import sys

import typer

from lnets.cli import audit, commands, control, history, legacy, pictures, results, studies
from lnets.cli.app import app
from lnets.errors import LnetsError

__all__ = [
    "audit",
    "commands",
    "control",
    "history",
    "legacy",
    "main",
    "pictures",
    "results",
    "studies",
]

# Commands in whose process trials may end, which leave large tensors in reference cycles.
_TRAINING = (["submit"], ["run"], ["resume"], ["retry"])


def main() -> None:
    """Entry point: run a command, and turn errors into messages and exit codes."""
    if sys.argv[1:2] not in _TRAINING:
        # What commands import are many objects that stay: looking through them for garbage at every
        # 700 new ones, as is Python's default, takes a tenth of a short command's time.
        gc.set_threshold(50_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="lnets-sweep")
        sys.stdout.flush()
    except LnetsError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        typer.echo(f"error: {error.filename or 'output'}: {error.strerror}", err=True)
        os._exit(1)  # Python would try once more to write what it could not
