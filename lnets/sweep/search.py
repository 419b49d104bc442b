"""A search: proposes configurations as results come in, and goes on from what the store has."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lnets.errors import SpecError, writing
from lnets.results.proposals import Proposals, tried
from lnets.results.records import ProposalRecord
from lnets.results.store import Store
from lnets.specs.identity import study_id, sweep_of
from lnets.specs.schedulers import PopulationSpec
from lnets.specs.search import OptunaSpec
from lnets.specs.spec import frozen, many, show
from lnets.specs.sweep import SweepSpec
from lnets.sweep.candidates import Candidates
from lnets.sweep.plan import Plan, Planner, Trial, make_plan
from lnets.sweep.rules import Candidate
from lnets.sweep.samplers import Sampling, Verdict, export, propose
from lnets.sweep.spaces import Space

# Proposals per configuration that is asked for, after which a search in which nearly nothing is
# possible gives up.
_MOST_PROPOSALS = 20


class Search:
    """What a driver asks for trials while it runs a sweep in which results decide what runs.

    Proposals of a sampler are noted in the store before they run; what it has been told at the n-th
    is how all up to the (n − parallel)-th have ended. So a search that starts again tells the same
    and gets the same.

    Args:
        sweep: With a sampler, or a scheduler, or both.
        store: Where proposals and results are.
    """

    def __init__(self, sweep: SweepSpec, store: Store) -> None:
        self.sweep = sweep
        self.planner = Planner(sweep)
        self.candidates = Candidates(self.planner, store)
        self._store = store
        self._sampling: Sampling | None = None
        self._told: list[Verdict] = []
        self._exhausted = False
        self._ready: list[Trial] = []
        if isinstance(sweep.algorithm, OptunaSpec):
            self._algorithm, self._sampling = sweep.algorithm, Sampling(sweep)
            self._proposals = Proposals(store, study_id(sweep))
            self.candidates.load(key for p in self._proposals.all() for key in p.trial_keys)
        else:
            plan = plan_so_far(sweep, store)
            self.candidates.load(trial.trial_key for trial in plan.trials)
            for overrides in propose(sweep):
                self.candidates.add(overrides, {})
            self._first = len(self.candidates.every)

    @property
    def total(self) -> int:
        """Trials of all configurations, as far as is known."""
        left = self._algorithm.configurations - self.candidates.different if self._wants() else 0
        return (self.candidates.different + left) * len(self.sweep.seed_list())

    @property
    def pending(self) -> bool:
        """Whether there are trials to run."""
        self._fill()
        return bool(self._ready)

    @property
    def over(self) -> bool:
        """Whether all has ended that was asked for."""
        return not self._wants() and all(one.verdict for one in self.candidates.every)

    def more(self) -> list[Trial]:
        """Trials that can run now, each given out once; some may follow when others end."""
        self._fill()
        ready, self._ready = self._ready, []
        return ready

    def summary(self) -> list[str]:
        """What a sampler has found, for a person: of several objectives the whole front."""
        if self._sampling is None:
            return []
        every = self.candidates.every
        while len(self._told) < len(every) and every[len(self._told)].verdict is not None:
            self._tell(self._sampling)
        best = [every[number] for number in self._sampling.best()]
        head = f"{self.sweep.name}: {many(self.candidates.different, 'configuration')} searched"
        if len(self.sweep.objectives()) > 1:
            head += f"; {len(best)} of them are the front, which no other beats in all objectives"
        return [f"{head}:", *map(self._line, sorted(best, key=self._rank))]

    def _line(self, one: Candidate) -> str:
        assert one.verdict is not None
        names = [objective.metric for objective in self.sweep.objectives()]
        values = (f"{name} {v:.6g}" for name, v in zip(names, one.verdict.values, strict=True))
        label = one.trials[0].label.removeprefix(f"{self.sweep.name} ").rpartition(" seed=")[0]
        return f"  {', '.join(values)}: {label}"

    def _rank(self, one: Candidate) -> float:
        assert one.verdict is not None
        first = one.verdict.values[0]
        return first if self.sweep.objectives()[0].minimize else -first

    def _fill(self) -> None:
        self._ready += self.candidates.to_run(self._wants())
        if self._sampling is None:
            self._note_successors()
        while self._sampling is not None and self._wants():
            ahead = len(self.candidates.every) - self._algorithm.parallel
            if not self.candidates.judged(ahead + 1):
                return
            self._propose(self._sampling)
            self._ready += self.candidates.to_run(self._wants())

    def _wants(self) -> bool:
        return (
            self._sampling is not None
            and not self._exhausted
            and self.candidates.different < self._algorithm.configurations
            and len(self.candidates.every) < _MOST_PROPOSALS * self._algorithm.configurations
        )

    def _propose(self, sampling: Sampling) -> None:
        number = len(self.candidates.every)
        while len(self._told) <= number - self._algorithm.parallel:
            self._tell(sampling)
        self._tell_late(sampling)
        # Another driver may be at the same search.
        with self._store.locked():
            known = self._proposals.all()
            recorded = json.loads(known[number].parameters) if number < len(known) else None
            parameters = sampling.ask(recorded)
            if parameters is None:
                self._exhausted = True
                return
            candidate = self.candidates.add(sampling.space.overrides(parameters), parameters)
            if recorded is None:
                self._proposals.add(_record(study_id(self.sweep), candidate, parameters))

    def _note_successors(self) -> None:
        """Note the configurations of a population that have taken the place of others."""
        successors = self.candidates.every[self._first :]
        if successors:
            with self._store.locked():
                proposals = Proposals(self._store, study_id(self.sweep))
                known = {proposal.number for proposal in proposals.all()}
                for one in successors:
                    if one.number not in known:
                        proposals.add(_record(study_id(self.sweep), one, one.overrides))

    def _tell(self, sampling: Sampling) -> None:
        number = len(self._told)
        self._told.append(self.candidates.verdict(self.candidates.every[number]))
        sampling.tell(number, self._told[number])

    def _tell_late(self, sampling: Sampling) -> None:
        """Tell of those that a scheduler has let go on after they had been told of as waiting."""
        for number, told in enumerate(self._told):
            now = self.candidates.every[number].verdict
            if now is not None and now.state == "completed" and told.state != "completed":
                self._told[number] = now
                sampling.tell_again(number, now)


def depends_on_results(sweep: SweepSpec) -> bool:
    """Whether results of some trials decide which others run."""
    return isinstance(sweep.algorithm, OptunaSpec) or sweep.scheduler is not None


def plan_so_far(sweep: SweepSpec, store: Store) -> Plan:
    """All that a sweep asks for; of a search, or a population, what it has come to so far."""
    if isinstance(sweep.algorithm, OptunaSpec):
        space = Space(sweep.search)
        drawn = [json.loads(proposal.parameters) for proposal in _tried(sweep, store)]
        return make_plan(sweep, [space.overrides(parameters) for parameters in drawn])
    if isinstance(sweep.scheduler, PopulationSpec):
        proposals = Proposals(store, study_id(sweep)).all()
        return make_plan(sweep, [frozen(json.loads(one.parameters)) for one in proposals])
    return make_plan(sweep)


def export_study(sweep: SweepSpec, store: Store, file: Path) -> None:
    """Write a search as an Optuna study into an SQLite file.

    Args:
        sweep: Whose search it is.
        store: Where its proposals and results are.
        file: Where to; replaced if it is there.

    Raises:
        SpecError: If the sweep is no search, or the file cannot be written.
    """
    if not isinstance(sweep.algorithm, OptunaSpec):
        raise SpecError(
            f"{sweep.name}: only sweeps with algorithm: {{type: optuna}} are Optuna studies, got "
            f"{show(sweep.algorithm.type)}; its results are in `lnets-sweep table` and `query`."
        )
    with writing(file):
        if not os.access(file.parent, os.W_OK):
            raise PermissionError("name a file in a folder that can")
    candidates = Candidates(Planner(sweep), store)
    tried_now = _tried(sweep, store)
    keys = [key for proposal in tried_now for key in proposal.trial_keys]
    candidates.load(keys, ("paused", "failed", "blocked"))
    space = Space(sweep.search)
    for parameters in (json.loads(proposal.parameters) for proposal in tried_now):
        candidates.add(space.overrides(parameters), parameters)
    candidates.to_run(more=True)
    export(
        file,
        sweep,
        [
            (one.parameters, one.verdict, [trial.trial_key for trial in one.trials])
            for one in candidates.every
        ],
    )


def _tried(sweep: SweepSpec, store: Store) -> list[ProposalRecord]:
    assert isinstance(sweep.algorithm, OptunaSpec)
    proposals = Proposals(store, study_id(sweep)).all()
    return tried(proposals, sweep.algorithm.configurations)


def _record(study: str, candidate: Candidate, parameters: Mapping[str, Any]) -> ProposalRecord:
    return ProposalRecord(
        study_id=study,
        number=candidate.number,
        parameters=json.dumps(parameters),
        trial_keys=tuple(trial.trial_key for trial in candidate.trials),
        reason=candidate.reason,
        proposed_at=datetime.now(UTC),
    )


def still_to_ask(row: Mapping[str, Any], store: Store) -> int:
    """Trials that a search will ask for beside those that it has; 0 of any other sweep.

    Args:
        row: Of the table `sweeps`.
        store: Where its proposals are.
    """
    try:
        sweep = sweep_of(row["spec"])
    except ValidationError:  # of another version
        return 0
    if not isinstance(sweep.algorithm, OptunaSpec):
        return 0
    wanted = sweep.algorithm.configurations
    asked = _tried(sweep, store)
    if len(asked) >= min(Space(sweep.search).size, _MOST_PROPOSALS * wanted):
        return 0
    different = {proposal.trial_keys for proposal in asked} - {()}
    return (wanted - len(different)) * len(sweep.seed_list())
