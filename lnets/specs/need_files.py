"""Needs that are trials of other sweeps, written out as the experiments that those ask for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from lnets.errors import SpecError
from lnets.specs.experiment import ExperimentSpec
from lnets.specs.identity import canonical_json
from lnets.specs.needs import SweepNeedSpec, names_in, needed_by
from lnets.specs.overrides import Overrides, apply_overrides, split_paths
from lnets.specs.references import NEED_NAME, TrialReference, with_references
from lnets.specs.search import GridSpec
from lnets.specs.spec import Broken, nearest, show
from lnets.specs.sweep import SweepSpec
from lnets.specs.sweep_rules import grid
from lnets.specs.wording import worded

_MAX_SHOWN = 8


class _RefusedError(Exception):
    """What is wrong with a need."""

    def __init__(self, *problems: Broken) -> None:
        super().__init__()
        self.problems = problems


def write_out(
    needs: Mapping[str, Any], read: Callable[[str], SweepSpec]
) -> tuple[dict[str, Any], list[Broken]]:
    """The needs of a sweep, every one as an experiment.

    What an experiment of another sweep needs comes along, under both names: `gan_data`.

    Args:
        needs: As a sweep's file has them.
        read: Reads another sweep, whose file is named as seen from this one.

    Returns:
        The needs, and what is wrong with those that are trials of other sweeps.
    """
    written: dict[str, Any] = {}
    problems: list[Broken] = []
    for name, need in needs.items():
        if not (isinstance(need, dict) and "sweep" in need):
            written[name] = need
            continue
        try:
            found = _from_sweep(name, need, read)
            for double in found.keys() & ({*needs, *written} - {name}):
                message = f"brings a need `{double}` along; give the one here another name"
                raise _RefusedError((("sweep",), message))
            written |= found
        except _RefusedError as error:
            problems += [((name, *path), message) for path, message in error.problems]
    return written, problems


def _from_sweep(
    name: str, need: dict[str, Any], read: Callable[[str], SweepSpec]
) -> dict[str, Any]:
    wrong = NEED_NAME.problem(name)
    if wrong is not None:
        raise _RefusedError(((), wrong))
    try:
        asked = SweepNeedSpec.model_validate(need)
    except ValidationError as error:
        mistakes = worded(error, SweepNeedSpec, need)
        raise _RefusedError(*((path, message) for _, path, message in mistakes)) from None
    try:
        sweep = read(asked.sweep)
    except SpecError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        raise _RefusedError(
            (("sweep",), f"must be a sweep without mistakes: {first}{more}")
        ) from None
    experiment = _picked(sweep, asked.where)
    names = needed_by(names_in(experiment, sweep.needs), sweep.needs)
    found: dict[str, tuple[ExperimentSpec, int]] = {name: (experiment, asked.seed)}
    for other in names:
        found[f"{name}_{other}"] = sweep.needs[other].experiment, sweep.needs[other].seed

    def renamed(to: TrialReference) -> str:
        return f"{name}_{to}" if to in sweep.needs else to

    return {
        full_name: {"experiment": with_references(one, renamed).model_dump(), "seed": seed}
        for full_name, (one, seed) in found.items()
    }


def _picked(sweep: SweepSpec, where: Mapping[str, Any]) -> ExperimentSpec:
    """The configuration that values of searched fields pick."""
    if not isinstance(sweep.algorithm, GridSpec):
        message = (
            "must be a grid, because nobody knows before what another algorithm picks, got "
            f"{sweep.algorithm.type}; write the experiment itself out"
        )
        raise _RefusedError((("sweep",), message))
    searched = [path for key in sweep.search for path in split_paths(key)]
    unknown = [path for path in where if path not in searched]
    if unknown:
        hint = nearest(unknown[0], searched) if searched else "leave `where` out"
        message = f"`{unknown[0]}` is not searched by {sweep.name}; {hint}"
        raise _RefusedError((("where", unknown[0]), message))
    every = list(grid(sweep.search))
    matching = [o for o in every if all(o[path] == value for path, value in where.items())]
    experiments: dict[str, ExperimentSpec] = {}
    for overrides in matching:
        experiment = apply_overrides(sweep.experiment, overrides)
        experiments.setdefault(canonical_json(experiment), experiment)
    if len(experiments) != 1:
        message = (
            f"must pick one configuration of {sweep.name}, got {len(experiments)}; it has "
            f"{_listed(matching or every)}"
        )
        raise _RefusedError((("where",), message))
    return next(iter(experiments.values()))


def _listed(configurations: Sequence[Overrides]) -> str:
    shown = [show(overrides) for overrides in configurations[:_MAX_SHOWN]]
    more = len(configurations) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
