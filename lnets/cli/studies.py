"""The command that hands a search to Optuna's own tools."""

from pathlib import Path
from typing import Annotated

import typer

from lnets.cli.app import DEFAULT_STORE, StoreOption, app
from lnets.cli.completion import sweeps


@app.command()
def study(
    sweep: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP", help="Name, id or file of a search.", autocompletion=sweeps
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="SQLite file; replaced if it is there.")
    ] = Path("study.db"),
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a search as an Optuna study, which optuna-dashboard opens.

    Example: lnets-sweep study wde_gan_tuned --out study.db && optuna-dashboard sqlite:///study.db
    """
    from lnets.results.store import Store
    from lnets.sweep.overview import sweep_named
    from lnets.sweep.search import export_study

    there = Store(store)
    export_study(sweep_named(there, sweep), there, out)
    typer.echo(f"wrote {out}", err=True)
