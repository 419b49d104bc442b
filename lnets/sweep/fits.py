"""Whether machines have what a trial takes, and what they have."""

from collections import Counter
from collections.abc import Mapping, Sequence

from lnets.specs.sweep import ResourcesSpec

_GIB = 2**30


def taken(resources: ResourcesSpec) -> dict[str, float]:
    """What each process of a group takes, by Ray's names; memory is in bytes."""
    memory = None if resources.memory is None else int(resources.memory * _GIB)
    amounts = {"CPU": resources.cpu, "GPU": resources.gpu, "memory": memory, **resources.custom}
    return {kind: amount for kind, amount in amounts.items() if amount}


def fitting(resources: ResourcesSpec, machines: Sequence[Mapping[str, float]]) -> int:
    """How many groups of trials fit at the same time.

    Args:
        resources: What one group takes.
        machines: What each machine has in all, by Ray's names.
    """
    each = taken(resources)
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
    each, workers = taken(resources), resources.workers
    lacking = [
        kind
        for kind, amount in each.items()
        if sum(int(machine.get(kind, 0) / amount) for machine in machines) < workers
    ] or list(each)
    asked = " and ".join(_show(kind, workers * each[kind]) for kind in lacking)
    lower = " or ".join(f"`resources.{_field(kind)}`" for kind in lacking)
    lower += " or `resources.workers`" if workers > 1 else ""
    if len(machines) == 1:
        has = " and ".join(_show(kind, machines[0].get(kind, 0)) for kind in lacking)
        return f"One trial takes {asked}, but {where} has {has}; lower {lower}"
    kinds = Counter(
        ", ".join(_show(kind, machine.get(kind, 0)) for kind in {"CPU": 0, "GPU": 0, **each})
        for machine in machines
    )
    has = "; ".join(f"{number} × ({what})" for what, number in kinds.items())
    return f"One trial takes {asked}, but {where} has {has or 'no machine'}; lower {lower}"


def _show(kind: str, amount: float) -> str:
    return f"{amount / _GIB:.3g} GiB memory" if kind == "memory" else f"{amount:g} {kind}"


def _field(kind: str) -> str:
    return kind.lower() if kind in ("CPU", "GPU", "memory") else f"custom.{kind}"
