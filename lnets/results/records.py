"""Rows of the store's tables, and a finished trial as it travels through the spool."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict

Status = Literal["completed", "diverged", "failed", "blocked", "stopped", "paused"]
"""How a trial ended; `blocked`: it was not run, because what it needs has no result; `stopped`: it
was not run to its end, because its configuration was worse than others of the sweep; `paused`: it
has yet to be seen whether it goes on."""

FINISHED = ("completed", "diverged")
"""States that running the trial again would not change."""

KEY_DIGITS = 12
"""Of a trial's key, by which people call it."""

_ENDED = {"trial_key", "status", "attempt"}

TIMESTAMP = pa.timestamp("us", tz="UTC")

SWEEPS = pa.schema(
    [
        ("sweep_id", pa.string()),
        ("name", pa.string()),
        ("spec", pa.string()),
        ("trial_keys", pa.list_(pa.string())),
        ("skipped", pa.string()),
        ("submitted_at", TIMESTAMP),
        ("commit", pa.string()),
        ("versions", pa.string()),
        ("host", pa.string()),
    ]
)
TRIALS = pa.schema(
    [
        ("trial_key", pa.string()),
        ("config_key", pa.string()),
        ("sweep_id", pa.string()),
        ("name", pa.string()),
        ("task", pa.string()),
        ("seed", pa.int64()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("config", pa.string()),
        ("metrics", pa.string()),
        ("started_at", TIMESTAMP),
        ("train_seconds", pa.float64()),
        ("device", pa.string()),
        ("attempt", pa.int64()),
        ("commit", pa.string()),
    ]
)
CURVES = pa.schema(
    [
        ("trial_key", pa.string()),
        ("step", pa.int64()),
        ("seconds", pa.float64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
PROPOSALS = pa.schema(
    [
        ("study_id", pa.string()),
        ("number", pa.int64()),
        ("parameters", pa.string()),
        ("trial_keys", pa.list_(pa.string())),
        ("reason", pa.string()),
        ("proposed_at", TIMESTAMP),
    ]
)
TABLES = {"sweeps": SWEEPS, "trials": TRIALS, "curves": CURVES, "proposals": PROPOSALS}


DIRTY = "-dirty-"
"""What stands between a commit and the SHA-256 of the changes that were made to it."""


def short_commit(commit: str | None) -> str:
    """A commit, and the digest of changes to it, as a person reads them."""
    if commit is None:
        return "unknown"
    return "-".join(part[:12] for part in commit.split("-"))


def last_exception(error: str | None) -> str:
    """The line of a traceback that says what happened; the first line of any other text."""
    lines = (error or "").splitlines() or [""]
    frames = [i for i, line in enumerate(lines) if line.startswith("  File ")]
    after = lines[frames[-1] :] if frames else lines
    return next((line for line in after if line and not line.startswith(" ")), lines[0])


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CurvePoint(_Row):
    """One metric at one logged step."""

    step: int
    seconds: float
    metric: str
    value: float


class TrialRecord(_Row):
    """A trial that has ended, as a worker spools it: its row and its learning curve."""

    trial_key: str
    config_key: str
    sweep_id: str
    name: str
    task: str
    seed: int
    status: Status
    error: str | None = None
    config: str
    """The resolved experiment as canonical JSON."""
    metrics: dict[str, float]
    started_at: AwareDatetime
    train_seconds: float | None
    device: str
    attempt: int
    commit: str | None
    curve: tuple[CurvePoint, ...] = ()

    @property
    def paused_at(self) -> int | None:
        """Where it has paused, in the unit of its task; None if it has not."""
        return int(self.metrics["paused_at"]) if self.status == "paused" else None

    @property
    def finished(self) -> bool:
        """Whether running the trial again would change nothing."""
        return self.status in FINISHED

    def turn(self) -> tuple[int, int]:
        """What comes first where several records of a trial are waiting."""
        kind = 0 if self.status == "paused" else 1 if self.finished else 2
        return kind, self.attempt

    def with_metrics(self, metrics: Mapping[str, float]) -> "TrialRecord":
        """The record with what a trial had come to."""
        seconds = metrics.get("train_seconds")
        return self.model_copy(update={"metrics": dict(metrics), "train_seconds": seconds})

    def trial_row(self) -> dict[str, Any]:
        """The row of the table `trials`."""
        return self.model_dump(exclude={"curve", "metrics"}) | {
            "metrics": self.model_dump_json(include={"metrics"})[len('{"metrics":') : -1]
        }


def curve_points(
    records: Sequence[TrialRecord], last: Mapping[str, int]
) -> Iterator[tuple[str, CurvePoint]]:
    """Points of learning curves with their trials' keys, each once.

    Args:
        records: Of several of one trial, each has the curve from the start.
        last: Steps up to which the curves of trials are known.
    """
    longest = {record.trial_key: record for record in sorted(records, key=lambda r: len(r.curve))}
    for key, record in longest.items():
        yield from ((key, p) for p in record.curve if p.step > last.get(key, -1))


class SweepRecord(_Row):
    """A submission."""

    sweep_id: str
    name: str
    spec: str
    """The sweep as canonical JSON; each need that is used has its `trial_key` in it."""
    trial_keys: tuple[str, ...]
    """Its trials, whichever submission ran them; not those that it needs."""
    skipped: str
    """JSON list of the sampled configurations that cannot be built, with reasons."""
    submitted_at: AwareDatetime
    commit: str | None
    """Of the code; with `-dirty-` and a SHA-256 of the changes if it had any."""
    versions: str
    """JSON object of the versions of Python and of the libraries that decide results."""
    host: str


class ProposalRecord(_Row):
    """A configuration that a sampler, or a population, has come to."""

    study_id: str
    number: int
    """Counted from 0 in each search."""
    parameters: str
    """JSON object of what the sampler drew, by parameter, of a list the index; of a population
    the fields that are set."""
    trial_keys: tuple[str, ...]
    """One per seed; empty if it is impossible."""
    reason: str | None
    """Why it is impossible."""
    proposed_at: AwareDatetime


@dataclass(frozen=True)
class SweepTrials:
    """A sweep by its trials, whichever submission ran them."""

    sweep_id: str
    name: str
    trial_keys: tuple[str, ...]
    needs: Mapping[str, str] = field(default_factory=dict)
    """Keys of the trials that it needs, by name."""
    drawn: bool = False
    """Whether its configurations come in an order of draw, which says nothing."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "SweepTrials":
        """Read off a row of the table `sweeps`."""
        spec = json.loads(row["spec"])
        needs = spec.get("needs", {})  # which older submissions do not have
        drawn = spec.get("algorithm", {}).get("type", "grid") != "grid"
        keys = {name: need["trial_key"] for name, need in needs.items() if "trial_key" in need}
        return cls(row["sweep_id"], row["name"], tuple(row["trial_keys"]), keys, drawn)


@dataclass(frozen=True)
class Ended:
    """Which trials have ended."""

    finished: frozenset[str]
    """Keys of trials that running again would not change."""
    completed: frozenset[str]
    """Keys of those among them that have a result."""
    failed: frozenset[str]
    """Keys of trials that have failed at least once."""
    stopped: frozenset[str]
    """Keys of trials that have been stopped at least once."""
    attempts: Mapping[str, int]
    """How often each trial has been tried, or blocked."""

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "Ended":
        """Read off rows of the table `trials`."""
        rows = list(rows)
        attempts: dict[str, int] = {}
        for row in rows:
            attempts[row["trial_key"]] = max(row["attempt"], attempts.get(row["trial_key"], 0))

        def ended(*statuses: str) -> frozenset[str]:
            return frozenset(row["trial_key"] for row in rows if row["status"] in statuses)

        return cls(
            ended(*FINISHED), ended("completed"), ended("failed"), ended("stopped"), attempts
        )

    def plus(self, records: Sequence[TrialRecord]) -> "Ended":
        """With further records."""
        more = Ended.of([record.model_dump(include=_ENDED) for record in records])
        attempts = dict(self.attempts)
        for key, attempt in more.attempts.items():
            attempts[key] = max(attempt, attempts.get(key, 0))
        return Ended(
            self.finished | more.finished,
            self.completed | more.completed,
            self.failed | more.failed,
            self.stopped | more.stopped,
            attempts,
        )

    def covers(self, record: TrialRecord) -> bool:
        """Whether a record tells nothing new."""
        known = record.attempt <= self.attempts.get(record.trial_key, 0)
        if record.status == "paused":
            return known
        return record.trial_key in self.finished or (not record.finished and known)
