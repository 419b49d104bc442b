"""Killing the driver anywhere loses no finished trial and doubles none."""

import contextlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lnets.results.store import Store
from lnets.specs.load import load_sweep
from lnets.specs.sweep import SweepSpec
from lnets.sweep.code import code_commit
from lnets.sweep.driver import submit
from lnets.sweep.plan import make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner
from tests.conftest import wait_for
from tests.sweep.killing import ended, kill_again_and_again, kill_with_ray, rows, start


@pytest.mark.slow
@pytest.mark.parametrize("plan_of_kills", range(2))
def test_a_driver_killed_again_and_again_in_process(
    tiny: dict[str, Any], write: Callable[..., Path], tmp_path: Path, plan_of_kills: int
) -> None:
    spec = write({**tiny, "seeds": 60, "resources": {"fuse": 2}})
    store = tmp_path / "store"
    kill_again_and_again(spec, store, lives=3, seed=plan_of_kills)
    survivors = {key: row["started_at"] for key, row in rows(store).items()}
    driver = start(spec, store, "--runner", "in-process")
    driver.communicate(timeout=120)
    assert driver.returncode == 0
    final = rows(store)
    assert set(final) == {trial.trial_key for trial in make_plan(load_sweep(spec)).trials}
    assert {key: final[key]["started_at"] for key in survivors} == survivors
    curves = Store(store).table("curves").to_pylist()
    assert len({(point["trial_key"], point["step"]) for point in curves}) == len(curves) == 120 * 2


@pytest.mark.slow
@pytest.mark.ray
def test_a_driver_killed_while_ray_works(
    tiny: dict[str, Any], write: Callable[..., Path], tmp_path: Path
) -> None:
    tiny["experiment"]["steps"] = 400
    spec = write({**tiny, "seeds": 10, "resources": {"fuse": 1}})  # so that few end together
    store = tmp_path / "store"
    driver = start(spec, store)
    wait_for(lambda: len(ended(store)) >= 3)
    finished = ended(store)
    descendants = kill_with_ray(driver)
    assert len(finished) < 20, "the sweep ended before it could be killed"
    # At once: workers of the killed driver may still be at work, and spool a trial once more.
    committed_before = {key: row["started_at"] for key, row in rows(store).items()}
    driver = start(spec, store)
    driver.communicate(timeout=240)
    assert driver.returncode == 0
    for process in descendants:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # Ray's agents outlive a killed driver by minutes
    final = rows(store)
    assert set(final) == {trial.trial_key for trial in make_plan(load_sweep(spec)).trials}
    assert {key: final[key]["started_at"] for key in committed_before} == committed_before
    assert finished <= set(final)


@pytest.mark.slow
@pytest.mark.ray
def test_a_sweep_whose_ray_dies_ends(
    tiny: dict[str, Any], write: Callable[..., Path], tmp_path: Path
) -> None:
    """It must not wait for a machine that never comes."""
    store = tmp_path / "store"
    driver = start(write({**tiny, "seeds": 5000}), store)
    wait_for(lambda: ended(store))
    [raylet] = [one for one in psutil.Process(driver.pid).children() if one.name() == "raylet"]
    raylet.kill()
    _, errors = driver.communicate(timeout=240)
    assert (driver.returncode, "submit again" in errors) == (3, True), errors
    kept = ended(store)  # workers may have spooled one more: the next driver commits it
    Store(store).commit()
    assert kept <= set(rows(store))


@pytest.mark.slow
def test_two_drivers_submit_overlapping_sweeps_at_the_same_time(
    tiny: dict[str, Any], write: Callable[..., Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"  # made by both
    tiny["experiment"]["steps"] = 50
    rates = {"one": [0.1, 0.2, 0.3], "other": [0.2, 0.3, 0.4]}
    specs = [
        write({**tiny, "name": name, "search": {"optim.lr": lr}, "seeds": 10}, f"{name}.yaml")
        for name, lr in rates.items()
    ]
    drivers = [start(spec, store, "--runner", "in-process") for spec in specs]
    for driver in drivers:
        output, errors = driver.communicate(timeout=200)
        assert driver.returncode == 0, errors
        assert "30 of 30 trials completed" in output
    plans = [make_plan(load_sweep(spec)) for spec in specs]
    assert set(rows(store)) == {trial.trial_key for plan in plans for trial in plan.trials}
    curves = Store(store).table("curves").to_pylist()
    points = {(point["trial_key"], point["step"], point["metric"]) for point in curves}
    assert len(points) == len(curves)
    assert len(Store(store).table("sweeps")) == 2


@pytest.mark.ray
def test_sigterm_while_ray_starts_is_an_interrupt(
    tiny: dict[str, Any], write: Callable[..., Path], tmp_path: Path
) -> None:
    driver = start(write(tiny), tmp_path / "store")
    assert driver.stderr is not None
    assert "starting Ray" in driver.stderr.readline()
    time.sleep(1.5)
    driver.terminate()
    _, errors = driver.communicate(timeout=60)
    assert (driver.returncode, "Traceback" in errors) == (130, False), errors
    assert not ended(tmp_path / "store")


@pytest.mark.parametrize(
    ("number", "runner", "again"),
    [
        (signal.SIGINT, "in-process", "while it ends"),
        (signal.SIGTERM, "in-process", "while it ends"),
        pytest.param(signal.SIGTERM, "ray", "while it ends", marks=pytest.mark.ray),
        pytest.param(signal.SIGINT, "ray", "at once", marks=[pytest.mark.ray, pytest.mark.slow]),
    ],
)
def test_an_interrupted_sweep_keeps_what_has_ended(
    tiny: dict[str, Any],
    write: Callable[..., Path],
    tmp_path: Path,
    number: signal.Signals,
    runner: str,
    again: str,
) -> None:
    spec = write({**tiny, "seeds": 5000})
    store = tmp_path / "store"
    driver = start(spec, store, "--runner", runner)
    wait_for(lambda: ended(store))
    driver.send_signal(number)
    errors = ""
    if again == "while it ends":  # Ray, or Python: which takes so long that people lose patience
        assert driver.stderr is not None
        while not errors.endswith("from there:\n"):
            errors += (said := driver.stderr.readline())
            assert said, errors
    time.sleep(0.2)
    driver.send_signal(number)
    errors += driver.communicate(timeout=60)[1]
    assert driver.returncode == 130
    assert "submitting again goes on from there" in errors
    assert "Traceback" not in errors
    if runner == "in-process":
        assert set(rows(store)) == ended(store)
        assert not list((store / "spool").glob("*.json"))
    else:
        # A worker may spool one more trial while Ray shuts down: the next driver commits it.
        kept = ended(store)
        assert kept
        Store(store).commit()
        assert kept <= set(rows(store))
    assert not list((store / "live").glob("*.json"))


def test_a_submission_says_what_it_ran_on(tiny: dict[str, Any], tmp_path: Path) -> None:
    plan = make_plan(SweepSpec.model_validate_json(json.dumps(tiny)))
    store = Store(tmp_path / "store", create=True)
    submit(plan, store, InProcessRunner(), Progress.of(plan, 0))
    submit(plan, store, InProcessRunner(), Progress.of(plan, 4))
    [row] = store.table("sweeps").to_pylist()
    assert row["sweep_id"] == plan.sweep_id
    assert row["trial_keys"] == [trial.trial_key for trial in plan.trials]
    assert {"torch", "ray", "python", "behaviour"} <= set(json.loads(row["versions"]))
    assert row["commit"] == code_commit()
