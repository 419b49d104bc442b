"""Files as several processes, perhaps of several machines, share them."""

import os
import tempfile
import time
import uuid
from pathlib import Path


def file_clock(folder: Path) -> float:
    """Seconds by the clock that stamps files in a folder; on a shared drive it may not be ours."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # nothing can be written there
        return time.time()


def write_atomically(file: Path, text: str) -> None:
    """Write a file that is either whole or not there, whatever process is killed.

    A machine that loses its power may lose the file: its trial is then run again. Who is killed
    without being asked may leave a hidden file behind.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    except BaseException:  # a worker that is asked to end raises SystemExit anywhere
        temporary.unlink(missing_ok=True)
        raise
