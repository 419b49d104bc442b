"""The page of all commands, from what `--help` knows."""

from collections.abc import Iterator
from typing import Any

import typer

from docs.tools.markdown import line, table
from lnets.cli.app import EXIT_CODES, app

_HEAD = """# Commands

<!-- Written by `make schemas` from the commands themselves; changes belong there. -->

`lnets-sweep COMMAND --help` says the same. Data are printed on stdout, everything else on stderr.

"""


def cli_reference() -> str:
    """The page as Markdown."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="lnets-sweep", **(app.info.context_settings or {}))
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    summaries = (
        (f"[`{name}`](#lnets-sweep-{name})", line(command.help.partition("\n")[0]))
        for name, command in commands.items()
    )
    parts = [
        table(("command", "does"), summaries),
        table(("exit code", "means"), ((str(code), what) for code, what in EXIT_CODES.items())),
        "## Options of `lnets-sweep` itself\n",
        _options(group, context),
    ]
    for name, command in commands.items():
        parts += _command(command, typer.Context(command, info_name=name, parent=context))
    return _HEAD + "\n".join(filter(None, parts))


def _command(command: Any, context: typer.Context) -> Iterator[str]:
    about, _, example = command.help.partition("Example:")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    arguments = (
        (f"`{param.metavar}`", _meaning(param, context))
        for param in command.params
        if param.param_type_name == "argument"
    )
    yield f"## `{context.command_path}`\n"
    yield f"{about.strip()}\n"
    yield f"```\n{usage}\n```\n"
    yield f"Example: `{' '.join(example.split())}`\n"
    yield table(("argument", ""), arguments)
    yield _options(command, context)


def _options(command: Any, context: typer.Context) -> str:
    rows = []
    for param in command.get_params(context):
        if param.param_type_name == "option":
            value = "" if param.is_flag else f" {param.display_type_rich(context)}"
            names = ", ".join(f"`{name}{value}`" for name in sorted(param.opts))
            rows.append((names, _meaning(param, context)))
    return table(("option", ""), rows)


def _meaning(param: Any, context: typer.Context) -> str:
    """Its help, with its default and environment variable."""
    return line(param.get_help_record(context)[1])
