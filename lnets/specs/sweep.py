"""A sweep: one question, as a person writes it."""

import re
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from lnets.specs.experiments import AnyExperiment
from lnets.specs.needs import Needs, Seed
from lnets.specs.overrides import split_paths
from lnets.specs.schedulers import PopulationSpec, SchedulerSpec
from lnets.specs.search import AlgorithmSpec, Domain, GridSpec, ObjectiveSpec
from lnets.specs.spec import Matching, Spec, rule_broken, show
from lnets.specs.sweep_rules import broken_rules

SweepName = Annotated[
    str,
    Matching(
        "[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
        "must be at most 64 letters, digits, `_` and `-`, and begin with a letter or digit",
    ),
]
SeedCount = Annotated[int, Field(ge=1, le=10_000)]
SeedList = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=10_000)]
FuseCount = Annotated[int, Field(ge=1, le=4096)]
Seeds = Annotated[
    Annotated[SeedCount, Tag("count")] | Annotated[SeedList, Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, (list, tuple)) else "count"),
]


Fuse = Annotated[
    Annotated[Literal["auto", "off"], Tag("word")] | Annotated[FuseCount, Tag("count")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "count"),
]


def sweep_name(text: str) -> str:
    """The name of a sweep that is called after something, such as a file."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64].lstrip("_-") or "experiment"


CustomResource = Annotated[
    str,
    Matching(
        r"(?!(CPU|GPU|memory|object_store_memory)$)[A-Za-z][\w.-]{0,99}",
        "must be the name of a custom resource, at most 100 letters, digits, `_`, `.` and `-`; "
        "`resources.cpu`, `resources.gpu` and `resources.memory` ask for Ray's own",
    ),
]
Amount = Annotated[float, Field(gt=0, le=1e6)]


class ResourcesSpec(Spec):
    """What one running trial takes of a machine."""

    cpu: int = Field(1, ge=1, le=1024)
    """Processor cores, and threads that torch uses; of each worker."""
    gpu: float = Field(0, ge=0, le=64)
    """GPUs; a fraction lets trials share one. Above 0 the trial runs on CUDA. Of each worker."""
    workers: int = Field(1, ge=1, le=1024)
    """Processes that train one trial together, each with its share of every batch, `cpu` and `gpu`.
    For single trials that take long; several trials at once use a machine better."""

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, gpu: float) -> float:
        if gpu > 1 and gpu != int(gpu):
            raise rule_broken(((), f"must be a fraction below 1 or a whole number, got {gpu}"))
        return gpu

    max_concurrent: int | None = Field(None, ge=1, le=100_000)
    """Groups of trials that run at the same time at most; null: as many as fit."""
    fuse: Fuse = "auto"
    """How many trials that differ only in seed, learning rate, weight decay and clipping are
    trained together as one stacked network: `auto` where that is faster (narrow networks on a CPU,
    most on a GPU), `off`, or a number. Rows and curves stay per trial."""
    compile: bool = False
    """Whether networks are compiled before they are trained: seconds once per group, and worth it
    where launching operations costs more than they do, as on a GPU. `docs/speed.md` has figures."""
    memory: float | None = Field(None, gt=0, le=1e6)
    """GiB that trials trained together may take, by an estimate, and that Ray keeps free for them;
    of each worker. Null sets no bound."""
    custom: dict[CustomResource, Amount] = Field(default_factory=dict, max_length=16)
    """Amounts of Ray's custom resources, by the names that its machines were started with; of each
    worker."""
    time_budget: float | None = Field(None, gt=0, le=1e9)
    """Seconds after which a submission starts no further trial; those that run are finished, and
    submitting again goes on. Null sets no bound."""
    max_failures: int = Field(2, ge=0, le=1000)
    """How often trials begin again after their worker has died; they go on from their checkpoint
    where they have one. A trial that raises an error itself is not repeated."""
    backoff: float = Field(1.0, ge=0, le=3600)
    """Seconds before they begin again, twice as long after each further death."""

    @model_validator(mode="after")
    def _workers_have_whole_gpus(self) -> Self:
        if self.workers > 1 and self.gpu != int(self.gpu):
            message = (
                f"must be whole where workers train together, got {show(self.gpu)}; set it to 1"
            )
            raise rule_broken((("gpu",), message))
        return self


class TableSpec(Spec):
    """How results are laid out: configurations as rows and columns, metrics in the cells."""

    rows: tuple[str, ...] = Field(min_length=1)
    """Configuration paths whose values name the rows."""
    columns: tuple[str, ...] = ()
    """Configuration paths whose values name the columns."""
    values: tuple[str, ...] = Field(min_length=1)
    """Metrics in the cells."""


class SweepSpec(Spec):
    """An experiment, what varies of it, and how the answer is laid out."""

    name: SweepName
    """Letters, digits, `_` and `-`; what the other commands call the sweep by."""
    description: str = ""
    """The question, in a sentence."""
    experiment: AnyExperiment
    """What every trial does; `search` changes fields of it."""
    needs: Needs = Field(default_factory=dict)
    """Trials that run first, each once, by name: an experiment, or a configuration of another
    sweep. A field that names a trial, such as `init_from`, may hold such a name."""
    search: dict[str, Domain] = Field(default_factory=dict)
    """Dotted path of a field of the experiment, and what it may be. Several paths separated by
    commas change together: each of their values is a list with one entry per path."""
    algorithm: AlgorithmSpec = GridSpec(type="grid")
    """How configurations are picked from `search`."""
    scheduler: SchedulerSpec | None = None
    """What stops trials of configurations that are worse than others; null: nothing does."""
    seeds: Seeds = 3
    """How many seeds every configuration is trained with (0, 1, …), or a list of them."""
    resources: ResourcesSpec = ResourcesSpec()
    """What one trial takes of a machine."""
    table: TableSpec | None = None
    """The answer's layout; null: searched fields as rows, of a population also `changes`, and the
    objectives as values."""

    def seed_list(self) -> tuple[int, ...]:
        """The seeds, one trial each."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def objectives(self) -> tuple[ObjectiveSpec, ...]:
        """What is best; where the file does not say, the first directed metric of its table.

        Without a table, or any direction in it, the first metric of the task.
        """
        if self.algorithm.objectives:
            return self.algorithm.objectives
        known = self.experiment.metrics
        asked = self.table.values if self.table is not None else ()
        directed = (name for name in asked if name in known and known[name].better)
        name = next(directed, next(iter(known)))
        lower = known[name].better == "lower"
        return (ObjectiveSpec(minimize=name) if lower else ObjectiveSpec(maximize=name),)

    def table_layout(self) -> TableSpec:
        """The table that the file asks for, or the obvious one."""
        if self.table is not None:
            return self.table
        searched = tuple(path for key in self.search for path in split_paths(key))
        if isinstance(self.scheduler, PopulationSpec):
            # Members that began alike have become different.
            searched = tuple(dict.fromkeys((*searched, "changes")))
        return TableSpec(
            rows=searched or ("task",),
            values=tuple(objective.metric for objective in self.objectives()),
        )

    @model_validator(mode="after")
    def _everything_named_exists(self) -> Self:
        problems = broken_rules(self)
        if problems:
            raise rule_broken(*problems)
        return self
