"""Which configurations a sweep tries. The only module that imports optuna."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, assert_never

from lnets.specs.overrides import Overrides, assignments
from lnets.specs.search import (
    Domain,
    GridSpec,
    IntRangeSpec,
    LogUniformRangeSpec,
    RandomSpec,
    UniformRangeSpec,
)
from lnets.specs.sweep import SweepSpec
from lnets.specs.sweep_rules import grid

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_MAX_REPEATS = 1000


def propose(sweep: SweepSpec) -> Iterator[Overrides]:
    """The configurations to try, none twice.

    Some may turn out impossible when sampled values do not fit together.
    """
    match sweep.algorithm:
        case GridSpec():
            yield from grid(sweep.search)
        case RandomSpec():
            yield from _draw(sweep.search, sweep.algorithm)
        case _:
            assert_never(sweep.algorithm)


def _draw(search: dict[str, Domain], algorithm: RandomSpec) -> Iterator[Overrides]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(algorithm.seed))
    distributions = {key: _distribution(domain) for key, domain in search.items()}
    seen: set[str] = set()
    repeats = 0
    while len(seen) < algorithm.configurations and repeats < _MAX_REPEATS:
        overrides: Overrides = {}
        for key, value in study.ask(distributions).params.items():
            domain = search[key]
            # A list is drawn from by index, because optuna's categories are scalars only.
            overrides |= assignments(key, domain[value] if isinstance(domain, tuple) else value)
        text = json.dumps(overrides, sort_keys=True)
        if text in seen:
            repeats += 1  # a small space may hold fewer configurations than were asked for
        else:
            seen.add(text)
            yield overrides


def _distribution(domain: Domain) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    match domain:
        case tuple():
            return IntDistribution(0, len(domain) - 1)
        case IntRangeSpec():
            low, high = domain.int_
            return IntDistribution(low, high, step=domain.step)
        case UniformRangeSpec():
            return FloatDistribution(*domain.uniform)
        case LogUniformRangeSpec():
            return FloatDistribution(*domain.log_uniform, log=True)
        case _:
            assert_never(domain)
