"""The command that reads configurations of the original LNets code."""

from pathlib import Path
from typing import Annotated

import typer

from lnets.cli.app import app
from lnets.cli.completion import specs
from lnets.cli.files import FaithfulOption, OverrideOption
from lnets.errors import SpecError, writing


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.json", help="A configuration of the original.", autocompletion=specs
        ),
    ],
    overrides: OverrideOption = None,
    faithful: FaithfulOption = False,
    pgd: Annotated[
        bool, typer.Option("--pgd", help="Train the classifier as train_pgd.py does it.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the YAML goes; else to stdout.")
    ] = None,
) -> None:
    """Write a configuration file of the original LNets code as an experiment.

    Every field that is left out, and every default that is filled in, is commented on.

    Example: lnets-sweep import fc_classification.json -o optim.epochs=5 --out experiment.yaml
    """
    from lnets.legacy.experiment import import_file

    for given in overrides or ():
        if given.endswith((".yaml", ".yml")) and "=" not in given:
            raise SpecError(f"-o must be KEY=VALUE, got `{given}`; --out {given} writes that file")
    text = import_file(file, overrides or (), faithful=faithful, adversarial=pgd).to_yaml()
    if out is None:
        typer.echo(text, nl=False)
        return
    with writing(out):
        out.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {out}", err=True)
