"""What proposes configurations. The only module that imports optuna."""

import inspect
import json
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

from lnets.errors import Problem, SpecError
from lnets.results.files import replacing
from lnets.specs.overrides import Overrides
from lnets.specs.search import GridSpec, OptunaSpec, RandomSpec
from lnets.specs.spec import nearest, show
from lnets.specs.sweep import SweepSpec
from lnets.specs.sweep_rules import MAX_TRIALS, grid
from lnets.sweep.spaces import Parameters, Space

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import TrialState

_MAX_REPEATS = 1000
# A sampler that has found the best of a small space proposes little else.
_PATIENCE = 10
_ALIASES = {"tpe": "TPESampler", "cma_es": "CmaEsSampler", "nsga2": "NSGAIISampler"}
# They are no samplers themselves, enumerate, or need another sampler.
_NO_SAMPLERS = {"BaseSampler", "BaseGASampler", "nsgaii", "PartialFixedSampler"}
_GRIDS = {"BruteForceSampler", "GridSampler"}


@dataclass(frozen=True)
class Verdict:
    """How a configuration has ended."""

    state: Literal["completed", "beaten", "diverged", "impossible", "failed"]
    values: tuple[float, ...] = ()
    """Mean over seeds of each objective; of one that was beaten, where it was stopped."""
    stage: int = 0
    """How many stages it has ended: samplers that look at those beaten prefer who came further."""


def propose(sweep: SweepSpec) -> Iterator[Overrides]:
    """The configurations that are tried whatever the results are, none twice.

    Some may turn out impossible when sampled values do not fit together.
    """
    match sweep.algorithm:
        case GridSpec():
            yield from grid(sweep.search)
        case RandomSpec():
            yield from _draw(sweep, sweep.algorithm)
        case OptunaSpec():
            Sampling(sweep).rehearse()
        case _:
            assert_never(sweep.algorithm)


def _draw(sweep: SweepSpec, algorithm: RandomSpec) -> Iterator[Overrides]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(algorithm.seed))
    space = Space(sweep.search)
    seen: set[str] = set()
    repeats = 0
    while len(seen) < algorithm.configurations and repeats < _MAX_REPEATS:
        parameters = space.suggest(study.ask())
        text = _text(parameters)
        if text in seen:
            repeats += 1  # a small space may hold fewer configurations than were asked for
        else:
            seen.add(text)
            yield space.overrides(parameters)


class Sampling:
    """A sampler of Optuna at work on a search, and what it has been told.

    Args:
        sweep: Whose algorithm it is.

    Raises:
        SpecError: If Optuna has no such sampler, or the sampler refuses its arguments.
    """

    def __init__(self, sweep: SweepSpec) -> None:
        assert isinstance(sweep.algorithm, OptunaSpec)
        self._sweep, self._algorithm = sweep, sweep.algorithm
        self.space = Space(sweep.search)
        self._study = self._new_study()
        self._trials: list[Trial] = []
        self._seen: set[str] = set()

    def ask(self, recorded: Parameters | None) -> Parameters | None:
        """The next proposal, which no earlier one equals.

        Args:
            recorded: What counts as this proposal, because it was made before; the sampler proposes
                the same if it has been told the same.

        Returns:
            What was drawn; None once a finite space is exhausted.
        """
        for _ in range(_PATIENCE if self.space.size <= MAX_TRIALS else _MAX_REPEATS):
            trial = self._study.ask()
            drawn = self.space.suggest(trial)
            if _text(drawn) not in self._seen if recorded is None else drawn == recorded:
                return self._accept(trial, drawn)
            self._study.tell(trial, state=_states()["failed"])
            if recorded is not None:
                break
        chosen = self._unseen() if recorded is None else recorded
        if chosen is None:
            return None
        self._study.enqueue_trial(self.space.drawn(chosen))
        trial = self._study.ask()
        return self._accept(trial, self.space.suggest(trial))

    def tell(self, number: int, verdict: Verdict) -> None:
        """Say how a proposal has ended: each once, in the order of their numbers."""
        _tell(self._study, self._trials[number], verdict)

    def tell_again(self, number: int, verdict: Verdict) -> None:
        """Say how a proposal has ended after all, which was told before to be beaten."""
        before = self._trials[number]
        self._study.enqueue_trial(before.params)
        trial = self._study.ask()
        self.space.suggest(trial)
        _tell(self._study, trial, verdict)
        self._trials[number] = trial

    def best(self) -> list[int]:
        """Numbers of the proposals that no other beats in all objectives."""
        numbers = {trial.number: i for i, trial in enumerate(self._trials)}
        completed = self._study.get_trials(states=(_states()["completed"],))
        best = self._study.best_trials if completed else []
        return [numbers[trial.number] for trial in best]

    def rehearse(self) -> None:
        """Try the sampler on a study of its own.

        Raises:
            SpecError: If it cannot do what is asked for.
        """
        study = self._new_study()
        values = [0.0] * len(study.directions)
        try:
            for _ in range(3):
                trial = study.ask()
                self.space.suggest(trial)
                study.tell(trial, values)
        except (ImportError, ValueError, RuntimeError) as error:
            raise self._refused(error) from None

    def _accept(self, trial: "Trial", parameters: Parameters) -> Parameters:
        self._trials.append(trial)
        self._seen.add(_text(parameters))
        return parameters

    def _unseen(self) -> Parameters | None:
        """Any draw of a finite space that has not been proposed, by chance but always the same."""
        if self.space.size > MAX_TRIALS:
            return None
        left = [draw for draw in self.space.every_draw() if _text(draw) not in self._seen]
        chance = random.Random(f"{self._algorithm.seed} {len(self._seen)}")  # noqa: S311
        return chance.choice(left) if left else None

    def _new_study(self) -> "Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return optuna.create_study(sampler=self._sampler(), directions=_directions(self._sweep))

    def _sampler(self) -> "BaseSampler":
        from optuna import samplers
        from optuna.exceptions import ExperimentalWarning

        name = _ALIASES.get(self._algorithm.sampler, self._algorithm.sampler)
        known = set(samplers.__all__) - _NO_SAMPLERS - _GRIDS
        if name in _GRIDS:
            raise self._refused("enumerates all values; write algorithm: {type: grid}")
        if name not in known:
            hint = nearest(name, known | set(_ALIASES))
            raise self._refused(f"is not a sampler of Optuna; {hint}")
        kind = getattr(samplers, name)
        arguments: dict[str, Any] = dict(self._algorithm.arguments)
        if "seed" in arguments:
            raise self._refused("takes its seed from algorithm.seed; leave it out of the arguments")
        taken = inspect.signature(kind).parameters.keys() - {"seed"}
        for argument in arguments:
            if argument not in taken:
                hint = nearest(argument, taken)
                raise self._refused(f"is not an argument of {name}; {hint}", argument)
        alone = len(self._sweep.objectives()) == 1
        if name == "TPESampler" and self.space.conditional and alone:
            arguments = {"group": "multivariate" not in arguments} | arguments
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                sampler: BaseSampler = kind(**arguments, seed=self._algorithm.seed)
        except (ImportError, TypeError, ValueError) as error:
            raise self._refused(error) from None
        return sampler

    def _refused(self, reason: object, argument: str | None = None) -> SpecError:
        """Why there is no such sampler, or no such argument of it."""
        text = " ".join(str(reason).split())
        if argument is None:
            given = self._algorithm.arguments
            shown = f" with {show(given)}:" if given else ""
            problem = Problem("", "algorithm.sampler", f"`{self._algorithm.sampler}`{shown} {text}")
        else:
            problem = Problem("", f"algorithm.arguments.{argument}", text)
        return SpecError(f"{self._sweep.name}: {problem}", [problem])


def export(
    file: Path, sweep: SweepSpec, found: Iterable[tuple[Parameters, Verdict | None, list[str]]]
) -> None:
    """Write a search as an Optuna study into an SQLite file, which is replaced.

    Args:
        file: Where to.
        sweep: Whose search it is; its name becomes the study's.
        found: Of each proposal its parameters, how it has ended, and the keys of its trials.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = _directions(sweep)
    study = optuna.create_study(directions=directions, sampler=optuna.samplers.RandomSampler())
    space = Space(sweep.search, ranked=False)
    for parameters, verdict, keys in found:
        study.enqueue_trial(space.drawn(parameters), {"trial_keys": keys})
        trial = study.ask()
        space.suggest(trial)
        if verdict is not None:
            trial.set_user_attr("ended", verdict.state)
            _tell(study, trial, verdict)
    with replacing(file) as temporary:
        storage = optuna.storages.RDBStorage(f"sqlite:///{temporary}")
        copy = optuna.create_study(storage=storage, study_name=sweep.name, directions=directions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            copy.set_metric_names([objective.metric for objective in sweep.objectives()])
        copy.add_trials(study.get_trials())
        storage.engine.dispose()


def _tell(study: "Study", trial: "Trial", verdict: Verdict) -> None:
    """Say how a trial has ended.

    What says nothing of the configuration (it has failed) is told as FAIL, which samplers ignore.
    What says that it is bad (it has diverged, cannot be built, or is worse than others) is PRUNED,
    and so never among the good ones.
    """
    if verdict.state == "beaten":
        trial.report(verdict.values[0], verdict.stage)
    values = verdict.values if verdict.state == "completed" else None
    study.tell(trial, values, _states()[verdict.state])


def _states() -> Mapping[str, "TrialState"]:
    from optuna.trial import TrialState

    pruned = dict.fromkeys(("beaten", "diverged", "impossible"), TrialState.PRUNED)
    return {**pruned, "completed": TrialState.COMPLETE, "failed": TrialState.FAIL}


def _directions(sweep: SweepSpec) -> list[str]:
    return ["minimize" if one.minimize else "maximize" for one in sweep.objectives()]


def _text(parameters: Parameters) -> str:
    return json.dumps(parameters, sort_keys=True)
