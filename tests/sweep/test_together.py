"""Two workers of Ray Train train one trial: the numbers of one, once, whatever is killed."""

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pytest

from lnets.results.store import Store
from lnets.specs.sweep import ResourcesSpec
from lnets.sweep.runner import InProcessRunner
from tests.conftest import CLASSIFIER, wait_for
from tests.sweep.killing import listening
from tests.sweep.test_resume import (
    SPENT,
    answer,
    kept,
    leaves_nothing,
    pretend_to_have_taken_long,
    run,
    seconds,
)

pytestmark = [pytest.mark.ray, pytest.mark.slow]
Write = Callable[..., Path]
# Gradients are sums of two halves instead of one sum, 800 times in a row. With smaller batches
# training itself makes far more of a rounding.
ORDER_OF_SUMS = 1e-4
# Of 360 test images one or two may be near a border.
FEW_IMAGES = 0.01


@pytest.fixture(scope="module")
def ray_runner() -> Iterator[Any]:
    from lnets.sweep.ray_runner import RayRunner

    with RayRunner(ResourcesSpec(workers=2)) as runner:
        yield runner


def question(write: Write, **changes: Any) -> Path:
    """One trial of seconds: 20 epochs of 40 steps."""
    experiment = {**CLASSIFIER, "epochs": 20, "batch_size": 32, **changes}
    experiment["optim"] = {"type": "sgd", "lr": 0.02}
    resources = {"workers": 2}
    return write({"name": "pair", "experiment": experiment, "seeds": 1, "resources": resources})


def test_a_killed_worker_is_gone_on_with(
    ray_runner: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both begin again from the checkpoint, and the trial lands once; nobody else can join them."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    shared = question(write)
    run(shared, whole, InProcessRunner())
    killed: list[int] = []
    addresses = []

    def kill() -> None:
        checkpoint = wait_for(lambda: kept(cut))
        workers = _workers()
        assert len(workers) == 2
        addresses.extend(listening())
        killed.append(workers[-1])
        os.kill(killed[0], signal.SIGKILL)
        pretend_to_have_taken_long(checkpoint)

    killer = threading.Thread(target=kill)
    killer.start()
    progress = run(shared, cut, ray_runner)
    killer.join()
    assert killed
    assert all(address.is_loopback for address in addresses), addresses
    assert (progress.completed, progress.failed) == (1, 0)
    assert seconds(cut) > SPENT
    (found, curve), (expected, its_curve) = answer(cut), answer(whole)
    for name, value in expected.items():
        if name == "orthonormality_error":  # of roundings
            continue
        images = "accuracy" in name or name == "dead_units"
        tolerance = {"abs": FEW_IMAGES} if images else {"rel": ORDER_OF_SUMS}
        assert found[name] == pytest.approx(value, **tolerance), name
    assert [point[:2] for point in curve] == [point[:2] for point in its_curve]
    assert leaves_nothing(cut)
    # What torch compiles into is its own.
    assert {path.name.partition("_")[0] for path in temporary.iterdir()} <= {"torchinductor"}


def test_what_a_trial_raises_fails_it(ray_runner: Any, write: Write, tmp_path: Path) -> None:
    progress = run(question(write, init_from="b" * 64), tmp_path / "store", ray_runner)
    assert (progress.completed, progress.failed) == (0, 1)
    (row,) = Store(tmp_path / "store").table("trials").to_pylist()
    assert row["status"] == "failed"
    assert "init_from must be the key of a finished trial of this store" in row["error"]
    assert "in load_weights" in row["error"]


def test_processes_find_each_other_where_ray_listens() -> None:
    with ProcessPoolExecutor(2, get_context("spawn")) as two, get_context("spawn").Manager() as m:
        place = m.Queue()
        found = [two.submit(_meet, rank, place) for rank in (0, 1)]
        for one in found:
            total, addresses = one.result()
            assert total == 3
            assert addresses
            assert all(address.is_loopback for address in addresses), addresses


def _meet(rank: int, place: Any) -> tuple[float, list[Any]]:
    """One of two processes, as Ray Train's: the sum of what both have, and where it listens."""
    import torch
    from ray.train.torch import TorchConfig

    from lnets.sweep.together import _join, _listen

    where = place.get() if rank else _listen()
    if rank == 0:
        place.put(where)
    _join(where, rank, 2, TorchConfig("gloo"))
    mine = torch.tensor(rank + 1.0)
    torch.distributed.all_reduce(mine)
    return mine.item(), listening()


def _workers() -> list[int]:
    """Process ids of Ray Train's workers."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "RayTrainWorker" in "".join(process.cmdline()):
                found.append(process.pid)
    return found
