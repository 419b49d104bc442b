"""Searched fields that are all trials of another sweep, written out as their keys."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from lnets.errors import SpecError
from lnets.specs.identity import need_keys, trial_key, with_keys
from lnets.specs.overrides import apply_overrides
from lnets.specs.search import AllTrialsSpec, GridSpec
from lnets.specs.spec import Broken
from lnets.specs.sweep import SweepSpec
from lnets.specs.sweep_rules import grid
from lnets.specs.wording import worded


def with_all_trials(
    search: Mapping[str, Any], read: Callable[[str], SweepSpec]
) -> tuple[dict[str, Any], list[Broken]]:
    """What a sweep searches, `{sweep: FILE}` replaced by keys of trials.

    Args:
        search: As a sweep's file has it.
        read: Reads another sweep, whose file is named as seen from this one.

    Returns:
        The domains, and what is wrong with those that name sweeps.
    """
    written: dict[str, Any] = {}
    problems: list[Broken] = []
    for key, domain in search.items():
        written[key] = domain
        if not (isinstance(domain, dict) and "sweep" in domain):
            continue
        try:
            sweep = read(AllTrialsSpec.model_validate(domain).sweep)
        except ValidationError as error:
            mistakes = worded(error, AllTrialsSpec, domain)
            problems += [((key, *path), message) for _, path, message in mistakes]
            continue
        except SpecError as error:
            first = str(error).splitlines()[0]
            problems.append(((key, "sweep"), f"must be a sweep without mistakes: {first}"))
            continue
        reason = _why_unknown(sweep)
        if reason is not None:
            problems.append(((key, "sweep"), reason))
            continue
        written[key] = tuple(dict.fromkeys(_keys(sweep)))
    return written, problems


def _why_unknown(sweep: SweepSpec) -> str | None:
    """Why nobody knows before which trials of a sweep will complete; None if all do."""
    if not isinstance(sweep.algorithm, GridSpec):
        return (
            "must be a grid, because nobody knows before what another algorithm picks, got "
            f"{sweep.algorithm.type}; list the keys of its trials"
        )
    if sweep.scheduler is not None:
        return (
            "must be a sweep that stops none of its trials, got one with scheduler "
            f"{sweep.scheduler.type}; list the keys of those that have completed"
        )
    return None


def _keys(sweep: SweepSpec) -> Iterator[str]:
    keys = need_keys(sweep)
    for seed in sweep.seed_list():
        for overrides in grid(sweep.search):
            experiment = apply_overrides(sweep.experiment, overrides)
            yield trial_key(with_keys(experiment, keys), seed)
