"""Which drivers are at work on a store, and what is asked of them: small files that tell.

A driver renews its heartbeat while it lives. Who wants it to end puts a file beside that heartbeat,
so a request reaches drivers on any machine that has the store, and none that starts later. Workers
say in such a file how far a trial is.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lnets.errors import StoreError
from lnets.results.files import file_clock, write_atomically

Request: TypeAlias = Literal["stop", "cancel"]
"""To end when what runs has ended, or now."""
STOPPING = "stopping: nothing further begins"
"""What is said of a driver that has been asked to end."""
_STALE_SECONDS = 15.0
_TELL_SECONDS = 2.0


class Standing(BaseModel):
    """How far a sweep is, as its driver sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    total: int
    """Trials, those that others need among them; of a search all that it may ask for."""
    done: int
    """Trials with a result."""
    failed: int
    blocked: int
    diverged: int
    """Of this submission; they are among those done."""
    stopped: int
    left: int
    """Trials that have not ended."""
    lost: int
    """Deaths of workers after which trials were started again."""
    spooled: int
    """Records that wait for the tables."""
    objective: str
    best: float | None
    best_label: str
    """The trial that has it."""
    steps_per_second: float | None
    """Of the trial that has ended last."""
    orthonormality_error: float | None
    """Of the same."""
    seconds_left: float | None
    """Until the end, if that can be told."""
    trouble: str
    """The latest failure, or death of a worker."""


class Heartbeat(BaseModel):
    """What a driver says about itself about once a second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sweep_id: str
    name: str
    pid: int
    host: str
    started_at: AwareDatetime
    dashboard: str | None
    running: tuple[str, ...]
    """Labels of the trials at work, and how far they are where they have said so."""
    standing: Standing | None = None
    asked: Request | None = None
    """What it has been asked to do, and does."""

    @property
    def driver(self) -> str:
        """By which a driver is told from all others."""
        return f"{self.sweep_id}-{self.host}-{self.pid}"


class Live:
    """A driver's own heartbeat.

    Args:
        root: Folder of the store.
        sweep_id: The sweep it drives.
        name: The sweep's name.
        dashboard: Address of Ray's dashboard, if there is one.
    """

    def __init__(self, root: Path, sweep_id: str, name: str, dashboard: str | None) -> None:
        self._root = root
        self._first = Heartbeat(
            sweep_id=sweep_id,
            name=name,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=datetime.now(UTC),
            dashboard=dashboard,
            running=(),
        )
        self.name = name
        self.driver = self._first.driver
        self._file = _folder(root) / f"{self.driver}.json"
        self._forget_requests()  # to an earlier process of this number

    def beat(self, running: tuple[str, ...], standing: Standing | None = None) -> None:
        """Say that this driver lives, what runs, and how far it is."""
        new = {"running": running, "standing": standing, "asked": self.request()}
        beat = self._first.model_copy(update=new)
        try:
            write_atomically(self._file, beat.model_dump_json())
        except OSError as error:
            raise StoreError(f"{self._file}: cannot be written: {error.strerror}") from None

    def request(self) -> Request | None:
        """What is asked of this driver."""
        if _request_file(self._root, self.driver, "cancel").exists():
            return "cancel"
        return "stop" if stop_asked(self._root, self.driver) else None

    def ask_itself(self, request: Request) -> None:
        """Ask this driver, as others may: its workers look for that, too."""
        _request_file(self._root, self.driver, request).touch()

    def stop(self) -> None:
        """The driver has ended."""
        self._file.unlink(missing_ok=True)
        self._forget_requests()

    def _forget_requests(self) -> None:
        for request in get_args(Request):
            _request_file(self._root, self.driver, request).unlink(missing_ok=True)


class Teller:
    """A worker's word on how far a trial is.

    Args:
        root: Folder of the store.
        trial_key: The trial.
    """

    def __init__(self, root: Path, trial_key: str) -> None:
        self._file = _said_file(root, trial_key)
        self._told = time.monotonic()

    def tell(self, step: int, metrics: Mapping[str, float]) -> None:
        """Say where training is, with the first of some metrics; now and then."""
        if not metrics or time.monotonic() - self._told < _TELL_SECONDS:
            return
        self._told = time.monotonic()
        name, value = next(iter(metrics.items()))
        with contextlib.suppress(OSError):  # no trial may fail by it
            write_atomically(self._file, f"step {step:,}, {name} {value:.4g}")


def heard(root: Path, trial_key: str) -> str | None:
    """What a worker has said last of a trial that is at work; None if nothing."""
    try:
        return _said_file(root, trial_key).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def forget(root: Path, trial_key: str) -> None:
    """A trial is no longer at work."""
    with contextlib.suppress(OSError):
        _said_file(root, trial_key).unlink(missing_ok=True)


def heartbeats(root: Path) -> list[Heartbeat]:
    """The drivers that are at work on a store now."""
    found = []
    now = file_clock(_folder(root))
    for file in _folder(root).glob("*.json"):
        try:
            if now - file.stat().st_mtime < _STALE_SECONDS:
                found.append(Heartbeat.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError):  # ended just now, or of another version
            continue
    return found


def ask(root: Path, sweep_id: str, request: Request) -> list[Heartbeat]:
    """Ask the drivers that are at work on a sweep to end.

    Returns:
        Those that were asked.

    Raises:
        StoreError: If the store cannot be written.
    """
    asked = [heartbeat for heartbeat in heartbeats(root) if heartbeat.sweep_id == sweep_id]
    for heartbeat in asked:
        file = _request_file(root, heartbeat.driver, request)
        try:
            file.touch()
        except OSError as error:
            raise StoreError(f"{file}: cannot be written: {error.strerror}") from None
    return asked


def stop_asked(root: Path, driver: str) -> bool:
    """Whether a driver is to start no further trial."""
    return _request_file(root, driver, "stop").exists()


def _request_file(root: Path, driver: str, request: Request) -> Path:
    return _folder(root) / f"{driver}.{request}"


def _said_file(root: Path, trial_key: str) -> Path:
    return _folder(root) / f"{trial_key}.said"


def _folder(root: Path) -> Path:
    return root / "live"
