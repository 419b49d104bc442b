"""Configurations that a sweep tries one after the other: which trials run, and how they end."""

import json
import math
import statistics
from collections.abc import Collection, Iterable, Sequence

from lnets.results.records import FINISHED
from lnets.results.store import Store
from lnets.specs.identity import config_key
from lnets.specs.overrides import Overrides
from lnets.sweep.messages import END, Result
from lnets.sweep.plan import Planner, Skipped, Trial
from lnets.sweep.rules import Candidate, rule_of
from lnets.sweep.samplers import Verdict
from lnets.sweep.spaces import Parameters


class Candidates:
    """The configurations of a sweep, judged by the results of their trials.

    What is decided depends on nothing but the sweep, the configurations and the results.

    Args:
        planner: Of the sweep.
        store: Where results are that are there already.
    """

    def __init__(self, planner: Planner, store: Store) -> None:
        sweep = planner.sweep
        self._planner, self._store = planner, store
        self._rule = rule_of(sweep)
        self._signs = {
            objective.metric: 1 if objective.maximize else -1 for objective in sweep.objectives()
        }
        self._seeds = sweep.seed_list()
        self._results: dict[str, dict[int, Result]] = {}
        self._ran: set[str] = set()
        self._given: set[tuple[str, int | None]] = set()
        self._stopped: list[tuple[Trial, str, Result | None]] = []
        self._by_config: dict[str, Candidate] = {}
        self._found = 0
        self.every: list[Candidate] = []
        """In the order of their numbers."""

    @property
    def different(self) -> int:
        """Configurations that are possible, each counted once."""
        return len(self._by_config)

    def load(self, keys: Iterable[str], also: Collection[str] = ("paused",)) -> None:
        """Look for results of trials in the store.

        Args:
            keys: Of the trials.
            also: Statuses that count besides those of finished trials.
        """
        wanted = set(keys)
        columns = ["trial_key", "status", "metrics"]
        rows = self._store.table("trials", columns).to_pylist() if wanted else []
        for row in sorted(rows, key=lambda row: row["status"] in FINISHED):  # a result counts last
            if row["trial_key"] in wanted and row["status"] in (*FINISHED, *also):
                self._keep(Result(**{**row, "metrics": json.loads(row["metrics"])}))

    def add(self, overrides: Overrides, parameters: Parameters, past: int = 0) -> Candidate:
        """The next configuration.

        Args:
            overrides: The fields that are set.
            parameters: What a sampler drew.
            past: Stages that it does not go through.
        """
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
        candidate = Candidate(number, overrides, parameters, trials, reason, twin)
        candidate.values = [()] * past
        self.every.append(candidate)
        if trials and twin is None:
            candidate.stages = self._rule.stages(number, trials)
            self._by_config[trials[0].config_key] = candidate
            keys = [trial.trial_key for trial in trials]
            ended = self._store.seen.finished
            self.load(key for key in keys if key in ended and key not in self._results)
            self._found += sum(self._has_ended(key) and key not in self._ran for key in keys)
        return candidate

    def heard(self, results: Sequence[Result]) -> None:
        """Trials have ended, or have paused, here and now."""
        for result in results:
            self._ran.add(result.trial_key)
            self._keep(result)

    def verdict(self, one: Candidate) -> Verdict:
        """How a configuration has ended, or how it stands while it waits for others."""
        return one.verdict or self._so_far(one)

    def judged(self, numbers: int) -> bool:
        """Whether the first configurations, so many, have all ended, or wait for others."""
        return all(one.verdict or one.held for one in self.every[: max(0, numbers)])

    def to_run(self, more: bool) -> list[Trial]:
        """Decide what can be decided; trials that can run now, each given out once.

        Args:
            more: Whether further configurations may come.
        """
        lost = [key for key, _ in self._given if key in self._store.seen.finished]
        self.load(key for key in lost if not self._has_ended(key))
        found: list[Trial] = []
        changed = True
        while changed:  # what is decided of one may decide of others
            changed = False
            for one in self.every:
                if one.verdict is None:
                    before = len(one.values), one.verdict, one.held
                    found += self._decide(one, more)
                    changed |= before != (len(one.values), one.verdict, one.held)
        return found

    def take_stopped(self) -> list[tuple[Trial, str, Result | None]]:
        """Trials that do not go on, why, and what they had come to; each once."""
        stopped, self._stopped = self._stopped, []
        return stopped

    def take_found(self) -> int:
        """How many more trials had a result when their configuration was proposed."""
        found, self._found = self._found, 0
        return found

    def _decide(self, one: Candidate, more: bool) -> list[Trial]:
        if one.twin is not None:
            one.verdict = one.twin.verdict
            return []
        if not one.stages:
            one.verdict = Verdict("impossible")
            return []
        while one.verdict is None:
            stage = len(one.values) - one.held
            missing = [trial for trial in one.stages[stage] if self._result(trial) is None]
            if missing:
                places = [(trial.trial_key, trial.until) for trial in missing]
                fresh = [t for t, p in zip(missing, places, strict=True) if p not in self._given]
                self._given |= set(places)
                return fresh
            if not one.held:
                self._end_stage(one, stage)
            if one.verdict is None and not self._goes_on(one, stage, more):
                break
        return []

    def _end_stage(self, one: Candidate, stage: int) -> None:
        results = [self._known(trial) for trial in one.stages[stage]]
        values = [self._values(result) for result in results]
        if any(result.status == "diverged" for result in results):
            one.values.append((-math.inf,))
            one.verdict = Verdict("diverged")
            self._stop(one, "has diverged", stage)
        elif not all(values):
            one.verdict = Verdict("failed")
        else:
            # What another sweep has run to its end says nothing of a point on the way.
            passed = any(
                trial.until is not None and result.place == END
                for trial, result in zip(one.stages[stage], results, strict=True)
            )
            sign = next(iter(self._signs.values()))
            one.values.append(() if passed else tuple(sign * value[0] for value in values))
            if stage + 1 == len(one.stages):
                one.verdict = Verdict("completed", _means(values), stage + 1)

    def _goes_on(self, one: Candidate, stage: int, more: bool) -> bool:
        known = bool(one.values[stage])
        answer = not known or self._rule.goes_on(one, stage, self.every, more)
        one.held = answer is None
        if answer is False:
            one.verdict = self._so_far(one)
            self._stop(one, self._rule.worse, stage)
            successor = self._rule.successor(one, stage, self.every)
            if successor is not None:
                self.add(successor, {}, past=stage + 1)
        return bool(answer)

    def _so_far(self, one: Candidate) -> Verdict:
        stage = len(one.values) - 1
        values = [self._values(self._known(trial)) for trial in one.stages[stage]]
        return Verdict("beaten", _means(values), stage + 1)

    def _result(self, trial: Trial) -> Result | None:
        """What a trial has come to at the end of a stage, or further on."""
        found = self._results.get(trial.trial_key, {})
        places = [place for place in found if place >= (trial.until or END)]
        return found[min(places)] if places else None

    def _known(self, trial: Trial) -> Result:
        result = self._result(trial)
        assert result is not None
        return result

    def _keep(self, result: Result) -> None:
        self._results.setdefault(result.trial_key, {})[result.place] = result

    def _has_ended(self, key: str) -> bool:
        return END in self._results.get(key, {})

    def _values(self, result: Result) -> tuple[float, ...]:
        """Of each objective; empty where the trial has no result."""
        found = tuple(result.metrics[name] for name in self._signs if name in result.metrics)
        whole = result.status in ("completed", "paused") and len(found) == len(self._signs)
        return found if whole else ()

    def _stop(self, one: Candidate, why: str, stage: int) -> None:
        for trial in one.trials:
            known = self._results.get(trial.trial_key, {})
            if END not in known:
                last = known[max(known)] if known else None
                reason = f"its configuration {why} {self._rule.where(stage, one)}"
                self._stopped.append((trial, reason, last))


def _means(values: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(map(statistics.fmean, zip(*values, strict=True)))
