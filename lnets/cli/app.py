"""The application, and the options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lnets import __version__

app = typer.Typer(
    name="lnets-sweep",
    help="Compare Lipschitz networks: sweeps over architectures, with proven bounds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StoreOption = Annotated[
    Path,
    typer.Option(
        "--store", envvar="LNETS_STORE", help="Folder of the results store.", metavar="FOLDER"
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="RAY_API_SERVER_ADDRESS",
        help="Of a Ray cluster's dashboard, as in http://head:8265; else this machine.",
        metavar="URL",
    ),
]
RunnerOption = Annotated[
    Literal["ray", "in-process"],
    typer.Option(help="Ray Tune on this machine, or one trial after the other without Ray."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_STORE = Path("results")


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
