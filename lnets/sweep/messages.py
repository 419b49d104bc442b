"""What travels between a driver and its workers."""

from pydantic import BaseModel, ConfigDict

from lnets.errors import StoreError
from lnets.results.records import Status, TrialRecord

END = 2**62
"""Where a trial is that has not paused."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(_Message):
    """One trial, as it travels to a worker."""

    trial_key: str
    config_key: str
    sweep_id: str
    name: str
    """The sweep's name; of what it needs `sweep.need`."""
    label: str
    seed: int
    attempt: int
    commit: str | None
    config: str
    """The resolved experiment as canonical JSON."""
    until: int | None = None
    """Where it pauses, in the unit of its task; None goes to the end."""
    keep: bool = False
    """Whether its checkpoint there is kept for others to go on from."""

    def answered_by(self, record: TrialRecord | None) -> bool:
        """Whether a record has what this job asks for."""
        if record is None or record.finished:
            return record is not None
        return self.until is not None and (record.paused_at or 0) >= self.until


class Group(_Message):
    """Trials that a worker executes together: the unit of a runner."""

    jobs: tuple[Job, ...]
    store: str
    """Folder of the store."""
    device: str
    """`cpu` or `cuda`."""
    threads: int
    """CPU threads."""
    compile: bool = False
    """Whether networks are compiled."""
    driver: str = ""
    """The driver that handed it out, as requests to it are called."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        first = self.jobs[0].label
        return first if len(self.jobs) == 1 else f"{first} and {len(self.jobs) - 1} more"


class Result(_Message):
    """How a trial ended, as it travels back; the whole record is in the spool."""

    trial_key: str
    status: Status
    metrics: dict[str, float] = {}
    error: str | None = None
    kept: bool = True
    """Whether its record is in the spool; if not, the store cannot be written."""

    @property
    def place(self) -> int:
        """Where the trial has paused, or `END`."""
        return int(self.metrics["paused_at"]) if self.status == "paused" else END

    @classmethod
    def of(cls, record: TrialRecord) -> "Result":
        """The part of a record that a driver wants to know at once."""
        return cls.model_validate(record.model_dump(include=set(cls.model_fields)))

    @classmethod
    def not_kept(cls, trial_key: str, error: StoreError) -> "Result":
        """What could not be spooled; the trial runs again when the sweep is submitted again."""
        return cls(trial_key=trial_key, status="failed", error=str(error), kept=False)
