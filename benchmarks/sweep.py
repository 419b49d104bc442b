"""What the sweep costs beside the training: near-zero trials against a bare Ray Tune loop."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.trainable import Trainable

from benchmarks.measurement import Measurement
from lnets.results.store import Store
from lnets.specs.sweep import ResourcesSpec, SweepSpec
from lnets.sweep.driver import submit
from lnets.sweep.plan import make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.ray_runner import RayRunner

TRIALS = 200
ROUNDS = 5


class _Nothing(Trainable):
    """The least that a class trainable can do."""

    def setup(self, config: dict[str, Any]) -> None:
        self.value = config["value"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        return {"value": self.value, "done": True}


class _Clock(tune.Callback):
    """When the first trial had ended."""

    first = 0.0

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        self.first = self.first or time.perf_counter()


def measure() -> list[Measurement]:
    """Seconds per trial after the first has ended, ours with every row committed.

    The median of rounds in turn: a bare loop of the same length varies threefold.
    """
    baselines, ours = [], []
    for _ in range(ROUNDS):
        with RayRunner(ResourcesSpec()) as runner:
            baselines.append(_bare())
            ours.append(_ours(runner))
    print(f"  seconds per trial, bare: {baselines}, ours: {ours}")
    return [
        Measurement(
            "sweep",
            f"{TRIALS} near-zero trials",
            statistics.median(ours),
            statistics.median(baselines),
            "s/trial",
        )
    ]


def _bare() -> float:
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(_Nothing, {"cpu": 1}),
            param_space={"value": tune.grid_search(list(range(TRIALS)))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[clock],
            ),
        ).fit()
        end = time.perf_counter()
    return (end - clock.first) / (TRIALS - 1)


def _ours(runner: RayRunner) -> float:
    plan = make_plan(_near_zero())
    progress = Progress.of(plan, 0)
    first = 0.0

    def changed() -> None:
        nonlocal first
        if progress.ended and not first:
            first = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), create=True)
        submit(plan, store, runner, progress, changed)
        end = time.perf_counter()
        committed = len(store.ended().finished)
    if committed != TRIALS:
        raise RuntimeError(f"All {TRIALS} trials must be in the store, got {committed}.")
    return (end - first) / (TRIALS - 1)


def _near_zero() -> SweepSpec:
    shell = {"type": "multi_spherical_shell", "dim": 1}
    return SweepSpec.model_validate(
        {
            "name": "near_zero",
            "experiment": {
                "task": "wasserstein",
                "distrib1": {**shell, "radius": 0},
                "distrib2": {**shell, "radius": 1},
                "model": {
                    "type": "fully_connected",
                    "layers": (2, 1),
                    "activation": "maxmin",
                    "linear": {"type": "bjorck", "bjorck_iter": 1},
                },
                "optim": {"type": "sgd", "lr": 0.1},
                "steps": 1,
                "batch_size": 1,
                "test_sample_size": 2,
            },
            "search": {"optim.lr": tuple(0.001 * (i + 1) for i in range(TRIALS))},
            "seeds": 1,
        }
    )
