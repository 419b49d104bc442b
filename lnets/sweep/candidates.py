"""Configurations that a search has proposed: which of their trials run, and how they end."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lnets.results.records import FINISHED
from lnets.results.store import Store
from lnets.results.tables import trials_that_count
from lnets.specs.identity import config_key
from lnets.specs.search import OptunaSpec
from lnets.sweep.plan import Planner, Skipped, Trial
from lnets.sweep.runner import Result
from lnets.sweep.samplers import Verdict
from lnets.sweep.spaces import Parameters, Space


@dataclass
class Candidate:
    """A configuration that was proposed."""

    number: int
    parameters: Parameters
    trials: tuple[Trial, ...]
    """One per seed; empty if it is impossible."""
    reason: str | None
    """Why it is impossible."""
    twin: "Candidate | None"
    """The same configuration, proposed before by other parameters."""
    verdict: Verdict | None = None
    """How it has ended."""


class Candidates:
    """The proposals of a search, judged by the results of their trials.

    What is decided depends on nothing but the sweep, the proposals and the results.

    Args:
        planner: Of the sweep.
        store: Where results are that are there already.
    """

    def __init__(self, planner: Planner, store: Store) -> None:
        sweep = planner.sweep
        assert isinstance(sweep.algorithm, OptunaSpec)
        self._planner, self._store = planner, store
        self._space = Space(sweep.search)
        self._algorithm = sweep.algorithm
        self._signs = {
            objective.metric: 1 if objective.maximize else -1 for objective in sweep.objectives()
        }
        first = sweep.algorithm.first_seeds
        several = len(self._signs) > 1 or first is None
        self._seeds = sweep.seed_list()
        self._first = len(self._seeds) if several else first
        self._results: dict[str, Result] = {}
        self._given: set[str] = set()
        self._stopped: list[tuple[Trial, str]] = []
        self._by_config: dict[str, Candidate] = {}
        self.every: list[Candidate] = []
        """In the order of their numbers."""
        self._found = 0

    @property
    def different(self) -> int:
        """Configurations that are possible, each counted once."""
        return len(self._by_config)

    def load(self, keys: Iterable[str], also: Collection[str] = ()) -> None:
        """Look for results of trials in the store.

        Args:
            keys: Of the trials.
            also: Statuses besides those of results, for trials that are not to run again.
        """
        unknown = [key for key in keys if key not in self._results]
        if not unknown:
            return
        names = ("trial_key", "status", "metrics")
        self._results |= {
            key: Result.model_validate({name: row[name] for name in names})
            for key, row in trials_that_count(self._store, unknown).items()
            if row["status"] in (*FINISHED, *also)
        }

    def add(self, parameters: Parameters) -> Candidate:
        """The next proposal."""
        overrides = self._space.overrides(parameters)
        experiment = self._planner.resolve(overrides)
        number, reason, twin = len(self.every), None, None
        trials: tuple[Trial, ...] = ()
        if isinstance(experiment, Skipped):
            reason = experiment.reason
        else:
            config = config_key(experiment)
            trials = tuple(
                self._planner.trial(experiment, config, seed, overrides) for seed in self._seeds
            )
            twin = self._by_config.get(config)
        candidate = Candidate(number, parameters, trials, reason, twin)
        if trials and twin is None:
            self._by_config[trials[0].config_key] = candidate
            keys = [trial.trial_key for trial in trials]
            self.load(key for key in keys if key in self._store.seen.finished)
            self._found += sum(key in self._results for key in keys)
        self.every.append(candidate)
        return candidate

    def heard(self, results: Sequence[Result]) -> None:
        """Trials have ended."""
        self._results |= {result.trial_key: result for result in results}

    def judged(self, numbers: int) -> bool:
        """Whether the first proposals, so many, have all ended."""
        return all(candidate.verdict for candidate in self.every[: max(0, numbers)])

    def to_run(self) -> list[Trial]:
        """Decide what can be decided; trials that can run now, each given out once."""
        lost = [key for key in self._given if key not in self._results]
        self.load(key for key in lost if key in self._store.seen.finished)
        return [
            trial
            for candidate in self.every
            if candidate.verdict is None
            for trial in self._decide(candidate)
        ]

    def take_stopped(self) -> list[tuple[Trial, str]]:
        """Trials that are not to be run any more, and why; each once."""
        stopped, self._stopped = self._stopped, []
        return stopped

    def take_found(self) -> int:
        """How many more trials had a result when their configuration was proposed."""
        found, self._found = self._found, 0
        return found

    def _decide(self, candidate: Candidate) -> list[Trial]:
        if candidate.twin is not None:
            candidate.verdict = candidate.twin.verdict
            return []
        for trials in (candidate.trials[: self._first], candidate.trials):
            missing = [trial for trial in trials if trial.trial_key not in self._results]
            if missing:
                fresh = [trial for trial in missing if trial.trial_key not in self._given]
                self._given |= {trial.trial_key for trial in fresh}
                return fresh
            candidate.verdict = self._verdict(candidate, trials)
            if candidate.verdict is not None:
                break
        self._stop_rest(candidate)
        return []

    def _verdict(self, candidate: Candidate, trials: Sequence[Trial]) -> Verdict | None:
        """How a configuration has ended, by the seeds so far; None if the others must say."""
        if not trials:
            return Verdict("impossible")
        values = [self._values(trial) for trial in trials]
        statuses = {self._results[trial.trial_key].status for trial in trials}
        if "diverged" in statuses:
            return Verdict("diverged")
        if not all(values):
            return Verdict("failed")
        means = tuple(sum(column) / len(values) for column in zip(*values, strict=True))
        if len(trials) == len(candidate.trials):
            return Verdict("completed", means, len(values))
        beaten = self._beaten(candidate, [value for (value,) in values])
        return Verdict("beaten", means, len(values)) if beaten else None

    def _beaten(self, candidate: Candidate, values: Sequence[float]) -> bool:
        """Whether every value is worse than all of the best configuration that may be known."""
        (sign,) = self._signs.values()
        before = self.every[: max(0, candidate.number - self._algorithm.parallel + 1)]
        best = max(
            (c for c in before if c.verdict is not None and c.verdict.state == "completed"),
            key=lambda c: sign * c.verdict.values[0] if c.verdict else 0.0,
            default=None,
        )
        if best is None:
            return False
        worst_of_best = min(sign * self._values(trial)[0] for trial in best.trials)
        return all(sign * value < worst_of_best for value in values)

    def _values(self, trial: Trial) -> tuple[float, ...]:
        """Of each objective; empty where the trial has no result."""
        result = self._results[trial.trial_key]
        found = tuple(result.metrics[name] for name in self._signs if name in result.metrics)
        whole = result.status == "completed" and len(found) == len(self._signs)
        return found if whole else ()

    def _stop_rest(self, candidate: Candidate) -> None:
        verdict = candidate.verdict
        assert verdict is not None
        if verdict.state in ("beaten", "diverged"):
            ran = f"after {self._first} of {len(candidate.trials)} seeds"
            why = f"its configuration {_WORDS[verdict.state]} {ran}"
            self._stopped += [
                (trial, why)
                for trial in candidate.trials[self._first :]
                if trial.trial_key not in self._results
            ]


_WORDS = {"beaten": "is worse than the best one", "diverged": "has diverged"}
