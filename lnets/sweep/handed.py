"""Sweeps that clusters have been given, and how far they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnets.errors import StoreError
from lnets.results.store import Store
from lnets.sweep.handover import SweepJob
from lnets.sweep.overview import Status, status_of


@dataclass(frozen=True)
class Handed:
    """A sweep that a cluster has."""

    job: str
    """Submission id."""
    new: bool
    """Whether it was handed over now; else it had been before, and has not ended."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"job": self.job, "new": self.new}


@dataclass(frozen=True)
class JobStatus:
    """How far a job is, and its sweep."""

    job: SweepJob
    sweep: Status | None
    """None if the store is not reached from here, or does not have it yet."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**self.job.to_json(), "sweep": self.sweep and self.sweep.to_json()}

    def to_text(self) -> str:
        """For a person."""
        job = self.job
        code = "" if job.exit_code is None else f", exit code {job.exit_code}"
        text = f"job {job.job} of {job.name}: {job.state}{code}, store {job.store}"
        if job.state == "failed":
            text += f"\n  {(job.message.strip().splitlines() or [''])[-1]}"
        return text if self.sweep is None else f"{text}\n{self.sweep.to_text()}"

    @classmethod
    def of(cls, job: SweepJob) -> "JobStatus":
        """Of a job, and what its store says where that is reached from here."""
        try:
            return cls(job, status_of(Store(Path(job.store)), job.sweep_id)[0])
        except StoreError:
            return cls(job, None)
