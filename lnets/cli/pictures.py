"""Commands that draw results: each parses, calls one function, and prints the files."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from lnets.cli.app import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    SweepArgument,
    SweepOrTrial,
    ValuesOption,
    WhereOption,
    all_hold,
    app,
    joined,
)
from lnets.cli.completion import sweeps_and_trials
from lnets.cli.output import print_json

Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="FILE", help="Where to; else named after the sweep."),
]


@app.command()
def report(
    sweep: SweepArgument,
    store: StoreOption = DEFAULT_STORE,
    out: Out = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again as results come, until the sweep ends.")
    ] = False,
) -> None:
    """Write a sweep as one HTML page: answer, tables, figures, failures, cost; works offline.

    Example: lnets-sweep report absolute_value -o absolute_value.html
    """
    from lnets.results.store import Store
    from lnets.sweep.reports import watch_report, write_report

    written: Path | None = None
    if watch:
        for written in watch_report(Store(store), sweep, out):
            typer.echo(f"wrote {written}; still running", err=True)
    typer.echo(write_report(Store(store), sweep, out))


@app.command()
def plot(
    kind: Annotated[
        Literal["curves", "accuracy-epsilon", "landscape", "importance", "heatmap"],
        typer.Argument(metavar="KIND", help="What is drawn."),
    ],
    named: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP",
            help="Name, id or file of a sweep; of a landscape a trial key, too.",
            autocompletion=sweeps_and_trials,
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="*.png or *.pdf; else SWEEP_KIND.pdf."),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATHS", help="Configuration paths whose values are lines, or rows, by commas."
        ),
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="PATHS", help="The same for a heatmap's columns.")
    ] = None,
    values: ValuesOption = None,
    where: WhereOption = None,
) -> None:
    """Draw a figure for a paper: curves, accuracy-epsilon, landscape, importance, heatmap.

    Example: lnets-sweep plot heatmap wde_gan --rows model.activation --columns model.linear.type
    """
    from lnets.results.store import Store
    from lnets.sweep.paper import plot as draw

    file = out or Path(f"{Path(named).stem}_{kind}.pdf")
    for drawn in draw(
        Store(store),
        kind,
        named,
        file,
        rows=joined(rows),
        columns=joined(columns),
        values=joined(values),
        where=all_hold(where),
        note=partial(typer.echo, err=True),
    ):
        typer.echo(drawn)


@app.command()
def figures(
    named: SweepOrTrial,
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
