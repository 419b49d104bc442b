"""The command that searches trained networks for counterexamples."""

from typing import Annotated

import typer

from lnets.cli.app import DEFAULT_STORE, JsonOption, StoreOption, SweepOrTrial, app
from lnets.cli.output import print_json, print_rows

_MOST_SHOWN = 5


@app.command()
def audit(
    named: SweepOrTrial,
    images: Annotated[
        int, typer.Option(min=1, help="Test images, or samples of each side of a critic, at most.")
    ] = 256,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Attack trained networks inside of what is certified; fail if one does not hold.

    Example: lnets-sweep audit certified_l2_quick
    """
    from lnets.results.store import Store
    from lnets.sweep.audit import LEGEND, audit_trials, conclusion

    audited = []
    for one in audit_trials(Store(store), named, images):
        audited.append(one)
        typer.echo(f"audited {one.network} in {one.seconds:.0f} s", err=True)
        for problem in one.problems[:_MOST_SHOWN]:
            typer.echo(f"trial {one.trial_key}: {problem}", err=True)
    if as_json:
        print_json([one.to_json() for one in audited])
    else:
        noted = any(one.note for one in audited)
        print_rows([one.to_row(noted=noted) for one in audited], as_json)
        typer.echo(LEGEND)
    if not any(one.searched for one in audited):
        typer.echo("Nothing was searched, so nothing is known of them.", err=True)
        raise typer.Exit(1)
    typer.echo(conclusion(audited), err=as_json)
    if any(one.problems for one in audited):
        raise typer.Exit(1)
