"""What a sweep varies: domains of values, and the algorithm that picks from them."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar, assert_never

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from lnets.specs.spec import Path, Spec, frozen, rule_broken

_Ends = TypeVar("_Ends", tuple[int, int], tuple[float, float])


def _rising(ends: _Ends) -> _Ends:
    if ends[0] >= ends[1]:
        raise rule_broken(((), f"must have low < high, got {list(ends)}; swap or spread them"))
    return ends


class IntRangeSpec(Spec):
    """Whole numbers from low to high, both included."""

    int_: Annotated[tuple[int, int], AfterValidator(_rising)] = Field(alias="int")
    """Low and high."""
    step: int = Field(1, ge=1)
    """Distance between two neighbouring values."""

    @model_validator(mode="after")
    def _steps_reach_the_end(self) -> Self:
        low, high = self.int_
        if (high - low) % self.step:
            message = f"must divide high − low, got step={self.step} and [{low}, {high}]"
            raise rule_broken((("step",), message))
        return self


class UniformRangeSpec(Spec):
    """Real numbers, uniformly from low to high."""

    uniform: Annotated[tuple[float, float], AfterValidator(_rising)]
    """Low and high."""


_Positive = Annotated[float, Field(gt=0)]


class LogUniformRangeSpec(Spec):
    """Positive real numbers whose logarithm is uniform from low to high."""

    log_uniform: Annotated[tuple[_Positive, _Positive], AfterValidator(_rising)]
    """Low and high."""


Range: TypeAlias = IntRangeSpec | UniformRangeSpec | LogUniformRangeSpec
_RANGES: tuple[tuple[str, type[Range]], ...] = (
    ("int", IntRangeSpec),
    ("uniform", UniformRangeSpec),
    ("log_uniform", LogUniformRangeSpec),
)


class AllTrialsSpec(Spec):
    """All trials of another sweep, by their keys."""

    sweep: str = Field(min_length=1)
    """The other sweep's file, as seen from the folder of this one."""


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        message = "is read from files only; load the sweep by `load_sweep`, or list the keys"
        raise rule_broken((("sweep",), message))
    return value


def _kind_of_domain(value: object) -> str | None:
    if isinstance(value, (list, tuple)):
        return "values"
    if isinstance(value, dict) and "sweep" in value:
        return "all trials"
    for tag, kind in _RANGES:
        if isinstance(value, kind) or (isinstance(value, dict) and tag in value):
            return f"{tag} range"
    return None


def _with_ranges(value: Any, path: Path = ()) -> Any:
    """A listed value with the ranges inside it read, such as that of a field of a section."""
    if isinstance(value, dict):
        for tag, kind in _RANGES:
            if tag in value:
                return _range(kind, value, path)
        return {name: _with_ranges(inner, (*path, name)) for name, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_with_ranges(inner, (*path, i)) for i, inner in enumerate(value))
    return value


def _range(kind: type[Range], value: dict[str, Any], path: Path) -> Range:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise rule_broken(((*path, *first["loc"]), first["msg"])) from None


def ends(domain: Range) -> tuple[float, float]:
    """Low and high."""
    match domain:
        case IntRangeSpec():
            return domain.int_
        case UniformRangeSpec():
            return domain.uniform
        case LogUniformRangeSpec():
            return domain.log_uniform
        case _:
            assert_never(domain)


def ranges_in(value: Any, path: Path = ()) -> dict[Path, Range]:
    """Ranges inside a listed value, by where they stand."""
    if isinstance(value, Range):
        return {path: value}
    found: dict[Path, Range] = {}
    if isinstance(value, (dict, tuple)):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found |= ranges_in(inner, (*path, name))
    return found


def filled(value: Any, numbers: Mapping[Path, float], path: Path = ()) -> Any:
    """A listed value with a number in place of each range inside it."""
    if isinstance(value, Range):
        return numbers[path]
    if isinstance(value, dict):
        return {name: filled(inner, numbers, (*path, name)) for name, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(filled(inner, numbers, (*path, i)) for i, inner in enumerate(value))
    return value


def finite_values(domain: tuple[Any, ...] | Range) -> tuple[Any, ...]:
    """All values of a list or of a range of whole numbers, those inside listed values included."""
    if isinstance(domain, tuple):
        return tuple(one for value in domain for one in variants(value, finite_values))
    assert isinstance(domain, IntRangeSpec)
    low, high = domain.int_
    return tuple(range(low, high + 1, domain.step))


def variants(value: Any, numbers: Callable[[Range], Iterable[float]]) -> Iterator[Any]:
    """A listed value with every combination of numbers in place of the ranges inside it."""
    ranges = ranges_in(value)
    for combination in itertools.product(*map(numbers, ranges.values())):
        yield filled(value, dict(zip(ranges, combination, strict=True)))


Choices = Annotated[
    tuple[Any, ...], Field(min_length=1), AfterValidator(frozen), AfterValidator(_with_ranges)
]
Domain = Annotated[
    Annotated[Choices, Tag("values")]
    | Annotated[IntRangeSpec, Tag("int range")]
    | Annotated[UniformRangeSpec, Tag("uniform range")]
    | Annotated[LogUniformRangeSpec, Tag("log_uniform range")]
    | Annotated[
        Choices,
        BeforeValidator(_listed, json_schema_input_type=AllTrialsSpec),
        Tag("all trials"),
    ],
    Discriminator(
        _kind_of_domain,
        custom_error_type="domain",
        custom_error_message="must be a list of values, or a range: a section with `int`, "
        "`uniform` or `log_uniform`, which is [low, high]; or all trials of `sweep: FILE`",
    ),
]


class ObjectiveSpec(Spec):
    """What the best configuration is best at: one metric to maximize or to minimize."""

    maximize: str | None = Field(None, min_length=1)
    """Metric that should be large."""
    minimize: str | None = Field(None, min_length=1)
    """Metric that should be small."""

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if (self.maximize is None) == (self.minimize is None):
            message = "must have exactly one of `maximize: METRIC` and `minimize: METRIC`"
            raise rule_broken(((), message))
        return self

    @property
    def metric(self) -> str:
        """Name of the metric."""
        name = self.maximize or self.minimize
        assert name is not None
        return name


Argument: TypeAlias = bool | int | float | str | None


class GridSpec(Spec):
    """Every combination of the searched values."""

    type: Literal["grid"]
    objectives: tuple[ObjectiveSpec, ...] = Field((), max_length=4)
    """What is best, the most important first; empty: the first of the table's values that can be
    better or worse, or else of the task's metrics."""


class RandomSpec(Spec):
    """Configurations drawn independently, no configuration twice."""

    type: Literal["random"]
    configurations: int = Field(ge=1, le=100_000)
    """How many to draw."""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the draw; the same seed draws the same configurations."""
    objectives: tuple[ObjectiveSpec, ...] = Field((), max_length=4)
    """What is best, the most important first; empty: the first of the table's values that can be
    better or worse, or else of the task's metrics."""


class OptunaSpec(Spec):
    """Configurations that a sampler of Optuna proposes, from the results of those before."""

    type: Literal["optuna"]
    sampler: str = Field("tpe", min_length=1, max_length=100)
    """`tpe`, `cma_es`, `nsga2`, or the class name of another sampler of Optuna, as `GPSampler`."""
    arguments: dict[str, Argument] = Field(default_factory=dict)
    """Keyword arguments of the sampler, as Optuna documents them; not its `seed`."""
    configurations: int = Field(ge=1, le=100_000)
    """How many to try; a search with more of them goes on where one with fewer has ended."""
    parallel: int = Field(4, ge=1, le=1024)
    """Configurations at work at the same time. The n-th is proposed from the results of all up to
    the (n − parallel)-th, in this order, however fast each ended: so timing changes nothing."""
    first_seeds: int | None = Field(1, ge=1, le=10_000)
    """How many seeds a configuration is tried with before the others: these are not run if it has
    diverged, or if each of its seeds is worse than all seeds of the best one. Null: all at once, as
    it always is with several objectives."""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the sampler."""
    objectives: tuple[ObjectiveSpec, ...] = Field((), max_length=4)
    """What is best; several: the configurations that no other beats in all. Empty: the first of the
    table's values that can be better or worse, or else of the task's metrics. The value of a
    configuration is the mean over its seeds."""


AlgorithmSpec = Annotated[GridSpec | RandomSpec | OptunaSpec, Field(discriminator="type")]
