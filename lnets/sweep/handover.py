"""What a sweep that is handed to a Ray cluster takes along."""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

import lnets
from lnets.errors import SpecError

JOB = "LNETS_JOB"
"""Environment variable of the processes of a Ray Job of ours: its submission id."""
JOB_COMMIT = "LNETS_COMMIT"
"""Environment variable of theirs: the commit of the code that they were given."""
HANDOVER_FILE = "handover.json"
ENTRYPOINT = "exec python -m lnets.sweep.job_driver"
"""All that a shell is given; whatever a person wrote stands in a file."""
STOPPED = 130
"""Exit code of a driver that was asked to end."""
_METADATA = "lnets_"
_TOLD = ("sweep_id", "name", "store", "commit")
_MAX_BYTES = 32 * 2**20
# A driver that is asked to end commits what has ended before it does.
_SECONDS_TO_END = 60


Again: TypeAlias = Literal["failed", "failed or blocked"]
"""Statuses of the trials that run again."""


class Handover(BaseModel):
    """What the driver inside a Ray Job does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["run", "stop", "watch"]
    sweep_id: str
    name: str
    """The sweep's name."""
    store: str
    """Folder that all machines of the cluster reach."""
    spec: str | None = None
    """The sweep as JSON, in the order of its file; None: as the store has it."""
    again: Again | None = None
    """Which of its trials run again; None: all that are missing."""
    address: str
    """Of the cluster, as it was called by who handed the sweep over."""
    wait: bool = False
    """Whether to wait until the cluster has what a trial takes."""
    python: str = platform.python_version()
    """Version of who handed it over."""
    ray: str = version("ray")


@dataclass(frozen=True)
class SweepJob:
    """A sweep that was handed to a cluster."""

    job: str
    """Its submission id."""
    sweep_id: str
    name: str
    store: str
    """Folder on the cluster's machines."""
    commit: str
    """Of the code; empty if it is not known."""
    state: str
    """`pending`, `running`, `succeeded`, `failed`, or `stopped` if that was asked for."""
    exit_code: int | None
    """Of the driver, if it has ended by itself."""
    submitted_at: datetime
    message: str
    """What Ray has to say of it; of a failure the end of what the driver wrote."""

    @property
    def alive(self) -> bool:
        """Whether its driver is at work, or will be."""
        return self.state in ("pending", "running")

    def to_json(self) -> dict[str, Any]:
        """Plain data, but for Ray's message."""
        data = {name: value for name, value in asdict(self).items() if name != "message"}
        return {**data, "submitted_at": f"{self.submitted_at:%Y-%m-%d %H:%M:%S} UTC"}

    def to_row(self) -> dict[str, Any]:
        """What fits on a terminal."""
        names = ("name", "sweep_id", "state", "submitted_at", "store", "job")
        return {name: self.to_json()[name] for name in names}

    @classmethod
    def of(cls, details: Any) -> "SweepJob | None":
        """Read off what Ray tells of a job; None of one that is no sweep."""
        given = details.metadata or {}
        told = {
            name: given[f"{_METADATA}{name}"] for name in _TOLD if f"{_METADATA}{name}" in given
        }
        if len(told) < len(_TOLD):
            return None
        state = details.status.value.lower()
        return cls(
            job=details.submission_id,
            state="stopped" if details.driver_exit_code == STOPPED else state,
            exit_code=details.driver_exit_code,
            submitted_at=datetime.fromtimestamp((details.start_time or 0) / 1000, UTC),
            message=details.message or "",
            **told,
        )


def metadata(handover: Handover, commit: str | None) -> dict[str, str]:
    """What Ray is told of a job, which it shows in its dashboard, too."""
    told = {
        "sweep_id": handover.sweep_id,
        "name": handover.name,
        "store": handover.store,
        "commit": commit or "",
    }
    named = {f"{_METADATA}{name}": value for name, value in told.items()}
    return {"job_name": handover.name, **named}


@contextmanager
def packed(handover: Handover) -> Iterator[Path]:
    """A folder of what travels: the package and what is to be done; no data, results or history.

    Raises:
        SpecError: If it is too large.
    """
    with TemporaryDirectory(prefix="lnets-job-") as folder:
        package = Path(lnets.__file__).parent
        leave = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
        shutil.copytree(package, Path(folder) / package.name, ignore=leave)
        (Path(folder) / HANDOVER_FILE).write_text(handover.model_dump_json(), encoding="utf-8")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        if size > _MAX_BYTES:
            raise SpecError(
                f"{handover.name}: what a job takes along must be at most {_MAX_BYTES / 2**20:g} "
                f"MiB, got {size / 2**20:.0f} MiB; search fewer listed values."
            )
        yield Path(folder)


def job_environment(job: str, commit: str | None) -> dict[str, str]:
    """Environment variables of the driver and the workers of a job."""
    variables = {
        JOB: job,
        JOB_COMMIT: commit or "",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_JOB_STOP_WAIT_TIME_S": str(_SECONDS_TO_END),
    }
    data = os.environ.get("LNETS_DATA", "")
    return variables | ({"LNETS_DATA": data} if Path(data).is_absolute() else {})
