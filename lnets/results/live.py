"""Which drivers are at work on a store: small files that each renews while it lives."""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lnets.errors import StoreError
from lnets.results.files import file_clock, write_atomically

_STALE_SECONDS = 15.0


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
    """Labels of the trials at work."""


class Live:
    """A driver's own heartbeat.

    Args:
        root: Folder of the store.
        sweep_id: The sweep it drives.
        name: The sweep's name.
        dashboard: Address of Ray's dashboard, if there is one.
    """

    def __init__(self, root: Path, sweep_id: str, name: str, dashboard: str | None) -> None:
        self._file = _folder(root) / f"{sweep_id}-{socket.gethostname()}-{os.getpid()}.json"
        self._first = Heartbeat(
            sweep_id=sweep_id,
            name=name,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=datetime.now(UTC),
            dashboard=dashboard,
            running=(),
        )

    def beat(self, running: tuple[str, ...]) -> None:
        """Say that this driver lives, and what runs."""
        beat = self._first.model_copy(update={"running": running})
        try:
            write_atomically(self._file, beat.model_dump_json())
        except OSError as error:
            raise StoreError(f"{self._file}: cannot be written: {error.strerror}") from None

    def stop(self) -> None:
        """The driver has ended."""
        self._file.unlink(missing_ok=True)


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


def _folder(root: Path) -> Path:
    return root / "live"
