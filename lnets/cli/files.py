"""What a file on the command line asks for: a spec of ours, or a configuration of the original."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lnets.errors import SpecError

if TYPE_CHECKING:
    from lnets.specs.sweep import SweepSpec
    from lnets.sweep.plan import Plan

OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        metavar="KEY=VALUE",
        help="Of a configuration of the original: another value of a field, as in "
        "-o model.linear.bjorck_iter=3.",
    ),
]
FaithfulOption = Annotated[
    bool,
    typer.Option(
        "--faithful",
        help="Of a configuration of the original: keep its algorithm where that gives other "
        "numbers. Nothing is certified then.",
    ),
]


def sweep_in(
    file: Path, overrides: Sequence[str] | None = None, *, faithful: bool = False
) -> "SweepSpec":
    """The sweep that a file asks for.

    Args:
        file: A sweep as YAML, or a configuration of the original LNets code as JSON.
        overrides: Of a configuration, `key=value`.
        faithful: Whether the algorithm of a configuration is kept where it gives other numbers.

    Raises:
        SpecError: If it is wrong, or a sweep is given with what is for configurations.
    """
    if file.suffix == ".json":
        from lnets.legacy.experiment import import_file

        return import_file(file, overrides or (), faithful=faithful).sweep()
    from lnets.specs.load import load_sweep

    _refuse_options(file, overrides, faithful)
    return load_sweep(file)


def plan_in(
    file: Path, overrides: Sequence[str] | None = None, *, faithful: bool = False
) -> "Plan":
    """The plan of the sweep that a file asks for.

    Args:
        file: As of `sweep_in`.
        overrides: As of `sweep_in`.
        faithful: As of `sweep_in`.

    Raises:
        SpecError: As of `sweep_in`, or of a sampler that there is not, with its place in the file.
    """
    from lnets.specs.document import Document
    from lnets.sweep.plan import make_plan

    sweep = sweep_in(file, overrides, faithful=faithful)
    try:
        return make_plan(sweep)
    except SpecError as error:
        if not error.problems:
            raise
        places = [(tuple(one.path.split(".")), one.message) for one in error.problems]
        raise Document(file).error(places) from None


def trial_in(
    file: Path, seed: int | None, overrides: Sequence[str] | None, *, faithful: bool
) -> "SweepSpec":
    """A sweep of the one trial that a file asks for.

    Args:
        file: An experiment as YAML, or a configuration of the original LNets code as JSON.
        seed: Of everything random; None is that of a configuration, else 0.
        overrides: As of `sweep_in`.
        faithful: As of `sweep_in`.

    Raises:
        SpecError: As of `sweep_in`.
    """
    if file.suffix == ".json":
        sweep = sweep_in(file, overrides, faithful=faithful)
        return sweep if seed is None else sweep.model_copy(update={"seeds": (seed,)})
    from lnets.specs.load import load_experiment
    from lnets.specs.sweep import SweepSpec, sweep_name

    _refuse_options(file, overrides, faithful)
    name, experiment = sweep_name(file.stem), load_experiment(file)
    return SweepSpec(name=name, experiment=experiment, seeds=(seed or 0,))


def _refuse_options(file: Path, overrides: Sequence[str] | None, faithful: bool) -> None:
    if overrides or faithful:
        given = "-o" if overrides else "--faithful"
        raise SpecError(
            f"{given} is for configurations of the original, which end in .json, got {file}; "
            "change the field in the file"
        )
