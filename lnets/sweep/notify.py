"""A command of the person's own that hears how a sweep has ended."""

import contextlib
import json
import logging
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator

from lnets.errors import LnetsError, SpecError
from lnets.sweep.progress import Progress

_SECONDS = 60
_log = logging.getLogger(__name__)


def notification(command: str) -> list[str]:
    """The parts of a command, as a shell would tell them apart; none is ever started.

    Raises:
        SpecError: If they cannot be told apart, or the first is no command of this machine.
    """
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise SpecError(f"--notify {command}: no command ({error}); mend its quotes.") from None
    if not parts:
        raise SpecError("--notify must name a command, got nothing; leave the flag out.")
    if shutil.which(parts[0]) is None:
        raise SpecError(f"--notify {command}: there is no command `{parts[0]}` here.")
    return parts


@contextlib.contextmanager
def notifying(command: list[str] | None, name: str, progress: Progress) -> Iterator[None]:
    """Tell a command, when the block ends, how a sweep has ended: as JSON on its standard input.

    Whatever goes wrong with it is a warning, and changes nothing about the sweep.

    Args:
        command: With its arguments; None tells nobody.
        name: Of the sweep.
        progress: How far it is.
    """
    start = time.monotonic()
    error: BaseException | None = None
    try:
        yield
    except BaseException as ended_by:
        error = ended_by
        raise
    finally:
        if command is not None:
            _tell(command, name, progress, time.monotonic() - start, error)


def _tell(
    command: list[str], name: str, progress: Progress, seconds: float, error: BaseException | None
) -> None:
    message = {
        "sweep": name,
        "state": _state(progress, error),
        **progress.standing(0).model_dump(exclude={"spooled", "seconds_left"}),
        "seconds": seconds,
        "error": str(error) if isinstance(error, LnetsError) else None,
    }
    try:
        done = subprocess.run(
            command,
            input=json.dumps(message),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        _log.warning("--notify %s: %s", shlex.join(command), problem)
        return
    if done.returncode:
        said = f"exit code {done.returncode} {done.stderr.strip()[-200:]}".rstrip()
        _log.warning("--notify %s: %s", shlex.join(command), said)


def _state(progress: Progress, error: BaseException | None) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if error is not None:
        return "error"
    return "failed" if progress.failed or progress.blocked else "done"
