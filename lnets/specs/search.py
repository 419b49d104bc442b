"""What a sweep varies: domains of values, and the algorithm that picks from them."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from lnets.specs.spec import Spec, frozen, rule_broken

_Ends = TypeVar("_Ends", tuple[int, int], tuple[float, float])


Choices = Annotated[tuple[Any, ...], Field(min_length=1), AfterValidator(frozen)]


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
    for tag, kind in (
        ("int", IntRangeSpec),
        ("uniform", UniformRangeSpec),
        ("log_uniform", LogUniformRangeSpec),
    ):
        if isinstance(value, kind) or (isinstance(value, dict) and tag in value):
            return f"{tag} range"
    return None


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


class GridSpec(Spec):
    """Every combination of the searched values."""

    type: Literal["grid"]
    objectives: tuple[ObjectiveSpec, ...] = Field((), max_length=4)
    """What is best, the most important first; empty: the main metric of the task."""


class RandomSpec(Spec):
    """Configurations drawn independently, no configuration twice."""

    type: Literal["random"]
    configurations: int = Field(ge=1, le=100_000)
    """How many to draw."""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the draw; the same seed draws the same configurations."""
    objectives: tuple[ObjectiveSpec, ...] = Field((), max_length=4)
    """What is best, the most important first; empty: the main metric of the task."""


AlgorithmSpec = Annotated[GridSpec | RandomSpec, Field(discriminator="type")]
