"""The log of a sweep: what its drivers have to say, as lines of JSON in the store."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lnets.errors import StoreError

_LOGGER = logging.getLogger("lnets")
_MAX_MESSAGE = 2_000
_LOOK_SECONDS = 0.3


class LogLine(BaseModel):
    """One line of a log."""

    model_config = ConfigDict(frozen=True)

    time: AwareDatetime
    level: str
    trial_key: str | None
    """Of the trial that it is about; of the first one of a group."""
    message: str

    @classmethod
    def of(cls, record: logging.LogRecord) -> "LogLine":
        """What a logger was told."""
        return cls(
            time=datetime.fromtimestamp(record.created, UTC),
            level=record.levelname.lower(),
            trial_key=getattr(record, "trial_key", None),
            message=record.getMessage()[:_MAX_MESSAGE],
        )

    def to_text(self) -> str:
        """For a person, on one line."""
        message = " ".join(self.message.splitlines())
        return f"{self.time:%Y-%m-%d %H:%M:%S} {self.level:<7} {message}"


@contextlib.contextmanager
def kept_log(root: Path, sweep_id: str, *, everything_shown: bool = False) -> Iterator[None]:
    """Write what loggers below `lnets` are told into the log of a sweep while the block runs.

    Args:
        root: Folder of the store.
        sweep_id: Whose log it is; several drivers may write it.
        everything_shown: Whether it goes to stdout, too; else what is about no trial, and a
            warning at least, goes to stderr.

    Raises:
        StoreError: If the log cannot be written.
    """
    file = log_file(root, sweep_id)
    try:
        file.parent.mkdir(exist_ok=True)
        kept: logging.Handler = _KeptHandler(file)
    except OSError as error:
        raise StoreError(f"{file}: cannot be written: {error.strerror}") from None
    shown = logging.StreamHandler(sys.stdout if everything_shown else sys.stderr)
    shown.setFormatter(_Formatter())
    if not everything_shown:
        shown.setLevel(logging.WARNING)
        shown.addFilter(lambda record: not hasattr(record, "trial_key"))
    level = _LOGGER.level
    _LOGGER.setLevel(logging.INFO)
    for handler in (kept, shown):
        _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        for handler in (kept, shown):
            _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level)
        kept.close()


def log_lines(
    root: Path, sweep_id: str, more: Callable[[], bool] = lambda: False
) -> Iterator[LogLine]:
    """The log of a sweep.

    Args:
        root: Folder of the store.
        sweep_id: Whose log; one that no driver has written is empty.
        more: Whether somebody may still write; then further lines are waited for.
    """
    file, rest = log_file(root, sweep_id), b""
    position = 0
    while True:
        waiting = more()  # before reading, so that the last lines of a driver are not missed
        if file.exists():
            with file.open("rb") as stream:
                stream.seek(position)
                read = stream.read()
            position += len(read)
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValidationError):  # a killed driver leaves half a line
                    yield LogLine.model_validate_json(line)
        if not waiting:
            return
        time.sleep(_LOOK_SECONDS)


def log_file(root: Path, sweep_id: str) -> Path:
    """Where the log of a sweep is."""
    return root / "logs" / f"{sweep_id}.jsonl"


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return LogLine.of(record).to_text()


class _KeptHandler(logging.Handler):
    """Appends every line at once, as others may write the file, too."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._descriptor = os.open(file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o666)

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{LogLine.of(record).model_dump_json()}\n"
        with contextlib.suppress(OSError):  # a full disk must not end a sweep by its log
            os.write(self._descriptor, line.encode())

    def close(self) -> None:
        super().close()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
