"""Submitting and running on this machine: what the command line calls."""

import contextlib
import itertools
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from lnets.errors import ClusterError
from lnets.results.query import connect
from lnets.results.selected import Selected
from lnets.results.store import Store
from lnets.results.tables import Table, make_table, trials_that_count
from lnets.specs.experiment import TrainingSpec
from lnets.specs.identity import resolved_json
from lnets.specs.spec import many
from lnets.specs.sweep import SweepSpec
from lnets.sweep.answers import objectives_of
from lnets.sweep.display import Display
from lnets.sweep.driver import Publish, missing, submit
from lnets.sweep.notify import notifying
from lnets.sweep.plan import Plan, make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner, Runner
from lnets.sweep.search import Search, depends_on_results, plan_so_far

if TYPE_CHECKING:
    from lnets.sweep.ray_runner import RayRunner

_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class ClusterRun:
    """Of a driver inside a Ray Job: what it has to know of its cluster."""

    address: str
    """As who handed the sweep over calls it."""
    wait: bool
    """Whether to wait until the cluster has what a trial takes."""


def submit_here(
    plan: Plan,
    folder: Path,
    runner: Literal["ray", "in-process"],
    chosen: Set[str] | None = None,
    cluster: ClusterRun | None = None,
    command: list[str] | None = None,
) -> tuple[Table, Progress]:
    """Run what the store lacks of a plan, with live progress on stderr.

    Args:
        plan: What the sweep asks for.
        folder: The store; made if it is not there.
        runner: What executes the trials.
        chosen: Keys of the trials to run; None is all that are missing.
        cluster: Which Ray is joined; None starts one.
        command: What is told how it has ended, with its arguments.

    Returns:
        The sweep's table, and how far it is.
    """
    store = Store(folder, create=True)
    store.commit()
    search = Search(plan.sweep, store) if depends_on_results(plan.sweep) else None
    plan = plan_so_far(plan.sweep, store) if search else plan
    left = missing(plan, store.ended())
    to_run = left if chosen is None else missing(plan, store.ended(), chosen)
    progress = Progress.of(plan, len(plan.everything) - len(left))
    _consider_known(plan, store, progress)
    if plan.skipped:
        _say(f"{len(plan.skipped)} sampled configurations are impossible and are skipped.")
    with _handlers_restored(), notifying(command, plan.sweep.name, progress):
        if search.pending if search else to_run:
            _run(plan, store, runner, progress, search, chosen, cluster)
        elif chosen is not None:
            _say(f"{plan.sweep.name}: no trial has failed; nothing to run again.")
        else:
            _say(
                f"{plan.sweep.name}: nothing to run, {many(len(plan.trials), 'trial')} done; "
                f"results are in {folder}"
            )
            submit(plan, store, InProcessRunner(), progress, search=search)
    if search:
        plan = plan_so_far(plan.sweep, store)
        for line in search.summary():
            _say(line)
    return _table(plan, store), progress


def _table(plan: Plan, store: Store) -> Table:
    return make_table(
        Selected.of(connect(store), [plan.as_trials()]),
        plan.sweep.table_layout(),
        objectives=objectives_of(json.loads(resolved_json(plan.sweep, plan.needs))),
    )


def run_here(sweep: SweepSpec, folder: Path) -> dict[str, Any]:
    """Run the only trial of a sweep in this process, and what it needs, unless the store has them.

    Returns:
        `trial_key`, `status`, `metrics` and `error`.
    """
    plan = make_plan(sweep)
    submit_here(plan, folder, "in-process")
    key = plan.trials[0].trial_key
    row = trials_that_count(Store(folder), [key])[key]
    return {name: row[name] for name in ("trial_key", "status", "metrics", "error")}


def _run(
    plan: Plan,
    store: Store,
    runner: Literal["ray", "in-process"],
    progress: Progress,
    search: Search | None,
    chosen: Set[str] | None,
    cluster: ClusterRun | None,
) -> None:
    display = Display(plan.sweep.name, progress)
    with contextlib.ExitStack() as stack:
        executing: Runner = InProcessRunner()
        dashboard = None
        publish: Publish | None = None
        if runner == "in-process":
            _check_in_process(plan)
        else:
            with _exits_as_interrupts():
                on_ray = stack.enter_context(_on_ray(plan, store, cluster))
            executing, dashboard, publish = on_ray, on_ray.dashboard, on_ray.publish
        interrupted = stack.enter_context(_interruptible(_how_to_resume(plan, store, cluster)))
        if cluster is None:  # in a job the log says the same, line by line
            stack.enter_context(display.shown())
        submit(
            plan,
            store,
            executing,
            progress,
            display.changed if cluster is None else lambda: None,
            interrupted,
            dashboard,
            search,
            chosen,
            publish,
        )


@contextlib.contextmanager
def _exits_as_interrupts() -> Iterator[None]:
    """Ray, which sets a handler of its own when it starts, ends the process with the signal's code.

    No command documents that one.
    """
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None


@contextlib.contextmanager
def _on_ray(plan: Plan, store: Store, cluster: ClusterRun | None) -> Iterator["RayRunner"]:
    """A runner on a Ray, for the time of the block."""
    from lnets.sweep.ray_runner import RayRunner

    _say("starting Ray …" if cluster is None else "joining the cluster …")
    shared = None if cluster is None else store.root
    wait = cluster is not None and cluster.wait
    with RayRunner(plan.sweep.resources, shared, wait=wait) as runner:
        if runner.dashboard and cluster is None:
            _say(f"Ray dashboard: {runner.dashboard}{_login()}")
        yield runner


def _how_to_resume(plan: Plan, store: Store, cluster: ClusterRun | None) -> str:
    command = ["lnets-sweep", "resume", plan.sweep.name, "--store", str(store.root)]
    if cluster is not None:
        command += ["--address", cluster.address]
    return shlex.join(command)


def _check_in_process(plan: Plan) -> None:
    if plan.sweep.resources.workers > 1:
        raise ClusterError(
            f"{plan.sweep.name} asks for workers: {plan.sweep.resources.workers}, but in this "
            "process there is one; leave out --runner in-process, or set resources.workers to 1."
        )
    if plan.sweep.resources.gpu:
        import torch

        if not torch.cuda.is_available():
            raise ClusterError(
                f"{plan.sweep.name} asks for gpu: {plan.sweep.resources.gpu:g}, but torch finds no "
                "CUDA device here; set resources.gpu to 0."
            )
    trained = [t.experiment for t in plan.everything if isinstance(t.experiment, TrainingSpec)]
    if any(experiment.precision != "float32" for experiment in trained):
        import torch

        from lnets.tasks.products import training_precision

        training_precision("bf16", torch.device("cuda" if plan.sweep.resources.gpu else "cpu"))


def _login() -> str:
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return ""
    ray = Path(sys.executable).with_name("ray")
    return f" (log in with the token that `{ray} get-auth-token` prints)"


def _consider_known(plan: Plan, store: Store, progress: Progress) -> None:
    rows = trials_that_count(store, [trial.trial_key for trial in plan.trials])
    for trial in plan.trials:
        row = rows.get(trial.trial_key)
        if row is not None and row["status"] == "completed":
            progress.consider(trial.label, row["metrics"].get(progress.objective))
        progress.stopped_before += row is not None and row["status"] == "stopped"


@contextlib.contextmanager
def _handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _interruptible(how_to_resume: str) -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the block alike, so that what has ended is committed.

    The event is set as well: an exception that a signal raises inside a library's callback may be
    swallowed there, and whoever hands out work looks at the event. The second of them changes
    nothing, also when the block has ended; the third ends the process at once, which loses nothing
    that has been spooled.
    """
    interrupted = threading.Event()
    heard = itertools.count(1)

    def interrupt(number: int, frame: FrameType | None) -> None:
        times = next(heard)
        interrupted.set()
        if times == 1:
            raise KeyboardInterrupt
        if times > 2:
            os._exit(130)
        os.write(2, b"ending; once more ends at once\n")  # print may be what was interrupted

    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            signal.signal(number, interrupt)
    try:
        yield interrupted
    except KeyboardInterrupt as end:
        why = str(end) or "interrupted"
        _say(f"{why}; what had ended is kept, submitting again goes on from there:")
        _say(how_to_resume)
        raise


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
