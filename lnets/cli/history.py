"""Commands about a store and its history: each parses, calls one function, and prints."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lnets.cli.app import (
    DEFAULT_STORE,
    AddressOption,
    JsonOption,
    StoreOption,
    SweepArgument,
    app,
)
from lnets.cli.completion import sweeps, trials
from lnets.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from lnets.sweep.watch import Looks, Stands


@app.command("list")
def list_sweeps(
    store: StoreOption = DEFAULT_STORE,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sweeps of a store: state, best result, seconds of training, age; or of a cluster.

    Example: lnets-sweep list
    """
    if address is not None:
        from lnets.sweep.remote import Cluster

        found = Cluster(address).all()
        shown = [job.to_json() if as_json else job.to_row() for job in found]
        if shown or as_json:
            print_rows(shown, as_json)
        else:
            typer.echo("no sweeps yet", err=True)
        return
    from lnets.results.store import Store
    from lnets.sweep.history import brief, sweep_rows

    rows = sweep_rows(Store(store))
    if as_json:
        print_json(rows)
    elif rows:
        print_rows([brief(row) for row in rows], as_json)
    else:
        typer.echo("no sweeps yet", err=True)


@app.command()
def status(
    sweep: Annotated[
        str | None,
        typer.Argument(
            metavar="SWEEP", help="Name, id or file; all if left out.", autocompletion=sweeps
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far sweeps are, what runs now, and why trials failed.

    Example: lnets-sweep status absolute_value
    """
    from lnets.results.store import Store
    from lnets.sweep.overview import status_of

    if address is not None:
        from lnets.sweep.remote import Cluster

        found = Cluster(address).statuses(sweep, store)
        if as_json:
            print_json([one.to_json() for one in found])
        else:
            typer.echo("\n\n".join(one.to_text() for one in found) or "no sweeps yet")
        return
    shown = status_of(Store(store), sweep)
    if as_json:
        print_json([one.to_json() for one in shown])
    else:
        typer.echo("\n\n".join(one.to_text() for one in shown) or "no sweeps yet")


@app.command()
def watch(
    sweep: SweepArgument,
    store: StoreOption = DEFAULT_STORE,
    address: AddressOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object per line, as something changes.")
    ] = False,
) -> None:
    """Watch a sweep until it ends: how far it is, its best, what runs, what went wrong.

    Example: lnets-sweep watch absolute_value
    """
    import json

    from lnets.sweep import watch as watching

    looks, standing = _there(address, sweep, store) if address else _here(sweep, store)
    if as_json:
        for look in watching.watch_as_json(looks, standing):
            typer.echo(json.dumps(look))
        return
    from rich.console import Console

    watching.watch(looks, standing, Console())


def _here(sweep: str, store: Path) -> "tuple[Looks, Callable[[], Stands]]":
    from lnets.results.store import Store
    from lnets.sweep.overview import find_submission, status_of
    from lnets.sweep.watch import looks

    there = Store(store)
    sweep_id = find_submission(there, sweep)["sweep_id"]
    return looks(there.root, sweep_id), lambda: status_of(there, sweep)[0]


def _there(address: str, sweep: str, store: Path) -> "tuple[Looks, Callable[[], Stands]]":
    from lnets.sweep.remote import Cluster

    cluster = Cluster(address)
    return cluster.looks(sweep, store), lambda: cluster.statuses(sweep, store)[0]


@app.command()
def show(
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="How its key begins.", autocompletion=trials)
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show everything known of a trial: metrics, configuration, lineage, files.

    Example: lnets-sweep show 3f2a91c0
    """
    from lnets.results.lineage import describe_trial, trial_text
    from lnets.results.store import Store

    found = describe_trial(Store(store), trial)
    if as_json:
        print_json(found)
    else:
        typer.echo(trial_text(found))


@app.command()
def gc(
    drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SWEEP",
            help="A sweep whose trials' files may go; repeatable.",
            autocompletion=sweeps,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; else they are only listed.")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List, or remove, files that no kept sweep uses, an hour after writing; rows always stay.

    Example: lnets-sweep gc --drop old_idea --yes
    """
    from lnets.results.store import Store
    from lnets.sweep.history import collect_garbage

    found = collect_garbage(Store(store), drop or [], really=yes)
    rows = [{"path": str(one.path), "bytes": one.size, "reason": one.reason} for one in found]
    if rows or as_json:
        print_rows(rows, as_json)
    total = sum(one.size for one in found) / 2**20
    done = "are removed" if yes else "can be removed with --yes"
    typer.echo(f"{len(found)} files and folders, {total:.1f} MiB, {done}", err=True)
