"""A sweep as trials: content-addressed, so that what the store holds is not run again."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from lnets.errors import SpecError
from lnets.results.records import SweepTrials
from lnets.specs.experiment import ExperimentSpec
from lnets.specs.identity import config_key, sweep_id, trial_key
from lnets.specs.overrides import Overrides, apply_overrides
from lnets.specs.spec import show
from lnets.specs.sweep import SweepSpec
from lnets.sweep.samplers import propose


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed."""

    trial_key: str
    config_key: str
    label: str
    """What a person calls it: the searched fields and the seed."""
    experiment: ExperimentSpec
    seed: int


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
    num_configurations: int
    skipped: tuple[Skipped, ...]

    def as_trials(self) -> SweepTrials:
        """What the results side needs to know of it."""
        keys = tuple(trial.trial_key for trial in self.trials)
        return SweepTrials(self.sweep_id, self.sweep.name, keys)


def make_plan(sweep: SweepSpec) -> Plan:
    """Resolve a sweep into trials; the same sweep gives the same plan."""
    configurations: dict[str, tuple[ExperimentSpec, Overrides]] = {}
    skipped = []
    workers = sweep.resources.workers
    for overrides in propose(sweep):
        try:
            experiment = apply_overrides(sweep.experiment, overrides)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            skipped.append(Skipped(overrides, detail["msg"]))
            continue
        reason = experiment.why_not_shared(workers) if workers > 1 else None
        if reason is not None:
            skipped.append(Skipped(overrides, f"resources.workers must be 1, because {reason}"))
            continue
        configurations.setdefault(config_key(experiment), (experiment, overrides))
    if not configurations:
        raise SpecError(
            f"{sweep.name}: no configuration of `search` is possible; for example "
            f"{show(skipped[0].overrides)}: {skipped[0].reason}"
        )
    names = _short_names(list(sweep.search))
    trials = tuple(
        Trial(
            trial_key(experiment, seed),
            key,
            _label(sweep.name, overrides, seed, names),
            experiment,
            seed,
        )
        for seed in sweep.seed_list()
        for key, (experiment, overrides) in configurations.items()
    )
    return Plan(sweep, sweep_id(sweep), trials, len(configurations), tuple(skipped))


def expected_seconds(plan: Plan, known: Mapping[str, float]) -> Mapping[str, float]:
    """Seconds that each trial will train, from what the store knows.

    Args:
        plan: The trials.
        known: Mean seconds of finished trials by configuration.

    Returns:
        By trial key: the mean of its configuration, or of the sweep's other configurations.
        Empty where nothing is known.
    """
    seen = [known[trial.config_key] for trial in plan.trials if trial.config_key in known]
    if not seen:
        return {}
    mean = sum(seen) / len(seen)
    return {trial.trial_key: known.get(trial.config_key, mean) for trial in plan.trials}


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
        f"{names[path]}={value if isinstance(value, str) else show(value)}"
        for path, value in overrides.items()
    )
    return " ".join([name, *values, f"seed={seed}"])
