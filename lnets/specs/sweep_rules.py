"""Rules between the parts of a sweep: what it names exists, and what it asks for can be built."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lnets.specs.experiment import ExperimentSpec
from lnets.specs.needs import bad_references, names_in, needed_by, unknown_name
from lnets.specs.overrides import (
    Overrides,
    apply_overrides,
    assignments,
    dotted,
    field_paths,
    keys_that_set,
    overridden,
    split_paths,
    within,
)
from lnets.specs.references import references
from lnets.specs.schedulers import scheduler_rules
from lnets.specs.search import (
    Domain,
    GridSpec,
    IntRangeSpec,
    ends,
    finite_values,
    ranges_in,
    variants,
)
from lnets.specs.spec import Broken, Path, nearest, show
from lnets.specs.wording import worded

if TYPE_CHECKING:
    from lnets.specs.sweep import SweepSpec

MAX_TRIALS = 100_000


def broken_rules(sweep: SweepSpec) -> list[Broken]:
    """Every broken rule: path of the field that should change, and the message."""
    searched = [*_search_rules(sweep)]
    problems = [*_seed_rules(sweep), *scheduler_rules(sweep), *searched, *_metric_rules(sweep)]
    if not searched:
        problems += _table_path_rules(sweep)
    if not problems:
        problems = [*_size_rules(sweep), *_value_rules(sweep)]
    problems = problems or [*_need_rules(sweep)]
    if not problems and isinstance(sweep.algorithm, GridSpec):
        problems = [*_grid_rules(sweep)]
    return problems or [*_unused_needs(sweep)]


def grid(search: dict[str, Domain]) -> Iterator[Overrides]:
    """Every combination of the searched values, the last key changing fastest."""
    for combination in itertools.product(*map(finite_values, search.values())):
        overrides: Overrides = {}
        for key, value in zip(search, combination, strict=True):
            overrides |= assignments(key, value)
        yield overrides


def _seed_rules(sweep: SweepSpec) -> Iterator[Broken]:
    if isinstance(sweep.seeds, tuple) and len(set(sweep.seeds)) < len(sweep.seeds):
        yield ("seeds",), f"must differ, got {show(sweep.seeds)}; leave out the doubles"


def _size_rules(sweep: SweepSpec) -> Iterator[Broken]:
    if isinstance(sweep.algorithm, GridSpec):
        configurations = math.prod(len(finite_values(domain)) for domain in sweep.search.values())
        remedy = "; shorten the lists, or write algorithm: {type: random, configurations: …}"
        where: Path = ("search",)
    else:
        configurations, remedy = sweep.algorithm.configurations, "; ask for fewer"
        where = ("algorithm", "configurations")
        if not sweep.search:
            yield ("search",), "is empty, so there is nothing to draw; name what varies"
    trials = configurations * len(sweep.seed_list())
    if trials > MAX_TRIALS:
        rule = f"configurations × seeds must be at most {MAX_TRIALS:,}, got {trials:,}"
        yield where, rule + remedy


def _search_rules(sweep: SweepSpec) -> Iterator[Broken]:
    known = field_paths(sweep.experiment)
    seen: list[str] = []
    for key, domain in sweep.search.items():
        here: Path = ("search", key)
        for path in split_paths(key):
            if path not in known:
                hint = nearest(path, known)
                yield here, f"`{path}` is not a field of this experiment; {hint}"
            elif path == "task":
                yield here, "a sweep has one task; write one sweep for each"
            elif path.endswith(".type"):
                section = path.rpartition(".")[0]
                yield (
                    here,
                    "a type cannot change alone, because its section's other fields belong to "
                    f"it; search `{section}` with whole sections: [{{type: …}}, {{type: …}}]",
                )
            for other in seen:
                if within(path, other) or within(other, path):
                    yield here, f"`{path}` is set already by `{other}`; keep one of them"
            seen.append(path)
        yield from _shape_rules(here, domain, len(split_paths(key)))
        ranges = ranges_in(domain)
        if isinstance(sweep.algorithm, GridSpec) and not all(
            isinstance(one, IntRangeSpec) for one in ranges.values()
        ):
            yield (
                here,
                "a grid needs a list of values, got a continuous range; list the values, or "
                "write algorithm: {type: random, configurations: …}",
            )


def _shape_rules(here: Path, domain: Domain, width: int) -> Iterator[Broken]:
    if not isinstance(domain, tuple):
        if width > 1:
            yield here, "paths that change together need a list of lists, got a range"
        return
    seen: set[str] = set()
    for i, value in enumerate(domain):
        if width > 1 and not (isinstance(value, tuple) and len(value) == width):
            rule = f"must be a list of {width} values, one per path of the key"
            yield (*here, i), f"{rule}, got {show(value)}"
        text = json.dumps(value, sort_keys=True, default=str)
        if text in seen:
            yield (*here, i), f"must differ from the values before it, got {show(value)} again"
        seen.add(text)


def _metric_rules(sweep: SweepSpec) -> Iterator[Broken]:
    objectives = [objective.metric for objective in sweep.algorithm.objectives]
    if len(set(objectives)) < len(objectives):
        yield ("algorithm", "objectives"), "must name each metric once"
    if sweep.table is not None:
        for part, names in (
            ("columns", (*sweep.table.rows, *sweep.table.columns)),
            ("values", sweep.table.values),
        ):
            if len(set(names)) < len(names):
                yield ("table", part), f"must name each once, got {show(names)}"
    known = sweep.experiment.metrics
    named: list[tuple[Path, str]] = [
        (("algorithm", "objectives", i), objective.metric)
        for i, objective in enumerate(sweep.algorithm.objectives)
    ]
    if sweep.table is not None:
        named += [(("table", "values", i), name) for i, name in enumerate(sweep.table.values)]
    for path, name in named:
        if name not in known:
            rule = f"the task `{sweep.experiment.task}` reports no metric `{name}`"
            yield path, f"{rule}; {nearest(name, known)}"


def _value_rules(sweep: SweepSpec) -> Iterator[Broken]:
    """Values that are wrong whatever the other fields are: of a wrong type, out of range."""
    for key, domain in sweep.search.items():
        for where, value in _values_to_try(domain):
            overrides = assignments(key, value)
            try:
                apply_overrides(sweep.experiment, overrides)
            except ValidationError as error:
                for kind, field, message in _mistakes(sweep, overrides, error):
                    if kind != "rule_broken":
                        yield ("search", key, *where), f"{field} {message}"


def _grid_rules(sweep: SweepSpec) -> Iterator[Broken]:
    workers = sweep.resources.workers
    for overrides in grid(sweep.search):
        try:
            experiment = apply_overrides(sweep.experiment, overrides)
        except ValidationError as error:
            _, field, message = _mistakes(sweep, overrides, error)[0]
            keys = keys_that_set(field, sweep.search)
            keys = keys or list(sweep.search)[: len(sweep.search) == 1]
            where: Path = ("search", *keys[:1])
            yield where, f"with {show(overrides)}: {field} {message}"
            return
        reason = experiment.why_not_shared(workers) if workers > 1 else None
        if reason is not None:
            found = f" with {show(overrides)}" if overrides else ""
            yield ("resources", "workers"), f"must be 1{found}, because {reason}; got {workers}"
            return
        for path, message in bad_references(experiment, sweep.needs):
            field = dotted(path)
            for key in keys_that_set(field, sweep.search):
                yield ("search", key), f"with {show(overrides)}: {field} {message}"
                return
            found = f"with {show(overrides)}: " if overrides else ""
            yield ("experiment", *path), f"{found}{message}"
            return


def _table_path_rules(sweep: SweepSpec) -> Iterator[Broken]:
    if sweep.table is None:
        return
    known = set(field_paths(sweep.experiment))
    for _, _, varied in _varied(sweep):
        known |= set(field_paths(varied))
    for part, paths in (("rows", sweep.table.rows), ("columns", sweep.table.columns)):
        for i, path in enumerate(paths):
            if path not in known:
                message = f"`{path}` is not a field of this experiment; {nearest(path, known)}"
                yield ("table", part, i), message


def _need_rules(sweep: SweepSpec) -> Iterator[Broken]:
    workers = sweep.resources.workers
    for name, need in sweep.needs.items():
        here: Path = ("needs", name, "experiment")
        for path, wrong in bad_references(need.experiment, sweep.needs):
            yield (*here, *path), wrong
        reason = need.experiment.why_not_shared(workers) if workers > 1 else None
        if reason is not None:
            yield here, f"cannot be trained by {workers} workers, because {reason}"
    for path, _, to in references(sweep.experiment):
        message = unknown_name(to, sweep.needs)
        if message is not None and not keys_that_set(dotted(path), sweep.search):
            yield ("experiment", *path), message
    for where, key, varied in _varied(sweep):
        for path, _, to in references(varied):
            message = unknown_name(to, sweep.needs)
            if message is not None and keys_that_set(dotted(path), [key]):
                yield where, f"{dotted(path)} {message}"
    try:
        needed_by(sweep.needs, sweep.needs)
    except ValueError as error:
        yield ("needs",), f"must not use each other in a circle, got {error}; break it somewhere"


def _unused_needs(sweep: SweepSpec) -> Iterator[Broken]:
    used = {name for need in sweep.needs.values() for name in names_in(need, sweep.needs)}
    used |= set(_names_used(sweep))
    for name in sweep.needs:
        if name not in used:
            yield ("needs", name), "is used by nothing; name it in a field, or leave it out"


def _names_used(sweep: SweepSpec) -> Iterator[str]:
    """Needs that configurations name; of searched values whatever looks like a need's name."""
    for reference in references(sweep.experiment):
        if not keys_that_set(dotted(reference.path), sweep.search):
            yield reference.to
    waiting: list[Any] = list(sweep.search.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, (tuple, dict)):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str):
            yield value


def _varied(sweep: SweepSpec) -> Iterator[tuple[Path, str, ExperimentSpec]]:
    """The experiment with each searched value alone: where that stands, its key, the result."""
    for key, domain in sweep.search.items():
        for where, value in _values_to_try(domain):
            try:
                varied = apply_overrides(sweep.experiment, assignments(key, value))
            except ValidationError:  # possible together with other values; the grid rules decide
                continue
            yield ("search", key, *where), key, varied


def _mistakes(
    sweep: SweepSpec, overrides: Overrides, error: ValidationError
) -> list[tuple[str, str, str]]:
    """Of each mistake in a configuration: its kind, dotted path and message."""
    data = overridden(sweep.experiment, overrides)
    return [
        (kind, dotted(path), message)
        for kind, path, message in worded(error, type(sweep.experiment), data)
    ]


def _values_to_try(domain: Domain) -> list[tuple[Path, Any]]:
    """Each listed value with its place, or both ends of a range."""
    if isinstance(domain, tuple):
        return [((i,), one) for i, value in enumerate(domain) for one in variants(value, ends)]
    (name,) = domain.model_fields_set - {"step"}
    return [((name.rstrip("_"), i), end) for i, end in enumerate(ends(domain))]
