"""Files as several processes, perhaps of several machines, share them."""

import contextlib
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path


def file_clock(folder: Path) -> float:
    """Seconds by the clock that stamps files in a folder; on a shared drive it may not be ours."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # nothing can be written there
        return time.time()


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A hidden name to write to, which takes a file's place at the end, or goes if that fails.

    So the file is either whole or as it was, whatever process is killed. Who is killed without
    being asked may leave the hidden one behind.
    """
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        temporary.replace(file)  # two names of one file both stay
    finally:  # a worker that is asked to end raises SystemExit anywhere
        temporary.unlink(missing_ok=True)


def write_atomically(file: Path, text: str) -> None:
    """Write a file that is either whole or not there, whatever process is killed.

    A machine that loses its power may lose the file: its trial is then run again.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
