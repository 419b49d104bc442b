"""A classification that is killed in mid-epoch goes on, and ends as if it had not been."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lnets.results.artifacts import CHECKPOINT
from lnets.results.store import Store
from lnets.specs.load import load_sweep
from lnets.sweep.driver import submit
from lnets.sweep.plan import make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner, Runner
from lnets.tasks.files import load_state, save_state
from tests.conftest import CLASSIFIER, wait_for

TIMES = ("train_seconds", "steps_per_second", "images_per_second", "peak_memory")
SPENT = 1e6
Write = Callable[..., Path]


@pytest.fixture
def question(write: Write) -> Path:
    """One trial of seconds: 20 epochs of 161 steps."""
    experiment = {**CLASSIFIER, "epochs": 20, "batch_size": 8, "log_every": 50}
    experiment["data"] = {"dataset": "digits", "augment": {"crop_padding": 1}}
    experiment["selection"] = {}
    return write({"name": "killed", "experiment": experiment, "seeds": 1})


def run(question: Path, store: Path, runner: Runner) -> Progress:
    plan = make_plan(load_sweep(question))
    progress = Progress.of(plan, 0)
    submit(plan, Store(store, create=True), runner, progress)
    return progress


def answer(store: Path) -> tuple[dict[str, float], list[Any]]:
    """The trial's only row, but for times, and its curve."""
    (row,) = Store(store).table("trials").to_pylist()
    assert row["status"] == "completed"
    metrics = {k: v for k, v in json.loads(row["metrics"]).items() if k not in TIMES}
    points = Store(store).table("curves").to_pylist()
    return metrics, [(p["step"], p["metric"], p["value"]) for p in points]


def kept(store: Path) -> Path | None:
    return next(iter(store.glob(f"artifacts/*/{CHECKPOINT}")), None)


def pretend_to_have_taken_long(checkpoint: Path) -> None:
    """What goes on from it counts these seconds; what starts anew does not."""
    state = load_state(checkpoint)
    assert state is not None
    tensors, values = state
    save_state(checkpoint, tensors, {**values, "seconds": [SPENT]})


def seconds(store: Path) -> float:
    (row,) = Store(store).table("trials").to_pylist()
    return float(row["train_seconds"])


def leaves_nothing(store: Path) -> bool:
    files = {path.name for path in store.glob("artifacts/*/*")}
    return files == {"model.safetensors", "experiment.json"}


@pytest.mark.slow
def test_a_killed_process_is_gone_on_with(question: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(question, whole, InProcessRunner())
    program = "from lnets.cli import main; main()"
    command = ["submit", str(question), "--store", str(cut), "--runner", "in-process"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wait_for(lambda: kept(cut))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not Store(cut).ended().finished
    checkpoint = kept(cut)
    assert checkpoint is not None
    pretend_to_have_taken_long(checkpoint)
    assert run(question, cut, InProcessRunner()).completed == 1
    assert seconds(cut) > SPENT > seconds(whole)
    assert answer(cut) == answer(whole)
    assert leaves_nothing(cut)
    assert leaves_nothing(whole)


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_worker_is_gone_on_with(question: Path, tmp_path: Path) -> None:
    """Ray Tune tries the trial again by itself."""
    from lnets.sweep.ray_runner import RayRunner

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(question, whole, InProcessRunner())

    def kill() -> None:
        checkpoint = wait_for(lambda: kept(cut))
        worker = wait_for(_trial_worker)
        os.kill(worker, signal.SIGKILL)
        pretend_to_have_taken_long(checkpoint)

    killer = threading.Thread(target=kill)
    with RayRunner(load_sweep(question).resources) as runner:
        killer.start()
        assert run(question, cut, runner).completed == 1
    killer.join()
    assert seconds(cut) > SPENT
    assert answer(cut) == answer(whole)
    assert leaves_nothing(cut)


def _trial_worker() -> int | None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("ray::killed"):
                return int(process.pid)
    return None


def test_what_a_killed_save_has_left_goes_too(write: Write, tmp_path: Path) -> None:
    question = write({"name": "short", "experiment": {**CLASSIFIER, "epochs": 1}, "seeds": 1})
    (trial,) = make_plan(load_sweep(question)).trials
    folder = Store(tmp_path / "store", create=True).artifacts(trial.trial_key)
    folder.mkdir(parents=True)
    (folder / "checkpoint.123456").write_bytes(b"half")
    assert run(question, tmp_path / "store", InProcessRunner()).completed == 1
    assert leaves_nothing(tmp_path / "store")
