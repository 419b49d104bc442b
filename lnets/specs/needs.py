"""What a sweep needs before it: trials whose results its experiments start from."""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from lnets.specs.experiments import AnyExperiment
from lnets.specs.references import NeedName, TrialReference, references
from lnets.specs.spec import Broken, Spec, nearest

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class NeedSpec(Spec):
    """A trial that has completed before those that use it start."""

    experiment: AnyExperiment
    """What the trial does; it may use other needs by their names."""
    seed: Seed = 0
    """Of everything random."""


class SweepNeedSpec(Spec):
    """A trial of another sweep that has completed before those that use it start."""

    sweep: str = Field(min_length=1)
    """The other sweep's file, as seen from the folder of this one."""
    where: dict[str, Any] = Field(default_factory=dict)
    """Values of fields that the other sweep searches; they pick one of its configurations."""
    seed: Seed = 0
    """Of everything random."""


class _OrOfAnotherSweep:
    """In files a need may be a trial of another sweep, too, which the loader writes out."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        other = SweepNeedSpec.__pydantic_core_schema__
        return {"anyOf": [handler(schema), handler(other)]}


Needs = dict[NeedName, Annotated[NeedSpec, _OrOfAnotherSweep()]]
"""By the names that experiments use."""


def bad_references(spec: Spec, needs: Mapping[str, NeedSpec]) -> Iterator[Broken]:
    """Fields that name what is no need, or a trial of the wrong kind."""
    for reference in references(spec):
        unknown = unknown_name(reference.to, needs)
        if unknown is not None:
            yield reference.path, unknown
        elif reference.to in needs:
            needed = needs[reference.to].experiment
            reason = reference.section.why_not_from(reference.field, needed)
            if reason is not None:
                yield reference.path, f"must not be the need `{reference.to}`, because {reason}"


def unknown_name(to: TrialReference, needs: Mapping[str, NeedSpec]) -> str | None:
    """What is wrong with a name that is not among the needs; None if nothing is."""
    if to.is_key or to in needs:
        return None
    hint = nearest(to, needs) if needs else f"add `needs: {{{to}: {{experiment: …}}}}`"
    return f"`{to}` is not a name under this sweep's `needs`; {hint}"


def needed_by(names: Iterable[str], needs: Mapping[str, NeedSpec]) -> list[str]:
    """These needs and all that they use, each after those that it uses.

    Raises:
        ValueError: If needs use each other in a circle; the message names it.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter()
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen.add(name)
            used = names_in(needs[name].experiment, needs)
            sorter.add(name, *used)
            waiting += used
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise ValueError(" → ".join(reversed(error.args[1]))) from None


def names_in(spec: Spec, needs: Mapping[str, NeedSpec]) -> list[str]:
    """The needs that a spec names, each once."""
    named = dict.fromkeys(reference.to for reference in references(spec))
    return [name for name in named if name in needs]
