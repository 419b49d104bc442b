"""What several tests need."""

import copy
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
import yaml

# First of all, since Ray reads where it listens when whatever test imports it first.
import lnets.sweep.ray_environment  # noqa: F401
from lnets.cli import main

# Machines are shared: what takes long today has not failed.
hypothesis.settings.register_profile("lnets", deadline=None)
hypothesis.settings.load_profile("lnets")

REPOSITORY = Path(__file__).parent.parent

SHELL: dict[str, Any] = {"type": "multi_spherical_shell", "dim": 1}
TINY: dict[str, Any] = {
    "name": "tiny",
    "experiment": {
        "task": "wasserstein",
        "distrib1": {**SHELL, "radius": 0},
        "distrib2": {**SHELL, "radius": 1},
        "model": {
            "type": "fully_connected",
            "layers": [4, 1],
            "activation": "maxmin",
            "linear": {"type": "bjorck", "bjorck_iter": 3},
        },
        "optim": {"type": "sgd", "lr": 0.1},
        "steps": 3,
        "batch_size": 2,
        "test_sample_size": 8,
        "log_every": 2,
    },
    "search": {"optim.lr": [0.1, 0.2]},
    "seeds": 2,
}
"""A sweep of four trials that take milliseconds."""
CLASSIFIER: dict[str, Any] = {
    "task": "classification",
    "data": {"dataset": "digits"},
    "model": {
        "type": "fully_connected",
        "layers": [32, 32, 10],
        "activation": "maxmin",
        "linear": {"type": "orthogonal"},
    },
    "loss": {"type": "offset_cross_entropy"},
    "optim": {"type": "adam", "lr": 0.01},
    "epochs": 4,
    "batch_size": 64,
}
"""An experiment that takes a fifth of a second."""
_SHORT: dict[str, Any] = {**CLASSIFIER, "epochs": 1}
TUNING: dict[str, Any] = {
    "name": "tuning",
    "experiment": _SHORT,
    "search": {"init_from": ["first", "second"]},
    "seeds": 1,
    "needs": {
        "first": {"experiment": _SHORT},
        "second": {"experiment": {**_SHORT, "init_from": "first"}, "seed": 7},
    },
}
"""A sweep of two trials that go on from others; one of those goes on from the other one."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the throughput of one batch only, and search steep places near few images."""
    monkeypatch.setattr("lnets.tasks.certified._THROUGHPUT_SECONDS", 0.0)
    monkeypatch.setattr("lnets.tasks.certified._STARTS", 4)


@pytest.fixture
def _real_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fashion-MNIST as Debian packages it."""
    asked_for = "LNETS_FASHION_MNIST" in os.environ
    if not asked_for and not Path("/usr/share/datasets/fashion-mnist").exists():
        pytest.skip("dataset-fashion-mnist is not installed, and LNETS_FASHION_MNIST not set")
    monkeypatch.setenv("LNETS_DATA", str(tmp_path))


@pytest.fixture
def tiny() -> dict[str, Any]:
    return copy.deepcopy(TINY)


def enlarge(experiment: dict[str, Any]) -> None:
    """Give it so many dimensions that a million samples fit nowhere.

    No optimal critic is known then, with whose gradients a critic would be compared for long.
    """
    for side in ("distrib1", "distrib2"):
        experiment[side]["dim"] = 65536
    experiment["distrib2"]["center_x"] = [0.5]


@pytest.fixture
def tuning() -> dict[str, Any]:
    return json.loads(json.dumps(TUNING))  # without sharing a part between experiments


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a spec into a file: data as YAML, text as it is."""

    def to_file(content: Any, name: str = "spec.yaml") -> Path:
        file = tmp_path / name
        text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        file.write_text(text, encoding="utf-8")
        return file

    return to_file


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("LNETS_STORE", str(tmp_path / "store"))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lnets-sweep", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def wait_for(condition: Callable[[], Any], *, seconds: float = 240) -> Any:
    """What a condition returns once that is true; fails when it stays false."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{condition} did not come true in {seconds} s")
