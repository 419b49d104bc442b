"""A sweep as trials: content-addressed, so that what the store holds is not run again."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from lnets.errors import SpecError
from lnets.results.records import SweepTrials
from lnets.specs.experiment import ExperimentSpec, TrainingSpec
from lnets.specs.identity import config_key, need_keys, sweep_id, trial_key, with_keys
from lnets.specs.needs import bad_references
from lnets.specs.overrides import Overrides, apply_overrides, dotted
from lnets.specs.references import references
from lnets.specs.search import OptunaSpec
from lnets.specs.spec import show
from lnets.specs.sweep import SweepSpec
from lnets.sweep.samplers import propose


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed, or what such trials need."""

    trial_key: str
    config_key: str
    name: str
    """The sweep's name; of what it needs `sweep.need`."""
    label: str
    """What a person calls it: the searched fields and the seed."""
    experiment: ExperimentSpec
    """With the keys of the trials that it names."""
    seed: int
    needs: tuple[str, ...]
    """Keys of the trials of this plan that must have completed before."""
    until: int | None = None
    """Where it pauses, in the unit of its task; None goes to the end."""
    keep: bool = False
    """Whether its checkpoint there is kept for others to go on from."""

    @property
    def training(self) -> TrainingSpec:
        """Its experiment, under a scheduler, which is for trainings only."""
        assert isinstance(self.experiment, TrainingSpec)
        return self.experiment


@dataclass(frozen=True)
class Skipped:
    """A sampled configuration that cannot be built."""

    overrides: Overrides
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep asks for."""

    sweep: SweepSpec
    sweep_id: str
    trials: tuple[Trial, ...]
    """Seed by seed, so that every configuration has a first result early."""
    needed: tuple[Trial, ...]
    """Further trials that these need, each after those that it needs."""
    needs: Mapping[str, str]
    """Keys of all trials that are needed, by name."""
    num_configurations: int
    """Of a search as many as it may come to."""
    skipped: tuple[Skipped, ...]

    @property
    def everything(self) -> tuple[Trial, ...]:
        """All trials, first those that others need."""
        needed = set(self.needs.values())
        every = (*self.needed, *self.trials)
        return tuple(sorted(every, key=lambda trial: trial.trial_key not in needed))

    def as_trials(self) -> SweepTrials:
        """What the results side needs to know of it."""
        keys = tuple(trial.trial_key for trial in self.trials)
        drawn = self.sweep.algorithm.type != "grid"
        return SweepTrials(self.sweep_id, self.sweep.name, keys, self.needs, drawn)


class Planner:
    """Turns configurations of a sweep into trials.

    Names of needs give way to the keys of their trials first, which so become part of the identity
    of all that use them.

    Args:
        sweep: Whose configurations they are.
    """

    def __init__(self, sweep: SweepSpec) -> None:
        self.sweep = sweep
        self.named = _named_trials(sweep)
        """The trial of each need."""
        self._keys = {name: trial.trial_key for name, trial in self.named.items()}
        self._short = _short_names(list(sweep.search))

    def resolve(self, overrides: Overrides) -> ExperimentSpec | Skipped:
        """The experiment of a configuration, or why there is none."""
        sweep = self.sweep
        try:
            experiment = apply_overrides(sweep.experiment, overrides)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            return Skipped(overrides, detail["msg"])
        workers = sweep.resources.workers
        reason = experiment.why_not_shared(workers) if workers > 1 else None
        if reason is not None:
            return Skipped(overrides, f"resources.workers must be 1, because {reason}")
        wrong = next(bad_references(experiment, sweep.needs), None)
        if wrong is not None:
            return Skipped(overrides, f"{dotted(wrong[0])} {wrong[1]}")
        return with_keys(experiment, self._keys)

    def trial(self, experiment: ExperimentSpec, config: str, seed: int, at: Overrides) -> Trial:
        """A resolved configuration, whose key is `config`, with one seed."""
        label = _label(self.sweep.name, at, seed, self._short)
        return _trial(experiment, config, seed, self.sweep.name, label, self.named)

    def needed(self, trials: Sequence[Trial] | None) -> dict[str, Trial]:
        """Those of needs that trials use, by key, each after those that it uses; None: all."""
        known = {trial.trial_key: trial for trial in _labelled(self.named, self.sweep)}
        if trials is None:
            return known
        known |= {trial.trial_key: trial for trial in trials}
        used = {key for each in required(trials, known) for key in known[each].needs}
        return {key: trial for key, trial in known.items() if key in used}


def make_plan(sweep: SweepSpec, chosen: Iterable[Overrides] = ()) -> Plan:
    """Resolve a sweep into trials; the same sweep gives the same plan.

    Args:
        sweep: What is asked.
        chosen: Configurations that a search has come to; of other sweeps they are known without.
    """
    planner = Planner(sweep)
    configurations, skipped = _configurations(planner, itertools.chain(propose(sweep), chosen))
    trials = tuple(
        planner.trial(experiment, key, seed, overrides)
        for seed in sweep.seed_list()
        for key, (experiment, overrides) in configurations.items()
    )
    own = {trial.trial_key for trial in trials}
    search = sweep.algorithm if isinstance(sweep.algorithm, OptunaSpec) else None
    # A search may come to use any of them.
    needed = planner.needed(None if search else trials)
    return Plan(
        sweep,
        sweep_id(sweep),
        trials,
        tuple(trial for key, trial in needed.items() if key not in own),
        {n: trial.trial_key for n, trial in planner.named.items() if trial.trial_key in needed},
        search.configurations if search else len(configurations),
        tuple(skipped),
    )


def _named_trials(sweep: SweepSpec) -> dict[str, Trial]:
    """The trial of each need, in an order in which they can run."""
    found: dict[str, Trial] = {}
    keys = need_keys(sweep)
    for name in keys:
        need = sweep.needs[name]
        experiment = with_keys(need.experiment, keys)
        key = config_key(experiment)
        found[name] = _trial(experiment, key, need.seed, f"{sweep.name}.{name}", "", found)
    return found


def _labelled(named: Mapping[str, Trial], sweep: SweepSpec) -> list[Trial]:
    """Each needed trial once, with all its names."""
    names: dict[str, list[str]] = {}
    for name, trial in named.items():
        names.setdefault(trial.trial_key, []).append(name)
    return [
        replace(named[same[0]], label=f"{sweep.name} needs {', '.join(same)}")
        for same in names.values()
    ]


def _configurations(
    planner: Planner, proposed: Iterable[Overrides]
) -> tuple[dict[str, tuple[ExperimentSpec, Overrides]], list[Skipped]]:
    """Configurations by their keys, with what makes them differ, and those that are impossible."""
    found: dict[str, tuple[ExperimentSpec, Overrides]] = {}
    skipped = []
    for overrides in proposed:
        experiment = planner.resolve(overrides)
        if isinstance(experiment, Skipped):
            skipped.append(experiment)
        else:
            found.setdefault(config_key(experiment), (experiment, overrides))
    if not found and skipped and not isinstance(planner.sweep.algorithm, OptunaSpec):
        raise SpecError(
            f"{planner.sweep.name}: no configuration of `search` is possible; for example "
            f"{show(skipped[0].overrides)}: {skipped[0].reason}"
        )
    return found, skipped


def _trial(
    experiment: ExperimentSpec,
    config: str,
    seed: int,
    name: str,
    label: str,
    named: Mapping[str, Trial],
) -> Trial:
    keys = {trial.trial_key for trial in named.values()}
    named_here = references(experiment) if keys else ()
    needs = dict.fromkeys(str(to) for _, _, to in named_here if to in keys)
    key = trial_key(experiment, seed)
    return Trial(key, config, name, label, experiment, seed, tuple(needs))


def required(trials: Iterable[Trial], known: Mapping[str, Trial]) -> set[str]:
    """Keys of trials and of all that they need, as far as it is known."""
    found: set[str] = set()
    waiting = {trial.trial_key for trial in trials}
    while waiting:
        found |= waiting
        waiting = {key for one in waiting for key in known[one].needs if key in known} - found
    return found


def expected_seconds(plan: Plan, known: Mapping[str, float]) -> Mapping[str, float]:
    """Seconds that each trial will train, from what the store knows.

    Args:
        plan: The trials.
        known: Mean seconds of finished trials by configuration.

    Returns:
        By trial key: the mean of its configuration, or of the sweep's other configurations.
        Without those of which nothing is known.
    """
    seen = [known[trial.config_key] for trial in plan.trials if trial.config_key in known]
    seconds = {
        trial.trial_key: known[trial.config_key]
        for trial in plan.everything
        if trial.config_key in known
    }
    if not seen:
        return seconds
    return dict.fromkeys((t.trial_key for t in plan.trials), sum(seen) / len(seen)) | seconds


def _short_names(keys: list[str]) -> dict[str, str]:
    """The last part of each searched path where that is unambiguous, else the path."""
    paths = [path.strip() for key in keys for path in key.split(",")]
    lasts = [path.rpartition(".")[2] for path in paths]
    return {
        path: last if lasts.count(last) == 1 else path
        for path, last in zip(paths, lasts, strict=True)
    }


def _label(name: str, overrides: Overrides, seed: int, names: Mapping[str, str]) -> str:
    values = (
        f"{names.get(path, path)}={value if isinstance(value, str) else show(value)}"
        for path, value in overrides.items()
    )
    return " ".join([name, *values, f"seed={seed}"])
