"""The commands: each parses, calls one function, and prints."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lnets import __version__
from lnets.cli.output import plan_sizes, plan_words, print_json, print_rows, print_table
from lnets.errors import SpecError

app = typer.Typer(
    name="lnets-sweep",
    help="Compare Lipschitz networks: sweeps over architectures, with proven bounds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A sweep, as a YAML file.")]
StoreOption = Annotated[
    Path,
    typer.Option(
        "--store", envvar="LNETS_STORE", help="Folder of the results store.", metavar="FOLDER"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_STORE = Path("results")


@app.command()
def validate(
    specs: Annotated[list[Path], typer.Argument(metavar="SPEC…", help="Sweeps, as YAML files.")],
    as_json: JsonOption = False,
) -> None:
    """Check sweeps without running anything.

    Example: lnets-sweep validate sweeps/*.yaml
    """
    from lnets.specs.load import load_sweep
    from lnets.sweep.plan import make_plan

    found, mistakes = [], []
    for spec in specs:
        try:
            plan = make_plan(load_sweep(spec))
        except SpecError as error:
            mistakes.append(str(error))
        else:
            found.append({"file": str(spec), "name": plan.sweep.name, **plan_sizes(plan)})
    if mistakes:
        raise SpecError("\n".join(mistakes))
    if as_json:
        print_json({"valid": True, "sweeps": found})
    else:
        for sweep in found:
            typer.echo(f"{sweep['file']}: valid; {plan_words(sweep)}")


@app.command()
def plan(spec: SpecFile, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Show what a sweep would run, without running it.

    Example: lnets-sweep plan sweeps/absolute_value.yaml
    """
    from lnets.specs.load import load_sweep
    from lnets.sweep.plan import make_plan
    from lnets.sweep.preview import preview

    shown = preview(make_plan(load_sweep(spec)), store)
    if as_json:
        print_json(shown.to_json())
    else:
        typer.echo(shown.to_text())


@app.command()
def submit(
    spec: SpecFile,
    store: StoreOption = DEFAULT_STORE,
    runner: Annotated[
        Literal["ray", "in-process"],
        typer.Option(help="Ray Tune on this machine, or one trial after the other without Ray."),
    ] = "ray",
    as_json: JsonOption = False,
) -> None:
    """Run what the store lacks of a sweep, then print its table.

    Example: lnets-sweep submit sweeps/absolute_value.yaml
    """
    from lnets.specs.load import load_sweep
    from lnets.sweep.local import submit_here
    from lnets.sweep.plan import make_plan

    made = make_plan(load_sweep(spec))
    table, progress = submit_here(made, store, runner)
    print_table(table, made.sweep.name, as_json)
    if progress.failed or progress.blocked:
        counts = {"failed": progress.failed, "are blocked": progress.blocked}
        found = " and ".join(f"{count} trials {what}" for what, count in counts.items() if count)
        again = ", submitting again retries them" if progress.failed else ""
        typer.echo(
            f"{found}; `lnets-sweep status {made.sweep.name}` has the reasons{again}.", err=True
        )
        raise typer.Exit(1)


@app.command("list")
def list_sweeps(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the sweeps of a store.

    Example: lnets-sweep list
    """
    from lnets.results.store import Store
    from lnets.sweep.overview import sweep_rows

    rows = sweep_rows(Store(store))
    if rows or as_json:
        print_rows(rows, as_json)
    else:
        typer.echo("no sweeps yet", err=True)


@app.command()
def status(
    sweep: Annotated[str | None, typer.Argument(help="Name, id or file; all if left out.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show how far sweeps are, what runs now, and why trials failed.

    Example: lnets-sweep status absolute_value
    """
    from lnets.results.store import Store
    from lnets.sweep.overview import status_of

    shown = status_of(Store(store), sweep)
    if as_json:
        print_json([one.to_json() for one in shown])
    else:
        typer.echo("\n\n".join(one.to_text() for one in shown) or "no sweeps yet")


@app.command()
def table(
    sweeps: Annotated[
        list[str], typer.Argument(metavar="SWEEP…", help="Names or ids in the store, or files.")
    ],
    store: StoreOption = DEFAULT_STORE,
    rows: Annotated[
        str | None, typer.Option(help="Configuration paths that name the rows, by commas.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Configuration paths that name the columns, by commas.")
    ] = None,
    values: Annotated[str | None, typer.Option(help="Metrics, by commas.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the configurations of sweeps: means and 95% intervals over seeds.

    Example: lnets-sweep table absolute_value --values tightness,train_seconds
    """
    from lnets.results.store import Store
    from lnets.sweep.overview import table_of

    made = table_of(Store(store), sweeps, rows=rows, columns=columns, values=values)
    print_table(made, ", ".join(counts.name for counts in made.sweeps), as_json)


@app.command()
def figures(
    named: Annotated[
        str,
        typer.Argument(metavar="SWEEP|TRIAL", help="Name, id or file of a sweep, or a trial key."),
    ],
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where pictures go; else beside trials' weights."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw learning curves, critics and singular values of trials, and print the files.

    Example: lnets-sweep figures absolute_value --out pictures
    """
    from lnets.results.store import Store
    from lnets.sweep.figures import draw

    drawn = map(str, draw(Store(store), named, out))
    if as_json:
        print_json(list(drawn))
    else:
        for file in drawn:
            typer.echo(file)


@app.command()
def run(
    experiment: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT", help="One experiment, as a YAML file.")
    ],
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random.")] = 0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Run one experiment with one seed, here and without Ray.

    Example: lnets-sweep run experiment.yaml --seed 1
    """
    from lnets.specs.load import load_experiment
    from lnets.sweep.local import run_here

    result = run_here(load_experiment(experiment), experiment.stem, seed, store)
    if as_json:
        print_json(result)
    else:
        for name, value in result["metrics"].items():
            typer.echo(f"{name:<24} {value:.6g}")
    if result["status"] != "completed":
        typer.echo(f"{result['status']}: {result['error'] or 'the loss is not finite'}", err=True)
        raise typer.Exit(1)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over trials, attempts, curves, sweeps.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Ask the store in SQL; configuration paths and metrics are columns.

    Example: lnets-sweep query 'SELECT "model.activation", max(tightness) FROM trials GROUP BY 1'
    """
    from lnets.results.query import run_query
    from lnets.results.store import Store

    names, found = run_query(Store(store), sql)
    rows = [dict(zip(names, row, strict=True)) for row in found]
    if rows or as_json:
        print_rows(rows, as_json)
    else:
        typer.echo("no rows", err=True)


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


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
