"""What makes two trials the same trial: their content."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from lnets.specs.experiment import ExperimentSpec, TrainingSpec
from lnets.specs.needs import needed_by
from lnets.specs.references import with_references
from lnets.specs.schedulers import PopulationSpec
from lnets.specs.search import OptunaSpec
from lnets.specs.sweep import SweepSpec

BEHAVIOUR_VERSION = 5
"""Raised whenever the same experiment and seed would give other numbers than before."""


def canonical_json(spec: ExperimentSpec | SweepSpec) -> str:
    """The spec with all defaults filled in: sorted keys, no spaces."""
    return _canonical(spec.model_dump(mode="json"))


def resolved_json(sweep: SweepSpec, needs: Mapping[str, str]) -> str:
    """The sweep with all defaults and its table's layout: a table then needs nothing else.

    Fields are in the order of the file, in which configurations are listed.

    Args:
        sweep: What to write.
        needs: Keys of needed trials by name, each written beside its experiment as `trial_key`;
            a search has its `study_id` beside its algorithm.
    """
    data = sweep.model_copy(update={"table": sweep.table_layout()}).model_dump(mode="json")
    for name, key in needs.items():
        data["needs"][name]["trial_key"] = key
    if isinstance(sweep.algorithm, OptunaSpec) or isinstance(sweep.scheduler, PopulationSpec):
        data["algorithm"]["study_id"] = study_id(sweep)
    return json.dumps(data, separators=(",", ":"))


def sweep_of(resolved: str) -> SweepSpec:
    """The sweep that `resolved_json` has written.

    Raises:
        ValidationError: If an older version wrote what this one does not know.
    """
    data = json.loads(resolved)
    for need in data["needs"].values():
        need.pop("trial_key", None)
    data["algorithm"].pop("study_id", None)
    return SweepSpec.model_validate_json(json.dumps(data))


def config_key(experiment: ExperimentSpec) -> str:
    """Identity of a configuration: SHA-256 in hex digits."""
    return _digest(f"{BEHAVIOUR_VERSION}\n{canonical_json(experiment)}")


def trial_key(experiment: ExperimentSpec, seed: int) -> str:
    """Identity of a trial: SHA-256 in hex digits."""
    return _digest(f"{BEHAVIOUR_VERSION}\n{seed}\n{canonical_json(experiment)}")


def need_keys(sweep: SweepSpec) -> dict[str, str]:
    """Keys of the trials that a sweep needs, by name, in an order in which they can run."""
    keys: dict[str, str] = {}
    for name in needed_by(sweep.needs, sweep.needs):
        need = sweep.needs[name]
        keys[name] = trial_key(with_keys(need.experiment, keys), need.seed)
    return keys


def with_keys(experiment: ExperimentSpec, keys: Mapping[str, str]) -> ExperimentSpec:
    """An experiment with keys instead of the names of needs."""
    if not keys:
        return experiment  # as of most sweeps, of which some have very many
    return with_references(experiment, lambda to: keys.get(to, to))


def fusion_key(experiment: ExperimentSpec) -> str:
    """Equal for experiments that can be trained side by side, if their networks can at all.

    They differ in learning rate, size of the weight decay and clipping at most: all else decides
    shapes or what is computed.
    """
    if not isinstance(experiment, TrainingSpec):
        return _digest(canonical_json(experiment))
    optim = experiment.optim
    alike = {"lr": 1.0, "weight_decay": float(optim.weight_decay > 0), "max_grad_norm": None}
    common = experiment.model_copy(update={"optim": optim.model_copy(update=alike)})
    return _digest(canonical_json(common))


def sweep_id(sweep: SweepSpec) -> str:
    """Identity of a sweep: 12 hex digits of the SHA-256 of all that its file says."""
    return _digest(canonical_json(sweep))[:12]


def study_id(sweep: SweepSpec) -> str:
    """Identity of a search: 64 hex digits of all that decides what its sampler proposes.

    How many configurations are asked for is not in there, so a longer search goes on where a
    shorter one has ended; and neither are names, resources and the table's layout.
    """
    data = sweep.model_dump(
        mode="json", include={"experiment", "needs", "search", "algorithm", "scheduler"}
    )
    data["algorithm"].pop("configurations", None)
    return _digest(f"{BEHAVIOUR_VERSION}\n{sweep.seed_list()}\n{_canonical(data)}")


def _canonical(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
