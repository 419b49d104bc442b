"""Submitting a sweep: what is missing is run, what has ended is committed about once a second."""

import _thread
import json
import logging
import os
import platform
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeAlias

from lnets import __version__
from lnets.errors import StoreError
from lnets.results.live import Live, Standing, forget
from lnets.results.log import kept_log
from lnets.results.records import Ended, SweepRecord
from lnets.results.store import Store
from lnets.specs.identity import BEHAVIOUR_VERSION, resolved_json
from lnets.sweep.code import code_commit
from lnets.sweep.grouping import make_groups
from lnets.sweep.handover import JOB, JOB_COMMIT
from lnets.sweep.messages import Group
from lnets.sweep.plan import Plan, Trial, required
from lnets.sweep.progress import Progress
from lnets.sweep.readings import Reading, readings
from lnets.sweep.runner import Runner
from lnets.sweep.schedule import Schedule
from lnets.sweep.search import Search, depends_on_results

_log = logging.getLogger(__name__)

Publish: TypeAlias = Callable[[Iterable[Reading]], None]
_COMMIT_SECONDS = 1.0
_LIBRARIES = ("torch", "ray", "numpy", "pydantic", "optuna", "deltalake")


def missing(plan: Plan, ended: Ended, chosen: Set[str] | None = None) -> list[Trial]:
    """Trials of a plan that have not finished, and what these need; failed ones are among them.

    Those that have been stopped for good are not; what a sampler will ask for is not known.

    Args:
        plan: The trials.
        ended: Which of them have.
        chosen: Keys of those that are wanted; None: all that are compared.
    """
    done = ended.finished
    if depends_on_results(plan.sweep):
        done |= ended.stopped
    left = {t.trial_key: t for t in plan.everything if t.trial_key not in done}
    if chosen is None:
        chosen = {trial.trial_key for trial in plan.trials}
    wanted = required([trial for key, trial in left.items() if key in chosen], left)
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
    chosen: Set[str] | None = None,
    publish: Publish | None = None,
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
        chosen: Keys of the missing trials of another sweep that are run; None: all.
        publish: Takes numbers for monitoring about once a second.

    Raises:
        SpecError: If a trial needs more memory than the sweep allows.
        StoreError: If results cannot be committed, and stay spooled, or cannot even be spooled.
        ClusterError: If the runner fails.
        KeyboardInterrupt: If the run is interrupted, or asked to end through the store; what has
            ended is committed first.
    """
    # A job's copy of the code is no checkout; who handed it over knew the commit.
    commit = os.environ.get(JOB_COMMIT) or code_commit()
    store.commit()
    ended = store.ended()
    if search is None and depends_on_results(plan.sweep):
        search = Search(plan.sweep, store)
    trials = [] if search else missing(plan, ended, chosen)
    grouped = make_groups(trials, plan.sweep.resources, runner.workers, ended.failed)
    live = Live(store.root, plan.sweep_id, plan.sweep.name, dashboard)
    live.beat(())
    if trials or (search and search.pending) or not store.has_sweep(plan.sweep_id):
        store.add_sweep(_sweep_record(plan, commit))
    asked = _Asked(interrupted or threading.Event(), live, plan.sweep.resources.time_budget)
    log = kept_log(store.root, plan.sweep_id, everything_shown=JOB in os.environ)
    with log, _writer(store, live, progress, asked, publish):
        _log.info("driver %d on %s begins", os.getpid(), socket.gethostname())
        schedule = Schedule(plan, grouped, store, commit, progress, changed, search, runner.workers)
        runner.run(_handed_out(schedule, asked, live.driver), schedule)
        asked.look()  # workers that have heard of it first leave nothing to hand out
    if schedule.not_kept is not None:
        raise StoreError(
            f"{schedule.not_kept}; no further trial was started. What had ended before is kept: "
            "make room, and submit again."
        )
    store.compact()
    if asked.to_stop.is_set() and progress.left:
        raise KeyboardInterrupt(asked.why)


class _Asked:
    """What the driver has been asked to do.

    Args:
        to_end: Set once it is to end now.
        live: Where others ask.
        budget: Seconds after which it asks itself to stop; None: never.
    """

    def __init__(self, to_end: threading.Event, live: Live, budget: float | None) -> None:
        self.to_end = to_end
        self.to_stop = threading.Event()
        self.why = "stopped, as another command has asked"
        self._live, self._budget, self._begun = live, budget, time.monotonic()

    def look(self) -> None:
        """Hear what is asked; who executes trials is interrupted if they are to end now."""
        spent = self._budget is not None and time.monotonic() - self._begun >= self._budget
        if spent and not self.to_stop.is_set():
            self.why = f"the time budget of {self._budget:g} s is spent"
            _log.warning(self.why)
            self._live.ask_itself("stop")
        request = self._live.request()
        if request == "stop" and not self.to_stop.is_set():
            self.to_stop.set()
            _log.info("asked to stop: no further trial starts")
        if request == "cancel" and not self.to_end.is_set():
            self.to_end.set()
            _log.info("asked to end now")
            _thread.interrupt_main(signal.SIGTERM)  # nothing where nobody listens to it


@contextmanager
def _writer(
    store: Store, live: Live, progress: Progress, asked: _Asked, publish: Publish | None
) -> Iterator[None]:
    """Commits what is spooled while the block runs, and what is left when it ends.

    It tells that the driver lives, too, and hears what is asked of it.
    """
    stop = threading.Event()

    def commit_now_and_then() -> None:
        said = ""
        while not stop.wait(_COMMIT_SECONDS):
            try:
                standing = _told(store, live, progress, publish)
                progress.hear(store.root)
                live.beat(progress.at_work, standing)
                asked.look()
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
        try:
            store.commit()
        except StoreError as error:
            remedy = "results wait in the spool: mend that, and submit again."
            raise StoreError(f"{str(error).rstrip('.')}; {remedy}") from None
        finally:
            _told(store, live, progress, publish)
            for key in progress.running:
                forget(store.root, key)
            live.stop()
            _log.info("driver ends: %s", progress.summary())


def _told(store: Store, live: Live, progress: Progress, publish: Publish | None) -> Standing:
    """How far the sweep is; whoever collects numbers is given them."""
    standing = progress.standing(sum(1 for _ in store.waiting()))
    if publish is not None:
        try:
            publish(readings(live.name, standing, len(progress.running)))
        except Exception as error:  # no sweep may end because its numbers cannot be shown
            _log.warning("Numbers cannot be shown to Prometheus: %s", error)
    return standing


def _handed_out(
    groups: Iterator[Group | None], asked: _Asked, driver: str
) -> Iterator[Group | None]:
    """Groups as long as the driver has not been asked to end."""
    for group in groups:
        if asked.to_end.is_set():
            raise KeyboardInterrupt
        if asked.to_stop.is_set():
            return
        yield group and group.model_copy(update={"driver": driver})


def _sweep_record(plan: Plan, commit: str | None) -> SweepRecord:
    versions = {"python": platform.python_version(), "behaviour": str(BEHAVIOUR_VERSION)}
    versions |= {"lnets": __version__}
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
