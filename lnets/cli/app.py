"""The application, and the options that several commands have."""

import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from lnets import __version__
from lnets.cli.completion import specs, sweeps, sweeps_and_trials

EXIT_CODES = {
    0: "done",
    1: "some trials failed, or something could not be read or written",
    2: "the spec or the command is wrong, and nothing was run",
    3: "Ray, or a cluster, could not be started, reached or used",
    4: "no such store, sweep or trial, or nothing in it is asked for",
    130: "interrupted, or stopped by another command",
}
"""What a command ends with."""


ORDER = (
    *("validate", "plan", "submit", "run", "import"),
    *("list", "status", "watch", "logs", "stop", "cancel", "resume", "retry"),
    *("table", "compare", "report", "plot", "figures", "query", "export", "show", "diff"),
    *("audit", "study", "split", "schema", "gc"),
)
"""Commands as a person meets them: ask, run, read, and the rest."""


class _Commands(TyperGroup):
    """Commands in that order; help shows no type where an option takes no value."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, as help lists them."""
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def get_params(self, ctx: Any) -> Any:
        """The options, as help shows them."""
        return _as_flags(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, with its options as help shows them."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _as_flags(command.get_params(ctx))
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run a command, so that an interrupt ends the process once and for all.

        A value that is none of its option's choices is told the nearest one.
        """
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            choices = error.param.type_descriptor.choices if error.param else None
            if choices and error.message.startswith("'"):
                from lnets.specs.spec import closest

                close = closest(error.message.split("'")[1], choices)
                error.message += f" Did you mean '{close}'?" if close else ""
            raise
        except KeyboardInterrupt:
            # Python takes up to a second to end, in which another one would change the exit code.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            raise


def _as_flags(params: Iterable[Any]) -> Iterable[Any]:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


app = typer.Typer(
    name="lnets-sweep",
    cls=_Commands,
    help="Compare Lipschitz networks: sweeps over architectures, with proven bounds.\n\n"
    "Example: lnets-sweep submit sweeps/absolute_value.yaml",
    epilog="Exit codes: " + "; ".join(f"{code} {what}" for code, what in EXIT_CODES.items()) + ".",
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
SpecFile = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC",
        help="A sweep, as a YAML file, or a JSON of the original.",
        autocompletion=specs,
    ),
]
SweepArgument = Annotated[
    str,
    typer.Argument(metavar="SWEEP", help="Name, id or file of a sweep.", autocompletion=sweeps),
]
SweepOrTrial = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP|TRIAL",
        help="Name, id or file of a sweep, or a trial key.",
        autocompletion=sweeps_and_trials,
    ),
]
RowsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATHS", help="Configuration paths, or `sweep`, that name the rows, by commas."
    ),
]
ColumnsOption = Annotated[
    list[str] | None, typer.Option(metavar="PATHS", help="The same for columns, by commas.")
]
ValuesOption = Annotated[
    list[str] | None, typer.Option(metavar="METRICS", help="Metrics, by commas.")
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SQL", help="Keep trials where this holds: optim.lr < 0.1."),
]
DEFAULT_STORE = Path("results")


def joined(given: list[str] | None) -> str | None:
    """An option that lists by commas, and may be repeated."""
    return ",".join(given) if given else None


def all_hold(conditions: list[str] | None) -> str | None:
    """One SQL expression of those that an option was given."""
    if conditions and len(conditions) > 1:
        return " AND ".join(f"({condition})" for condition in conditions)
    return conditions[0] if conditions else None


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
