"""Whether machines have what a trial takes, and what they have."""

from collections import Counter
from collections.abc import Mapping, Sequence

from lnets.specs.sweep import ResourcesSpec

_KINDS = ("CPU", "GPU")


def fitting(resources: ResourcesSpec, machines: Sequence[Mapping[str, float]]) -> int:
    """How many groups of trials fit at the same time.

    Args:
        resources: What one group takes.
        machines: What each machine has in all, by Ray's names.
    """
    each = _each(resources)
    processes = sum(
        min(int(machine.get(kind, 0) / amount) for kind, amount in each.items())
        for machine in machines
    )
    return processes // resources.workers


def misfit(
    resources: ResourcesSpec, machines: Sequence[Mapping[str, float]], where: str
) -> str | None:
    """Why not a single group fits, and what to do; None if one does.

    Args:
        resources: What one group takes.
        machines: As of `fitting`.
        where: What they are, to a person.
    """
    if fitting(resources, machines):
        return None
    each, workers = _each(resources), resources.workers
    lacking = [
        kind
        for kind, amount in each.items()
        if sum(int(machine.get(kind, 0) / amount) for machine in machines) < workers
    ] or list(each)
    asked = " and ".join(f"{workers * each[kind]:g} {kind}" for kind in lacking)
    lower = " or ".join(f"`resources.{kind.lower()}`" for kind in lacking)
    lower += " or `resources.workers`" if workers > 1 else ""
    if len(machines) == 1:
        has = " and ".join(f"{machines[0].get(kind, 0):g}" for kind in lacking)
        return f"One trial takes {asked}, but {where} has {has}; lower {lower}"
    kinds = Counter(
        ", ".join(f"{machine.get(kind, 0):g} {kind}" for kind in _KINDS) for machine in machines
    )
    has = "; ".join(f"{number} × ({what})" for what, number in kinds.items())
    return f"One trial takes {asked}, but {where} has {has or 'no machine'}; lower {lower}"


def _each(resources: ResourcesSpec) -> dict[str, float]:
    amounts = zip(_KINDS, (resources.cpu, resources.gpu), strict=True)
    return {kind: amount for kind, amount in amounts if amount}
