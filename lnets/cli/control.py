"""Commands about sweeps that are at work, here or on a cluster, and about those to go on with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lnets.cli.app import (
    DEFAULT_STORE,
    AddressOption,
    JsonOption,
    RunnerOption,
    StoreOption,
    SweepArgument,
    app,
)
from lnets.cli.output import print_json, print_outcome
from lnets.errors import SpecError

if TYPE_CHECKING:
    from lnets.results.live import Request
    from lnets.sweep.handed import Handed
    from lnets.sweep.handover import Again
    from lnets.sweep.remote import Cluster

FollowOption = Annotated[
    bool, typer.Option("--follow", help="With --address: stay, and show what the driver writes.")
]
WaitOption = Annotated[
    bool,
    typer.Option(
        "--wait-for-resources",
        help="With --address: wait until the cluster has what a trial takes.",
    ),
]


def refuse_misplaced(address: str | None, runner: str, *, follow: bool, wait: bool) -> None:
    """Some options are for a cluster, some for this machine.

    Raises:
        SpecError: If one is given for the other.
    """
    if address is not None and runner != "ray":
        raise SpecError(f"--runner {runner} is for this machine; leave it or --address out.")
    for given, option in ((follow, "--follow"), (wait, "--wait-for-resources")):
        if given and address is None:
            raise SpecError(f"{option} is for a cluster; name it by --address, or leave it out.")


def print_handed(
    cluster: "Cluster", handed: "Handed", name: str, follow: bool, as_json: bool
) -> None:
    """Say which job a cluster has of a sweep, and stay with it if that is wanted.

    Raises:
        typer.Exit: With the exit code of a driver that was followed, unless that is 0.
    """
    if as_json:
        print_json(handed.to_json())
    else:
        typer.echo(handed.job)
    if not handed.new:
        typer.echo(f"{name} had been handed over before, and is at work.", err=True)
    if follow:
        _follow(cluster, handed.job, name)
    else:
        hint = f"lnets-sweep logs -f {name} --address {cluster.address}"
        typer.echo(f"follow it: {hint}", err=True)


@app.command()
def logs(
    sweep: SweepArgument,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Wait for more while a driver is at work.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    address: AddressOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Of a store: print a JSON object per line.")
    ] = False,
) -> None:
    """Print what the drivers of a sweep have to say: what begins, how it ends, what goes wrong.

    Example: lnets-sweep logs -f absolute_value
    """
    if address is not None:
        from lnets.sweep.remote import Cluster

        if as_json:
            raise SpecError("--json is of the log in the store; leave out --address.")
        cluster = Cluster(address)
        job = cluster.find(sweep, store)
        if follow:
            _follow(cluster, job.job, job.name)
        else:
            typer.echo(cluster.log(job.job), nl=False)
        return
    from lnets.results.store import Store
    from lnets.sweep.control import log_of

    for line in log_of(Store(store), sweep, follow=follow):
        typer.echo(line.model_dump_json() if as_json else line.to_text())


@app.command()
def stop(
    sweep: SweepArgument, store: StoreOption = DEFAULT_STORE, address: AddressOption = None
) -> None:
    """End a sweep that is at work once its running trials have ended.

    Example: lnets-sweep stop absolute_value
    """
    _ask(sweep, "stop", store, address)


@app.command()
def cancel(
    sweep: SweepArgument, store: StoreOption = DEFAULT_STORE, address: AddressOption = None
) -> None:
    """End a sweep that is at work now; what has ended is kept, running trials are not.

    Example: lnets-sweep cancel absolute_value
    """
    _ask(sweep, "cancel", store, address)


@app.command()
def resume(
    sweep: SweepArgument,
    store: StoreOption = DEFAULT_STORE,
    runner: RunnerOption = "ray",
    address: AddressOption = None,
    follow: FollowOption = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a sweep from what the store has, without its file.

    Example: lnets-sweep resume absolute_value
    """
    refuse_misplaced(address, runner, follow=follow, wait=wait)
    if address is None:
        _go_on_here(sweep, store, runner, None, as_json)
    else:
        _go_on_there(address, sweep, store, None, wait, follow, as_json)


@app.command()
def retry(
    sweep: SweepArgument,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what has failed, not what that blocks.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    runner: RunnerOption = "ray",
    address: AddressOption = None,
    follow: FollowOption = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run trials of a sweep again that have failed, or are blocked by others that have.

    Example: lnets-sweep retry absolute_value --failed
    """
    refuse_misplaced(address, runner, follow=follow, wait=wait)
    again: Again = "failed" if failed else "failed or blocked"
    if address is None:
        _go_on_here(sweep, store, runner, again, as_json)
    else:
        _go_on_there(address, sweep, store, again, wait, follow, as_json)


def _go_on_here(
    sweep: str,
    store: Path,
    runner: Literal["ray", "in-process"],
    again: "Again | None",
    as_json: bool,
) -> None:
    from lnets.results.store import Store
    from lnets.sweep.control import retried
    from lnets.sweep.local import submit_here
    from lnets.sweep.overview import sweep_named
    from lnets.sweep.plan import make_plan

    there = Store(store)
    plan = make_plan(sweep_named(there, sweep))
    chosen = None if again is None else retried(there, plan, again)
    table, progress = submit_here(plan, store, runner, chosen)
    print_outcome(table, progress, plan.sweep.name, as_json)


def _go_on_there(
    address: str,
    sweep: str,
    store: Path,
    again: "Again | None",
    wait: bool,
    follow: bool,
    as_json: bool,
) -> None:
    from lnets.sweep.remote import Cluster

    cluster = Cluster(address)
    handed = cluster.resume(sweep, store, again, wait=wait)
    print_handed(cluster, handed, sweep, follow, as_json)


def _ask(sweep: str, request: "Request", store: Path, address: str | None) -> None:
    if address is not None:
        from lnets.sweep.remote import Cluster

        typer.echo(Cluster(address).end(sweep, request, store), err=True)
        return
    from lnets.results.store import Store
    from lnets.sweep.control import end

    typer.echo(end(Store(store), sweep, request), err=True)


def _follow(cluster: "Cluster", job: str, name: str) -> None:
    try:
        for text in cluster.follow(job):
            typer.echo(text, nl=False)
    except KeyboardInterrupt:
        stop = f"lnets-sweep stop {name} --address {cluster.address}"
        typer.echo(f"{name} goes on; to end it: {stop}", err=True)
        raise
    code = cluster.exit_code(job)
    if code:
        raise typer.Exit(code)
