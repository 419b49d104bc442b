"""Ray Tune as a runner: one Tune trial is one group."""

import contextlib
import logging
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from lnets.sweep.ray_environment import staging

# isort: split
import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.experiment import Trial
from ray.tune.search import Searcher
from ray.tune.trainable import Trainable
from ray.util.metrics import Counter, Gauge

from lnets.errors import ClusterError, LnetsError
from lnets.results.records import TrialRecord
from lnets.specs.sweep import ResourcesSpec
from lnets.sweep.deaths import last_death
from lnets.sweep.fits import fitting, taken
from lnets.sweep.jobs import check_machines, machines, which_ray
from lnets.sweep.messages import Group, Job, Result
from lnets.sweep.readings import Reading
from lnets.sweep.runner import Listener, execute, train_here

_LOOK_SECONDS = 5.0
_LISTEN_SECONDS = 0.001


class TrialWorker(Trainable):
    """An actor that executes one group per Tune trial, and is reused for the next."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What one group takes, as the feed says."""
        if config["workers"] > 1:
            # Ray Train places the workers that this one waits for; Tune wants a byte at least, and
            # does not know how many fit.
            return tune.PlacementGroupFactory([{"memory": 1}])
        return tune.PlacementGroupFactory([config["each"]])

    def setup(self, config: dict[str, Any]) -> None:
        """Take a group."""
        self._group = Group.model_validate_json(config["group"])
        self._config = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next group; it builds and seeds everything anew."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Execute the whole group."""
        how = self._train_together if self._config["workers"] > 1 else train_here
        results = [result.model_dump_json() for result in execute(self._group, how)]
        return {"results": results, "done": True}

    def _train_together(self, jobs: Sequence[Job], group: Group) -> list[TrialRecord]:
        from lnets.sweep.together import train_together  # imports torch: the driver needs none

        return train_together(
            jobs,
            group,
            workers=self._config["workers"],
            each=self._config["each"],
            folder=self._config["folder"],
            name=self.trial_id,
        )

    def __repr__(self) -> str:
        return f"worker of {self._group.jobs[0].name}"


class RayRunner:
    """Runs groups on a Ray with its dashboard, for the time of a `with` block.

    Args:
        resources: What one group takes.
        shared: Of a driver inside a Ray Job the store, which all machines of its cluster must
            reach; None starts a Ray on this machine.
        wait: Whether to wait until the cluster has what one group takes.

    Raises:
        ClusterError: If Ray does not start, lacks what one group takes, or does not reach the
            store.
    """

    def __init__(
        self, resources: ResourcesSpec, shared: Path | None = None, *, wait: bool = False
    ) -> None:
        self._resources, self._shared, self._wait = resources, shared, wait
        self.dashboard: str | None = None
        self._meters: dict[str, Any] = {}
        self._counted: dict[tuple[str, ...], float] = {}

    def __enter__(self) -> "RayRunner":
        how = which_ray(self._shared)
        try:
            context = ray.init(**how, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # Ray documents no narrower class
            remedy = "Try again when the machine is less busy, or without Ray: --runner in-process"
            if self._shared is not None:
                remedy = "Try again, or restart the cluster"
            raise ClusterError(f"Ray did not start: {error}\n{remedy}.") from error
        # Of trials that failed, which the listener has heard of.
        logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
        self.dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else None
        try:
            check_machines(self._resources, self._shared, wait=self._wait)
        except ClusterError:
            _shut_down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _shut_down()

    @property
    def workers(self) -> int:
        """Groups that run at the same time."""
        fit, most = fitting(self._resources, machines()), self._resources.max_concurrent
        return fit if most is None else min(fit, most)

    def publish(self, readings: Iterable[Reading]) -> None:
        """Show numbers where Ray has its own for Prometheus."""
        for one in readings:
            labels = dict(one.labels)
            if one.name not in self._meters:
                kind = Counter if one.counts else Gauge
                self._meters[one.name] = kind(one.name, one.meaning, tuple(labels))
            meter = self._meters[one.name]
            if not one.counts:
                meter.set(one.value, labels)
            elif one.value > (before := self._counted.get((one.name, *labels.values()), 0.0)):
                meter.inc(one.value - before, labels)
                self._counted[one.name, *labels.values()] = one.value

    def run(self, groups: Iterator[Group | None], listener: Listener) -> None:
        """Take groups one by one, as workers become free."""
        most = self._resources.max_concurrent if self._resources.workers == 1 else self.workers
        with (
            tempfile.TemporaryDirectory(prefix=".lnets-tune-", dir=self._shared) as folder,
            staging(),
            _as_cluster_errors(),
            _memory_kills_as_deaths(),
        ):
            tune.Tuner(
                TrialWorker,
                tune_config=tune.TuneConfig(
                    search_alg=_Feed(groups, self._resources, folder),
                    num_samples=-1,
                    reuse_actors=True,
                    max_concurrent_trials=most,
                ),
                run_config=tune.RunConfig(
                    storage_path=folder,
                    name="sweep",
                    verbose=0,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    callbacks=[_Bridge(listener)],
                ),
            ).fit()


def _shut_down() -> None:
    """End Ray, during which signals are heard as before.

    Ray gives SIGTERM its default action early in that, so that the next one would end this process
    in the midst of it. Only the main thread can listen again, so another one waits for Ray.
    """
    if threading.current_thread() is not threading.main_thread():
        ray.shutdown()
        return
    heard_by = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(ray.shutdown)
        while not wait([ending], timeout=_LISTEN_SECONDS).done:
            signal.signal(signal.SIGTERM, heard_by)
        signal.signal(signal.SIGTERM, heard_by)
    ending.result()


@contextlib.contextmanager
def _as_cluster_errors() -> Iterator[None]:
    """What Tune raises is Ray's trouble, except what our own listener raised."""
    try:
        yield
    except LnetsError:
        raise
    except Exception as error:  # Tune documents no narrower class
        raise ClusterError(f"Ray Tune stopped: {error}") from error


@contextlib.contextmanager
def _memory_kills_as_deaths() -> Iterator[None]:
    """Tune gives up a whole run where Ray has killed one worker for lack of memory.

    Its manager of actors knows two kinds of errors, and what Ray raises then is neither.
    """
    failed = RayActorManager._actor_task_failed

    def failed_or_died(manager: Any, *, exception: Exception, **task: Any) -> None:
        if isinstance(exception, ray.exceptions.OutOfMemoryError):
            exception = ray.exceptions.RayActorError(error_msg=str(exception))
        failed(manager, exception=exception, **task)

    RayActorManager._actor_task_failed = failed_or_died
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = failed


class _NotRestored:
    """Tune pickles what it is given so that it can restore it; a sweep resumes from the store."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Feed(_NotRestored, Searcher):
    """Gives Tune the next group whenever a worker is free."""

    def __init__(
        self, groups: Iterator[Group | None], resources: ResourcesSpec, folder: str
    ) -> None:
        super().__init__()
        self._groups = groups
        self._takes = {"each": taken(resources), "workers": resources.workers, "folder": folder}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        group = next(self._groups, Searcher.FINISHED)
        if not isinstance(group, Group):
            return group  # None: Tune asks again
        return {"group": group.model_dump_json(), **self._takes}

    def on_trial_complete(self, trial_id: str, *_: Any, **__: Any) -> None:
        """Nothing: the listener hears how groups end."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a sweep resumes from the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""


class _Bridge(_NotRestored, tune.Callback):
    """Turns Tune's callbacks into a listener's."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._methods: dict[Any, Any] = {}
        self._looked = time.monotonic()

    def on_step_end(self, **_: Any) -> None:
        """End a run that would wait for ever: Ray waits for machines, were there none left."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            if not any(node["Alive"] for node in ray.nodes()):
                raise ClusterError(
                    "Ray has died, and with it what was running. What had ended before is kept: "
                    "submit again, which goes on from there."
                )

    def on_trial_start(self, *, trial: Trial, **_: Any) -> None:
        group = _group(trial)
        self._name_task(trial, group.label)
        self._listener.started(group)

    def on_trial_complete(self, *, trial: Trial, **_: Any) -> None:
        results = trial.last_result["results"]
        self._listener.ended(
            _group(trial), [Result.model_validate_json(result) for result in results]
        )

    def on_trial_error(self, *, trial: Trial, **_: Any) -> None:
        self._listener.lost(_group(trial), last_death(trial.error_file))

    def _name_task(self, trial: Trial, label: str) -> None:
        """Show the trial's name in the dashboard, where a reused actor keeps its first one."""
        actor = trial.temporary_state.ray_actor
        with contextlib.suppress(AttributeError):
            method = self._methods.setdefault(actor, actor.train)
            actor.train = method.options(name=label)


def _group(trial: Trial) -> Group:
    return Group.model_validate_json(trial.config["group"])
