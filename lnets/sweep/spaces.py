"""What samplers draw from, and which configuration a draw means."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from lnets.specs.overrides import Overrides, assignments, dotted
from lnets.specs.search import (
    Domain,
    IntRangeSpec,
    LogUniformRangeSpec,
    Range,
    ends,
    filled,
    finite_values,
    ranges_in,
)
from lnets.specs.spec import Path

Parameters: TypeAlias = dict[str, float]
"""What a sampler draws: a number of each range, an index of each list."""


class Draws(Protocol):
    """What Optuna calls a trial."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


class Space:
    """The parameters of a search; those of ranges inside a listed value exist with that value only.

    Args:
        search: Domains by the paths that they set.
        ranked: Whether lists of rising numbers are drawn by their ranks, which tell a sampler more
            than that the numbers differ.
    """

    def __init__(self, search: Mapping[str, Domain], *, ranked: bool = True) -> None:
        self._ranked = ranked
        self._search = search
        # Samplers draw one parameter after the other: sweeps that differ in the order of their
        # fields are one sweep, and must draw the same.
        self._keys = sorted(search)
        self._labels = {key: _labels(d) for key, d in search.items() if isinstance(d, tuple)}
        self.conditional = any(isinstance(d, tuple) and ranges_in(d) for d in search.values())
        """Whether some parameters exist with some values only."""

    def suggest(self, draws: Draws) -> Parameters:
        """Let a sampler draw every parameter."""
        found: Parameters = {}
        for key in self._keys:
            domain = self._search[key]
            if not isinstance(domain, tuple):
                found[key] = _number(draws, key, domain)
                continue
            labels = self._labels[key]
            if self._by_rank(key):
                found[key] = draws.suggest_int(key, 0, len(labels) - 1)
            else:
                found[key] = labels.index(draws.suggest_categorical(key, labels))
            for name, _, inner in self._inside(key, int(found[key])):
                found[name] = _number(draws, name, inner)
        return found

    def drawn(self, parameters: Parameters) -> dict[str, Any]:
        """What the sampler's own names for values are."""
        return {
            name: self._labels[name][int(value)]
            if name in self._labels and not self._by_rank(name)
            else value
            for name, value in parameters.items()
        }

    def overrides(self, parameters: Parameters) -> Overrides:
        """The configuration that a draw means."""
        found: Overrides = {}
        for key, domain in self._search.items():
            value: Any = parameters[key]
            if isinstance(domain, tuple):
                index = int(value)
                numbers = {path: parameters[name] for name, path, _ in self._inside(key, index)}
                value = filled(domain[index], numbers)
            found |= assignments(key, value)
        return found

    @property
    def size(self) -> float:
        """How many different draws there are; infinite where any range is continuous."""
        return math.prod(map(_size, self._search.values()))

    def every_draw(self) -> Iterator[Parameters]:
        """All draws of a finite space."""
        for parts in itertools.product(*map(self._of_key, self._keys)):
            yield {name: value for part in parts for name, value in part.items()}

    def _by_rank(self, key: str) -> bool:
        return self._ranked and _rises(self._labels[key])

    def _of_key(self, key: str) -> Iterator[Parameters]:
        domain = self._search[key]
        if not isinstance(domain, tuple):
            yield from ({key: number} for number in finite_values(domain))
            return
        for index in range(len(domain)):
            inside = self._inside(key, index)
            for numbers in itertools.product(*(finite_values(inner) for _, _, inner in inside)):
                names = (name for name, _, _ in inside)
                yield {key: index, **dict(zip(names, numbers, strict=True))}

    def _inside(self, key: str, index: int) -> list[tuple[str, Path, Range]]:
        """Ranges inside a listed value: the parameter's name, where it stands, and the range."""
        domain = self._search[key]
        assert isinstance(domain, tuple)
        return sorted(
            (f"{key}[{index}].{dotted(path)}", path, inner)
            for path, inner in ranges_in(domain[index]).items()
        )


def _number(draws: Draws, name: str, domain: Range) -> float:
    if isinstance(domain, IntRangeSpec):
        low, high = domain.int_
        return draws.suggest_int(name, low, high, step=domain.step)
    return draws.suggest_float(name, *ends(domain), log=isinstance(domain, LogUniformRangeSpec))


def _size(domain: Domain) -> float:
    if not isinstance(domain, tuple):
        return len(finite_values(domain)) if isinstance(domain, IntRangeSpec) else math.inf
    return sum(math.prod(map(_size, ranges_in(value).values())) for value in domain)


def _labels(domain: tuple[Any, ...]) -> tuple[Any, ...]:
    """The listed values if Optuna can keep them apart, else as text."""
    scalars = all(value is None or isinstance(value, (bool, int, float, str)) for value in domain)
    if scalars and len(set(domain)) == len(domain):
        return domain
    return tuple(json.dumps(value, default=lambda spec: spec.model_dump()) for value in domain)


def _rises(labels: tuple[Any, ...]) -> bool:
    """Whether values are numbers in rising or falling order."""
    if not all(type(label) in (int, float) for label in labels):
        return False
    return list(labels) in (sorted(labels), sorted(labels, reverse=True))
