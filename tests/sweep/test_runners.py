"""What every runner must do: the same sentences for the in-process and the Ray runner."""

import contextlib
import json
import os
import re
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from lnets.build import build_critic
from lnets.errors import ClusterError
from lnets.results.store import Store
from lnets.specs.experiments import EXPERIMENT
from lnets.specs.sweep import ResourcesSpec, SweepSpec
from lnets.sweep.driver import submit
from lnets.sweep.plan import make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner, Runner
from tests.conftest import enlarge, wait_for
from tests.sweep.killing import listening

TIMES = ("train_seconds", "steps_per_second", "peak_memory")


def sweep(data: dict[str, Any], **changes: Any) -> SweepSpec:
    return SweepSpec.model_validate_json(json.dumps({**data, **changes}))


def run(spec: SweepSpec, store: Store, runner: Runner) -> Progress:
    plan = make_plan(spec)
    progress = Progress.of(plan, 0)
    submit(plan, store, runner, progress)
    return progress


def rows(store: Store) -> list[dict[str, Any]]:
    found = store.table("trials").to_pylist()
    for row in found:
        row["metrics"] = json.loads(row["metrics"])
    return sorted(found, key=lambda row: row["trial_key"])


def numbers(store: Store) -> list[Any]:
    return [
        (row["trial_key"], {k: v for k, v in row["metrics"].items() if k not in TIMES})
        for row in rows(store)
    ]


class RunnerContract:
    @pytest.fixture
    def runner(self) -> Iterator[Runner]:
        raise AssertionError("a subclass gives the runner")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(tmp_path / "store", create=True)

    def test_every_trial_lands_once_with_its_curve_and_weights(
        self, runner: Runner, store: Store, tiny: dict[str, Any]
    ) -> None:
        spec = sweep(tiny)
        progress = run(spec, store, runner)
        assert (progress.completed, progress.failed, progress.left) == (4, 0, 0)
        assert progress.running == {}
        assert progress.best is not None
        found = rows(store)
        assert [row["status"] for row in found] == ["completed"] * 4
        assert {row["attempt"] for row in found} == {1}
        assert len(set(store.table("curves")["trial_key"].to_pylist())) == 4
        for row in found:
            folder = store.artifacts(row["trial_key"])
            stored = json.loads((folder / "experiment.json").read_text())
            experiment = EXPERIMENT.validate_json(json.dumps(stored["experiment"]))
            assert json.loads(row["config"]) == stored["experiment"]
            assert stored["seed"] == row["seed"]
            model = build_critic(experiment.model, experiment.distrib1.shape)
            model.load_state_dict(load_file(folder / "model.safetensors"))
        again = run(spec, store, runner)
        assert again.ended == 0
        assert rows(store) == found

    def test_it_gives_the_numbers_of_a_run_in_process(
        self, runner: Runner, store: Store, tiny: dict[str, Any], tmp_path: Path
    ) -> None:
        run(sweep(tiny), store, runner)
        other = Store(tmp_path / "other", create=True)
        run(sweep(tiny), other, InProcessRunner())
        assert numbers(store) == numbers(other)

    def test_a_trial_that_raises_fails_alone(
        self, runner: Runner, store: Store, tiny: dict[str, Any]
    ) -> None:
        """Half a terabyte of held-out samples cannot be had."""
        enlarge(tiny["experiment"])
        search = {"test_sample_size": [4, 1_000_000]}
        spec = sweep(tiny, search=search, seeds=1)
        progress = run(spec, store, runner)
        assert (progress.completed, progress.failed) == (1, 1)
        assert "allocate" in progress.last_error
        [failed] = [row for row in rows(store) if row["status"] == "failed"]
        assert "Traceback" in failed["error"]
        again = run(spec, store, runner)
        assert (again.completed, again.failed) == (0, 1)
        assert sorted(row["attempt"] for row in rows(store)) == [1, 1, 2]

    def test_a_trial_that_explodes_is_a_row_too(
        self, runner: Runner, store: Store, tiny: dict[str, Any]
    ) -> None:
        tiny["experiment"]["model"]["linear"] = {"type": "standard"}
        tiny["experiment"] |= {"optim": {"type": "sgd", "lr": 1000.0}, "steps": 200}
        spec = sweep(tiny, search={}, seeds=1)
        assert run(spec, store, runner).diverged == 1
        assert [row["status"] for row in rows(store)] == ["diverged"]
        assert run(spec, store, runner).ended == 0

    def test_what_is_needed_runs_first_and_once(
        self, runner: Runner, store: Store, tuning: dict[str, Any]
    ) -> None:
        spec = sweep(tuning)
        progress = run(spec, store, runner)
        assert (progress.completed, progress.failed, progress.left) == (4, 0, 0)
        other = {"name": "other", "search": {"init_from": ["second"], "epochs": [2]}}
        assert run(sweep(tuning, **other), store, runner).completed == 1
        plan = make_plan(spec)
        starts = {row["trial_key"]: row["started_at"] for row in rows(store)}
        for trial in plan.everything:
            assert all(starts[key] < starts[trial.trial_key] for key in trial.needs)
        names = Counter(row["name"] for row in rows(store))
        assert names == {"tuning": 2, "tuning.first": 1, "tuning.second": 1, "other": 1}

    def test_a_search_runs_to_its_end_and_once(
        self, runner: Runner, store: Store, tiny: dict[str, Any]
    ) -> None:
        algorithm = {"type": "optuna", "configurations": 8, "parallel": 3}
        search = {"optim.lr": {"log_uniform": [1e-3, 1e-1]}}
        spec = sweep(tiny, search=search, algorithm=algorithm)
        progress = run(spec, store, runner)
        assert (progress.completed + progress.stopped, progress.left) == (16, 0)
        found = rows(store)
        assert len({row["trial_key"] for row in found}) == len(found) == 16
        assert run(spec, store, runner).ended == 0
        assert rows(store) == found

    def test_a_scheduler_stops_trials_and_goes_on_with_others(
        self, runner: Runner, store: Store, tiny: dict[str, Any]
    ) -> None:
        tiny["experiment"] |= {"steps": 80, "log_every": 10}
        search = {"optim.lr": [1e-4, 1e-3, 1e-2, 1e-1]}
        progress = run(sweep(tiny, search=search, scheduler={"type": "asha"}), store, runner)
        assert (progress.completed + progress.stopped, progress.left) == (8, 0)
        assert progress.stopped > 0
        # What was stopped goes on from where it paused once another sweep asks for it.
        assert run(sweep(tiny, search=search), store, runner).completed == progress.stopped
        points = [(row["trial_key"], row["step"]) for row in store.table("curves").to_pylist()]
        assert len(set(points)) == len(points) == 8 * 8

    def test_what_needs_a_failed_trial_is_blocked_until_that_completes(
        self, runner: Runner, store: Store, tuning: dict[str, Any]
    ) -> None:
        """The first need starts from weights that are there in the end only."""
        tuning["needs"]["first"]["experiment"]["init_from"] = "b" * 64
        tuning["search"] = {"init_from": [None, "first", "second"]}
        spec = sweep(tuning)
        progress = run(spec, store, runner)
        assert (progress.completed, progress.failed, progress.blocked) == (1, 1, 3)
        needs = make_plan(spec).needs
        reasons = {row["error"] for row in rows(store) if row["status"] == "blocked"}
        assert reasons == {
            f"needs `first`, which has failed (trial {needs['first']}); submitting again tries it "
            "again",
            f"needs `second`, which is blocked itself (trial {needs['second']})",
        }
        others = {"search": {}, "needs": {}, "seeds": [9]}
        run(sweep({**tuning, "name": "weights", **others}), store, InProcessRunner())
        (row,) = [row for row in rows(store) if row["seed"] == 9]
        store.artifacts(row["trial_key"]).rename(store.artifacts("b" * 64))
        progress = run(spec, store, runner)
        assert (progress.completed, progress.failed, progress.blocked) == (4, 0, 0)

    def test_what_needs_a_diverged_trial_is_blocked(
        self, runner: Runner, store: Store, tuning: dict[str, Any]
    ) -> None:
        tuning["needs"]["first"]["experiment"] |= {"optim": {"type": "sgd", "lr": 1000.0}}
        tuning["needs"]["first"]["experiment"]["model"]["linear"] = {"type": "standard"}
        progress = run(sweep(tuning), store, runner)
        assert (progress.diverged, progress.blocked) == (1, 3)
        again = run(sweep(tuning), store, runner)
        assert (again.diverged, again.blocked, again.running) == (0, 3, {})
        assert any("which has diverged (trial" in (row["error"] or "") for row in rows(store))


@pytest.mark.usefixtures("_quick")
class TestInProcessRunner(RunnerContract):
    @pytest.fixture
    def runner(self) -> Iterator[Runner]:
        return InProcessRunner()


@pytest.mark.ray
@pytest.mark.parametrize(
    ("resources", "remedy"),
    [
        ({"cpu": 1000}, r"cpu`\.$"),
        ({"cpu": 10, "workers": 100}, r"cpu` or `resources\.workers`\.$"),
    ],
)
def test_a_machine_without_the_resources_is_refused(resources: dict[str, int], remedy: str) -> None:
    from lnets.sweep.ray_runner import RayRunner

    message = rf"takes 1000 CPU, .* lower `resources\.{remedy}"
    with pytest.raises(ClusterError, match=message), RayRunner(ResourcesSpec(**resources)):
        pass


def test_a_ray_that_does_not_start_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from lnets.sweep import ray_runner

    def too_slow(**_: Any) -> None:
        raise RuntimeError("the node timed out")

    monkeypatch.setattr(ray_runner.ray, "init", too_slow)
    started = ray_runner.RayRunner(ResourcesSpec())
    with pytest.raises(ClusterError, match=r"timed out\n.*--runner in-process\."), started:
        pass


@pytest.fixture(scope="module")
def ray_runner() -> Iterator[Any]:
    from lnets.sweep.ray_runner import RayRunner

    with RayRunner(ResourcesSpec()) as runner:
        yield runner


@pytest.mark.ray
class TestRayRunner(RunnerContract):
    @pytest.fixture
    def runner(self, ray_runner: Any) -> Iterator[Runner]:
        return ray_runner

    def test_the_dashboard_shows_trials_by_name(
        self, ray_runner: Any, store: Store, tiny: dict[str, Any]
    ) -> None:
        from ray.util.state import list_tasks

        alone = sweep(tiny, name="shown", resources={"fuse": "off"})
        run(alone, store, ray_runner)
        assert ray_runner.dashboard.startswith("http://127.0.0.1:")
        labels = {trial.label for trial in make_plan(alone).trials}
        wait_for(
            lambda: (
                labels
                <= {
                    task.name
                    for task in list_tasks(limit=1000, filters=[("type", "=", "ACTOR_TASK")])
                }
            )
        )

    def test_prometheus_can_read_how_far_a_sweep_is(
        self, ray_runner: Any, store: Store, tiny: dict[str, Any]
    ) -> None:
        import ray

        plan = make_plan(sweep(tiny, name="read"))
        progress = Progress.of(plan, 0)
        submit(plan, store, ray_runner, progress, publish=ray_runner.publish)
        [port] = {node["MetricsExportPort"] for node in ray.nodes()}

        def shown() -> dict[str, float]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                lines = answer.read().decode().splitlines()
            ours = (line.rpartition(" ") for line in lines if 'sweep="read"' in line)
            return {
                name.partition("{")[0] + "".join(re.findall(r'state="(\w+)"', name)): float(value)
                for name, _, value in ours
            }

        wait_for(lambda: shown().get("ray_lnets_trialsdone") == 4)
        found = shown()
        assert found["ray_lnets_trials_ended_total"] == 4
        assert found["ray_lnets_trialsleft"] == found["ray_lnets_spool_length"] == 0
        assert found["ray_lnets_best_objective"] == pytest.approx(progress.best)
        assert found["ray_lnets_steps_per_second"] > 0

    def test_a_killed_worker_loses_nothing(
        self, ray_runner: Any, store: Store, tiny: dict[str, Any]
    ) -> None:
        """The first trial to run is killed; it is tried again and lands once."""
        tiny["experiment"]["steps"] = 3000
        spec = sweep(tiny, search={}, seeds=3)
        plan = make_plan(spec)
        progress = Progress.of(plan, 0)
        killed: list[int] = []
        folders: list[str] = []

        def kill_one() -> None:
            killed.append(wait_for(_trial_worker))
            folders.append(psutil.Process(killed[0]).cwd())
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        submit(plan, store, ray_runner, progress)
        killer.join()
        assert folders == [os.getcwd()]  # relative paths of data mean the same to workers
        assert (progress.completed, progress.failed) == (3, 0)
        assert {row["trial_key"] for row in rows(store)} == {t.trial_key for t in plan.trials}
        assert len(rows(store)) == 3

    def test_nothing_listens_beyond_this_machine(self, ray_runner: Any) -> None:
        addresses = listening()
        assert len(addresses) > 5
        assert all(address.is_loopback for address in addresses), addresses


def _trial_worker() -> int | None:
    """Process id of an actor that executes a trial now: Ray names it after its task."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("ray::tiny") or "ray::tiny" in "".join(process.cmdline()):
                return int(process.pid)
    return None
