"""What a running sweep shows to Prometheus, as numbers with names and labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lnets.results.live import Standing

_STATES = ("done", "failed", "blocked", "diverged", "stopped", "left")


@dataclass(frozen=True)
class Reading:
    """A number of this moment."""

    name: str
    meaning: str
    """ASCII, as are the labels: Ray takes nothing else."""
    value: float
    labels: Mapping[str, str]
    counts: bool = False
    """Whether it only grows."""


def readings(sweep: str, standing: Standing, running: int) -> Iterator[Reading]:
    """All numbers that are known now.

    Args:
        sweep: Its name, which is a label of each.
        standing: How far it is.
        running: Trials at work.
    """
    whose = {"sweep": sweep}
    for state, trials in (
        *((state, getattr(standing, state)) for state in _STATES),
        ("running", running),
    ):
        yield Reading("lnets_trials", "Trials by state", trials, {**whose, "state": state})
    spool = "Records of ended trials that wait for the tables"
    yield Reading("lnets_spool_length", spool, standing.spooled, whose)
    lost = "Deaths of workers after which trials were started again"
    yield Reading("lnets_workers_lost", lost, standing.lost, whose, counts=True)
    ended = "Trials that have ended in this submission or before"
    yield Reading("lnets_trials_ended", ended, standing.total - standing.left, whose, counts=True)
    if standing.best is not None:
        best = {**whose, "metric": standing.objective}
        yield Reading("lnets_best_objective", "Best value of the objective", standing.best, best)
    if standing.steps_per_second is not None:
        speed = "Training steps per second of the trial that has ended last"
        yield Reading("lnets_steps_per_second", speed, standing.steps_per_second, whose)
    if standing.orthonormality_error is not None:
        error = standing.orthonormality_error
        far = "How far singular values are from 1 in the trial that has ended last"
        yield Reading("lnets_orthonormality_error", far, error, whose)
