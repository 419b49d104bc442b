"""Submitting a sweep: what is missing is run, what has ended is committed about once a second."""

import json
import logging
import platform
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version

from lnets.errors import StoreError
from lnets.results.live import Live
from lnets.results.records import Ended, SweepRecord
from lnets.results.store import Store
from lnets.specs.identity import BEHAVIOUR_VERSION, resolved_json
from lnets.sweep.code import code_commit
from lnets.sweep.grouping import make_groups
from lnets.sweep.messages import Group
from lnets.sweep.plan import Plan, Trial, required
from lnets.sweep.progress import Progress
from lnets.sweep.runner import Runner
from lnets.sweep.schedule import Schedule
from lnets.sweep.search import Search, depends_on_results

_log = logging.getLogger(__name__)

_COMMIT_SECONDS = 1.0
_LIBRARIES = ("lnets", "torch", "ray", "numpy", "pydantic", "optuna", "deltalake")


def missing(plan: Plan, ended: Ended) -> list[Trial]:
    """Trials of a plan that have not finished, and what these need; failed ones are among them.

    Those that have been stopped for good are not; what a sampler will ask for is not known.
    """
    done = ended.finished
    if depends_on_results(plan.sweep):
        done |= ended.stopped
    left = {t.trial_key: t for t in plan.everything if t.trial_key not in done}
    wanted = required([t for t in plan.trials if t.trial_key in left], left)
    return [t for key, t in left.items() if key in wanted]


def submit(
    plan: Plan,
    store: Store,
    runner: Runner,
    progress: Progress,
    changed: Callable[[], None] = lambda: None,
    interrupted: threading.Event | None = None,
    dashboard: str | None = None,
    search: Search | None = None,
) -> None:
    """Run what a plan is missing and commit it, each trial once.

    Args:
        plan: What the sweep asks for.
        store: Where results go; what an earlier driver left in its spool is committed first.
        runner: Executes.
        progress: Kept up to date.
        changed: Called after each change of `progress`.
        interrupted: Once set, no further trial starts.
        dashboard: Address that `status` shows while the sweep runs.
        search: Of a sweep whose configurations depend on results; None begins it.

    Raises:
        SpecError: If a trial needs more memory than the sweep allows.
        StoreError: If results cannot be committed, and stay spooled, or cannot even be spooled.
        ClusterError: If the runner fails.
        KeyboardInterrupt: If the run is interrupted; what has ended is committed first.
    """
    commit = code_commit()
    store.commit()
    ended = store.ended()
    if search is None and depends_on_results(plan.sweep):
        search = Search(plan.sweep, store)
    trials = [] if search else missing(plan, ended)
    grouped = make_groups(trials, plan.sweep.resources, runner.workers, ended.failed)
    live = Live(store.root, plan.sweep_id, plan.sweep.name, dashboard)
    live.beat(())
    if trials or (search and search.pending) or not store.has_sweep(plan.sweep_id):
        store.add_sweep(_sweep_record(plan, commit))
    with _writer(store, live, progress):
        schedule = Schedule(plan, grouped, store, commit, progress, changed, search, runner.workers)
        groups = schedule if interrupted is None else _until(interrupted, schedule)
        runner.run(groups, schedule)
    if schedule.not_kept is not None:
        raise StoreError(
            f"{schedule.not_kept}; no further trial was started. What had ended before is kept: "
            "make room, and submit again."
        )
    store.compact()


@contextmanager
def _writer(store: Store, live: Live, progress: Progress) -> Iterator[None]:
    """Commits what is spooled while the block runs, and what is left when it ends."""
    stop = threading.Event()

    def commit_now_and_then() -> None:
        said = ""
        while not stop.wait(_COMMIT_SECONDS):
            try:
                live.beat(tuple(progress.running.values()))
                store.commit()
            except Exception as error:  # this thread must outlive whatever a disk may do
                # Results wait in the spool; the last commit raises if the trouble has stayed.
                if str(error) != said:
                    _log.warning("Results cannot be committed now, and wait: %s", error)
                said = str(error)

    thread = threading.Thread(target=commit_now_and_then, name="lnets-writer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        store.commit()
        live.stop()


def _until(interrupted: threading.Event, groups: Iterator[Group | None]) -> Iterator[Group | None]:
    for group in groups:
        if interrupted.is_set():
            raise KeyboardInterrupt
        yield group


def _sweep_record(plan: Plan, commit: str | None) -> SweepRecord:
    versions = {"python": platform.python_version(), "behaviour": str(BEHAVIOUR_VERSION)}
    versions |= {library: version(library) for library in _LIBRARIES}
    return SweepRecord(
        sweep_id=plan.sweep_id,
        name=plan.sweep.name,
        spec=resolved_json(plan.sweep, plan.needs),
        trial_keys=tuple(trial.trial_key for trial in plan.trials),
        skipped=json.dumps(
            [{"configuration": s.overrides, "reason": s.reason} for s in plan.skipped]
        ),
        submitted_at=datetime.now(UTC),
        commit=commit,
        versions=json.dumps(versions, sort_keys=True),
        host=socket.gethostname(),
    )
