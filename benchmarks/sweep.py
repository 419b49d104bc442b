"""What the sweep costs beside the training: near-zero trials against a bare Ray Tune loop."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
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

# Trials of a sweep, and rounds of ours and the bare loop in turn.
ROUNDS = {100: 5, 500: 3, 2000: 1}


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

    Every trial is one of Ray's, and trains alone. Medians, because a bare loop of the same length
    varies threefold from round to round. Of the longest sweep also how much slower the last
    hundred are than the first, and the memory that the driver has gained.
    """
    measurements = []
    for trials, rounds in ROUNDS.items():
        baselines, ours = [], []
        for _ in range(rounds):
            with RayRunner(ResourcesSpec()) as runner:
                baselines.append(_bare(trials))
                ours.append(_ours(trials, runner))
        case = f"{trials} near-zero trials"
        row = Measurement(
            "sweep", case, statistics.median(ours), statistics.median(baselines), "s/trial"
        )
        print(f"  {row}; bare: {baselines}, ours: {ours}", flush=True)
        measurements.append(row)
    return measurements


def _bare(trials: int) -> float:
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(_Nothing, {"cpu": 1}),
            param_space={"value": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[clock],
            ),
        ).fit()
        end = time.perf_counter()
    return (end - clock.first) / (trials - 1)


def _ours(trials: int, runner: RayRunner) -> float:
    plan = make_plan(_near_zero(trials))
    progress = Progress.of(plan, 0)
    ended: list[float] = []
    memory = psutil.Process().memory_info().rss

    def changed() -> None:
        ended.extend([time.perf_counter()] * (progress.ended - len(ended)))

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), create=True)
        submit(plan, store, runner, progress, changed)
        end = time.perf_counter()
        committed = len(store.ended().finished)
    if committed != trials:
        raise RuntimeError(f"All {trials} trials must be in the store, got {committed}.")
    gained = (psutil.Process().memory_info().rss - memory) / 2**20
    first, last = ended[100 - 1] - ended[0], ended[-1] - ended[-100]
    print(f"  {trials}: hundred first {first:.2f} s, last {last:.2f} s; {gained:.0f} MB gained")
    return (end - ended[0]) / (trials - 1)


def _near_zero(trials: int) -> SweepSpec:
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
            "search": {"optim.lr": tuple(0.001 * (i + 1) for i in range(trials))},
            "seeds": 1,
            "resources": {"fuse": "off"},
        }
    )
