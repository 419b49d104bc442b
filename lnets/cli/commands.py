"""Commands that read specs and run them: each parses, calls one function, and prints."""

from pathlib import Path
from typing import Annotated

import typer

from lnets.cli.app import (
    DEFAULT_STORE,
    AddressOption,
    JsonOption,
    RunnerOption,
    SpecFile,
    StoreOption,
    app,
)
from lnets.cli.completion import specs as offer_specs
from lnets.cli.control import FollowOption, WaitOption, print_handed, refuse_misplaced
from lnets.cli.files import FaithfulOption, OverrideOption, plan_in, trial_in
from lnets.cli.output import plan_sizes, plan_words, print_json, print_outcome
from lnets.errors import SpecError

CleanOption = Annotated[
    bool, typer.Option("--require-clean", help="Refuse code with changes since its commit.")
]
NotifyOption = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Run it, without a shell, when the sweep ends; it gets JSON on standard input.",
    ),
]


@app.command()
def validate(
    specs: Annotated[
        list[Path],
        typer.Argument(metavar="SPEC", help="Sweeps, as YAML files.", autocompletion=offer_specs),
    ],
    as_json: JsonOption = False,
) -> None:
    """Check sweeps without running anything.

    Example: lnets-sweep validate sweeps/*.yaml
    """
    found, mistakes = [], []
    for spec in specs:
        try:
            plan = plan_in(spec)
        except SpecError as error:
            mistakes.append(str(error))
        else:
            found.append({"file": str(spec), "name": plan.sweep.name, **plan_sizes(plan)})
    if as_json:
        print_json({"valid": not mistakes, "sweeps": found, "mistakes": mistakes})
    else:
        for sweep in found:
            typer.echo(f"{sweep['file']}: valid; {plan_words(sweep)}")
    if mistakes:
        raise SpecError("\n".join(mistakes))


@app.command()
def plan(spec: SpecFile, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Show what a sweep would run, without running it.

    Example: lnets-sweep plan sweeps/absolute_value.yaml
    """
    from lnets.sweep.preview import preview

    shown = preview(plan_in(spec), store)
    if as_json:
        print_json(shown.to_json())
    else:
        typer.echo(shown.to_text())


@app.command()
def submit(
    spec: SpecFile,
    store: StoreOption = DEFAULT_STORE,
    runner: RunnerOption = "ray",
    overrides: OverrideOption = None,
    faithful: FaithfulOption = False,
    require_clean: CleanOption = False,
    notify: NotifyOption = None,
    address: AddressOption = None,
    follow: FollowOption = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run what the store lacks of a sweep, then print its table; or hand it to a cluster.

    Example: lnets-sweep submit sweeps/absolute_value.yaml
    """
    from lnets.sweep.code import refuse_changed_code
    from lnets.sweep.local import submit_here
    from lnets.sweep.notify import notification

    if require_clean:
        refuse_changed_code()
    made = plan_in(spec, overrides, faithful=faithful)
    refuse_misplaced(address, runner, follow=follow, wait=wait)
    command = None if notify is None else notification(notify)
    if address is not None:
        from lnets.sweep.remote import Cluster

        if notify is not None:
            raise SpecError("--notify is for sweeps of this machine; leave it or --address out.")
        cluster = Cluster(address)
        print_handed(
            cluster, cluster.submit(made, store, wait=wait), made.sweep.name, follow, as_json
        )
        return
    table, progress = submit_here(made, store, runner, command=command)
    print_outcome(table, progress, made.sweep.name, as_json)


@app.command()
def run(
    experiment: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT",
            help="One experiment, as a YAML file, or a JSON of the original.",
            autocompletion=offer_specs,
        ),
    ],
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**31 - 1, help="Of everything random; 0, or what a JSON says."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    overrides: OverrideOption = None,
    faithful: FaithfulOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run one experiment with one seed, here and without Ray.

    Example: lnets-sweep run experiment.yaml --seed 1
    """
    from lnets.sweep.local import run_here

    result = run_here(trial_in(experiment, seed, overrides, faithful=faithful), store)
    if as_json:
        print_json(result)
    else:
        for name, value in result["metrics"].items():
            typer.echo(f"{name:<24} {value:.6g}")
    if result["status"] != "completed":
        typer.echo(f"{result['status']}: {result['error'] or 'the loss is not finite'}", err=True)
        raise typer.Exit(1)


@app.command()
def split(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Where the files go, below LNETS_DATA.")
    ],
    dataset: Annotated[str, typer.Option(help="Whose training images are split.")],
    per_class: Annotated[int, typer.Option(min=1, help="Images of each class to train on.")],
    validation_per_class: Annotated[
        int, typer.Option(min=1, help="Images of each class to hold out.")
    ],
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the random draw.")] = 0,
) -> None:
    """Write which images to train on and to validate with: train.txt and validation.txt.

    An experiment takes them by `split: {type: files, folder: FOLDER}`.

    Example: lnets-sweep split small --dataset mnist --per-class 30 --validation-per-class 9
    """
    from lnets.build.data import write_split

    for file in write_split(
        dataset, folder, per_class=per_class, validation_per_class=validation_per_class, seed=seed
    ):
        typer.echo(f"wrote {file}", err=True)


@app.command()
def schema(
    write: Annotated[bool, typer.Option("--write", help="Write the files.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail if the files are stale.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the files are.")] = Path("schemas"),
) -> None:
    """Print, write or check the JSON Schemas of the spec files.

    Example: lnets-sweep schema --write
    """
    from lnets.specs.schemas import schemas, stale, write_schemas

    if write and check:
        raise SpecError("--write and --check exclude each other; give one of them.")
    if write:
        for file in write_schemas(folder):
            typer.echo(f"wrote {file}", err=True)
    elif check:
        files = stale(folder)
        if files:
            names = ", ".join(map(str, files))
            raise SpecError(f"{names}: not what the specs say; run `lnets-sweep schema --write`.")
    else:
        print_json(schemas())
