"""Which configurations go on with their training, or their seeds, and which are stopped."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias, assert_never

from lnets.specs.overrides import Overrides
from lnets.specs.schedulers import AshaSpec, HyperbandSpec, MedianSpec, PopulationSpec
from lnets.specs.search import OptunaSpec
from lnets.specs.sweep import SweepSpec
from lnets.sweep.plan import Trial
from lnets.sweep.samplers import Verdict
from lnets.sweep.spaces import Parameters

Stage: TypeAlias = tuple[Trial, ...]
"""Trials that run, each to a pause or to its end, before a configuration is judged again."""


@dataclass
class Candidate:
    """A configuration that is tried."""

    number: int
    overrides: Overrides
    """The fields that are set."""
    parameters: Parameters
    """What a sampler drew; empty where none did."""
    trials: tuple[Trial, ...]
    """One per seed; empty if it is impossible."""
    reason: str | None
    """Why it is impossible."""
    twin: "Candidate | None"
    """The same configuration, proposed before by other parameters."""
    stages: tuple[Stage, ...] = ()
    values: list[tuple[float, ...]] = field(default_factory=list)
    """The objective of each trial of the stages that have ended, larger being better; minus
    infinity if one has diverged, nothing where it is not known."""
    verdict: Verdict | None = None
    """How it has ended."""
    held: bool = False
    """Whether it waits for others at the end of a stage."""

    def mean(self, stage: int) -> float | None:
        """Of the objective at the end of a stage; None if that is not known."""
        known = stage < len(self.values) and self.values[stage]
        return statistics.fmean(self.values[stage]) if known else None


class Rule(Protocol):
    """Divides what configurations do into stages, and says who goes on after each."""

    worse: str
    """What is said of a configuration that does not go on."""

    def stages(self, number: int, trials: Sequence[Trial]) -> tuple[Stage, ...]:
        """Of the configuration of that number, which has these trials."""

    def goes_on(
        self, one: Candidate, stage: int, every: Sequence[Candidate], more: bool
    ) -> bool | None:
        """Whether a configuration goes on after a stage whose value is known.

        Args:
            one: The configuration.
            stage: The stage that has ended.
            every: All configurations so far.
            more: Whether further ones may come.

        Returns:
            None if that depends on what is not there yet.
        """

    def where(self, stage: int, one: Candidate) -> str:
        """The end of a stage in words."""
        trial = one.stages[stage][0]
        return f"at {trial.until} {trial.training.unit}"

    def successor(self, one: Candidate, stage: int, every: Sequence[Candidate]) -> Overrides | None:
        """The configuration that takes the place of one that does not go on, if there is one."""
        return None


def rule_of(sweep: SweepSpec) -> Rule:
    """The rule that a sweep asks for."""
    match sweep.scheduler:
        case None:
            algorithm = sweep.algorithm
            several = len(sweep.objectives()) > 1
            assert isinstance(algorithm, OptunaSpec)
            first = None if several else algorithm.first_seeds
            return FirstSeeds(first or len(sweep.seed_list()), algorithm.parallel)
        case AshaSpec():
            shares = _powers(sweep.scheduler.grace, sweep.scheduler.reduction)
            return Halving([shares], sweep.scheduler.reduction)
        case HyperbandSpec():
            shares = _powers(sweep.scheduler.grace, sweep.scheduler.reduction)
            brackets = [shares[first:] for first in range(len(shares) + 1)]
            return Halving(brackets, sweep.scheduler.reduction)
        case MedianSpec():
            return Median(multiples(sweep.scheduler.grace), sweep.scheduler.min_configurations)
        case PopulationSpec():
            from lnets.sweep.population import Population

            return Population(sweep.scheduler)
        case _:
            assert_never(sweep.scheduler)


class FirstSeeds(Rule):
    """Some seeds first, the others unless all of these are worse than every seed of the best.

    Args:
        first: How many.
        parallel: Configurations whose numbers differ by less are not compared, so that it does not
            matter which of them is faster.
    """

    def __init__(self, first: int, parallel: int) -> None:
        self.worse = "is worse than the best one"
        self._first, self._parallel = first, parallel

    def stages(self, number: int, trials: Sequence[Trial]) -> tuple[Stage, ...]:
        """The first seeds, then all."""
        first = tuple(trials[: self._first])
        return (first,) if len(first) == len(trials) else (first, tuple(trials))

    def goes_on(
        self, one: Candidate, stage: int, every: Sequence[Candidate], more: bool
    ) -> bool | None:
        """Whether any seed is as good as the worst of the best configuration's."""
        before = every[: max(0, one.number - self._parallel + 1)]
        completed = [c for c in before if c.verdict and c.verdict.state == "completed" and c.values]
        best = max(completed, key=lambda c: c.mean(-1) or 0.0, default=None)
        return best is None or max(one.values[stage]) >= min(best.values[-1])

    def where(self, stage: int, one: Candidate) -> str:
        """The end of a stage in words."""
        return f"after {self._first} of {len(one.trials)} seeds"


class Halving(Rule):
    """One configuration in so many goes on after each stage, of those in the same bracket.

    Source:
        Li et al. (2018), arXiv:1810.05934; brackets: Li et al. (2016), arXiv:1603.06560.

    Args:
        brackets: Shares of the training after which the configurations of each bracket pause.
        reduction: One in so many goes on.
    """

    def __init__(self, brackets: Sequence[Sequence[float]], reduction: int) -> None:
        self.worse = f"is not the best of {reduction}"
        self._brackets, self._reduction = brackets, reduction
        most = len(brackets[0])
        self._weights = [
            (most + 1) / (len(shares) + 1) * reduction ** len(shares) for shares in brackets
        ]
        self._bracket: list[int] = []

    def stages(self, number: int, trials: Sequence[Trial]) -> tuple[Stage, ...]:
        """Pauses of the bracket to which a configuration belongs, and the end."""
        while len(self._bracket) <= number:
            counts = map(self._bracket.count, range(len(self._brackets)))
            filled = [count / weight for count, weight in zip(counts, self._weights, strict=True)]
            self._bracket.append(filled.index(min(filled)))
        return pauses(trials, self._brackets[self._bracket[number]])

    def goes_on(
        self, one: Candidate, stage: int, every: Sequence[Candidate], more: bool
    ) -> bool | None:
        """Whether it is among the best that have come so far; or of all, once no more can come."""
        peers = [
            c for c in every if c.stages and self._bracket[c.number] == self._bracket[one.number]
        ]
        arrived = [c for c in peers if c.mean(stage) is not None]
        order = sorted(arrived, key=lambda c: (-(c.mean(stage) or 0.0), c.number))
        rank, best = order.index(one), len(arrived) // self._reduction
        if rank < best:
            return True
        coming = more or any(c.verdict is None and stage >= len(c.values) for c in peers)
        return None if coming else rank < max(1, best)


class Median(Rule):
    """Whoever is worse than the median of the others at the same point is stopped.

    Source:
        Golovin et al., Google Vizier (2017), section 3.2.2; here of values, not of running means.

    Args:
        shares: Of the training, after which configurations pause.
        least: Others that must have come to a point before any is stopped there.
    """

    def __init__(self, shares: Sequence[float], least: int) -> None:
        self.worse = "is worse than the median of others"
        self._shares, self._least = shares, least

    def stages(self, number: int, trials: Sequence[Trial]) -> tuple[Stage, ...]:
        """All pauses, and the end."""
        return pauses(trials, self._shares)

    def goes_on(
        self, one: Candidate, stage: int, every: Sequence[Candidate], more: bool
    ) -> bool | None:
        """Whether it is as good as the median."""
        others = [mean for c in every if c is not one and (mean := c.mean(stage)) is not None]
        own = one.mean(stage)
        assert own is not None
        return len(others) < self._least or own >= statistics.median(others)


def multiples(grace: float) -> list[float]:
    """Shares of a training that are multiples of one, without the end."""
    return [grace * i for i in range(1, math.ceil(1 / grace - 1e-9))]


def pauses(trials: Sequence[Trial], shares: Sequence[float]) -> tuple[Stage, ...]:
    """Trials to each share of their training, and to the end."""
    return tuple(
        tuple(replace(trial, until=trial.training.pause_at(share)) for trial in trials)
        for share in (*shares, 1.0)
    )


def _powers(grace: float, reduction: int) -> list[float]:
    count = math.ceil(-math.log(grace) / math.log(reduction) - 1e-9)
    return [grace * reduction**i for i in range(count)]
