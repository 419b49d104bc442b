"""What is asked of sweeps that are at work on a store, and which of their trials run again."""

import time
from collections.abc import Iterator

from lnets.errors import ClusterError
from lnets.results.live import Request, ask, heartbeats
from lnets.results.log import LogLine, log_lines
from lnets.results.store import Store
from lnets.results.tables import trials_that_count
from lnets.sweep.handover import Again
from lnets.sweep.overview import find_submission
from lnets.sweep.plan import Plan
from lnets.sweep.search import depends_on_results

_LOOK_SECONDS = 0.3
_PATIENCE_SECONDS = 20


def end(store: Store, named: str, request: Request, *, patient: bool = False) -> str:
    """Ask the drivers of a sweep to end when what runs has ended, or now.

    Args:
        store: Where the sweep is.
        named: Name, id or file of the sweep.
        request: Which of these.
        patient: Whether to wait for a driver that has only just begun; `named` is an id then.

    Returns:
        Who was asked.

    Raises:
        NotFoundError: If the store has no such sweep.
        StoreError: If the store cannot be written.
        ClusterError: If the driver that was waited for has not begun.
    """
    if patient:
        await_driver(store, named)
    sweep_id = named if patient else find_submission(store, named)["sweep_id"]
    asked = ask(store.root, sweep_id, request)
    if not asked:
        return f"no driver is at work on {named}"
    what = "to end now" if request == "cancel" else "to stop once what runs has ended"
    return "\n".join(f"asked driver {one.pid} on {one.host} {what}" for one in asked)


def await_driver(store: Store, sweep_id: str) -> None:
    """Wait for a driver that has only just begun.

    Raises:
        ClusterError: If it does not.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while not any(one.sweep_id == sweep_id for one in heartbeats(store.root)):
        if time.monotonic() >= until:
            raise ClusterError(
                "its driver has not begun, and may wait for what a trial takes; `lnets-sweep "
                "cancel` ends it."
            )
        time.sleep(_LOOK_SECONDS)


def retried(store: Store, plan: Plan, again: Again) -> frozenset[str] | None:
    """Keys of the trials of a plan that ended without a result; None of a search or a scheduler.

    These try what has failed again by themselves before they go on, because what they ask for next
    depends on it.

    Args:
        store: Where results are.
        plan: The trials.
        again: Which of them.
    """
    if depends_on_results(plan.sweep):
        return None
    rows = trials_that_count(store, [trial.trial_key for trial in plan.everything])
    return frozenset(key for key, row in rows.items() if row["status"] in again.split(" or "))


def log_of(store: Store, named: str, *, follow: bool) -> Iterator[LogLine]:
    """What the drivers of a sweep have to say.

    Args:
        store: Where the sweep is.
        named: Name, id or file of the sweep.
        follow: Whether to wait for more while a driver is at work.

    Raises:
        NotFoundError: If the store has no such sweep.
    """
    sweep_id = find_submission(store, named)["sweep_id"]

    def at_work() -> bool:
        return follow and any(one.sweep_id == sweep_id for one in heartbeats(store.root))

    return log_lines(store.root, sweep_id, at_work)
