"""Two processes that train one classifier together: as one does it, up to the order of sums."""

import multiprocessing
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from lnets.errors import TrialError
from lnets.specs.classification import ClassificationSpec
from lnets.tasks import classification, processes
from lnets.tasks.files import NO_FILES, TrialFiles, load_state
from lnets.tasks.outcome import PAUSED_AT, Outcome
from lnets.tasks.training import Training
from tests.tasks.digits import BJORCK, FEW, RESNET, Curve, figures, outcome, spec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_quick")]
# Gradients are sums of two halves instead of one sum: that is 1e-7 of them in a step in float32,
# and grows with every step that follows.
ORDER_OF_SUMS = 1e-4
Ended = tuple[Outcome | None, Curve, Tensor]
Together = Callable[..., tuple[Ended, Ended]]


def join(rank: int, group: str, experiment: str, checkpoint: Path | None, seconds: float) -> Ended:
    """One of two processes: its outcome and curve, and its weights at the end of training.

    Args:
        rank: Which one.
        group: File by which they find each other.
        experiment: As JSON.
        checkpoint: That it is given.
        seconds: By which its clock goes on whenever it is read; 0 leaves it.
    """
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    trained: list[Training] = []

    class Seen(Training):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            trained.append(self)

    ticks = iter(range(10**9))
    read = (lambda: next(ticks) * seconds) if seconds else time.perf_counter
    dist.init_process_group(
        "gloo", f"file://{group}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lnets.tasks.certified._THROUGHPUT_SECONDS", 0.0)
            patch.setattr("lnets.tasks.certified._STARTS", 4)
            patch.setattr(classification, "Training", Seen)
            patch.setattr(classification, "time", SimpleNamespace(perf_counter=read))
            curve: Curve = []
            ended = classification.train(
                [ClassificationSpec.model_validate_json(experiment)],
                [0],
                device=torch.device("cpu"),
                report=lambda _, step, metrics: curve.append((step, dict(metrics))),
                compiled=False,
                files=TrialFiles(NO_FILES.weights, checkpoint),
            )
    finally:
        dist.destroy_process_group()
    return next(iter(ended), None), curve, trained[-1].replicas.rows


class Planted:
    """Unpickling it is running what it says."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def take_planted(rank: int, group: str, file: Path) -> None:
    """One of two processes, of which the first tells the other something planted."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    dist.init_process_group(
        "gloo", f"file://{group}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    try:
        processes.of_first(Planted, file)
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn, torch.set_num_threads, (1,)) as two:
        yield two


@pytest.fixture
def together(pool: ProcessPoolExecutor, tmp_path: Path) -> Together:
    def run(
        experiment: ClassificationSpec,
        checkpoints: tuple[Path | None, Path | None] = (None, None),
        seconds: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[Ended, Ended]:
        given = str(tmp_path / "group"), experiment.model_dump_json()
        first, second = (
            pool.submit(join, rank, *given, checkpoints[rank], seconds[rank]) for rank in (0, 1)
        )
        return first.result(), second.result()

    return run


def assert_equal_but_for_rounding(found: Ended, expected: tuple[Outcome, Curve]) -> None:
    (ended, curve, _), (one, its_curve) = found, expected
    assert ended is not None
    assert ended.status == one.status
    assert [(step, set(m)) for step, m in curve] == [(step, set(m)) for step, m in its_curve]
    for name in ("train_loss", "validation_loss"):
        assert figures(curve, name) == pytest.approx(figures(its_curve, name), rel=ORDER_OF_SUMS)
    for name in ("test_loss", "mean_margin", "lipschitz_upper_bound", "epoch"):
        assert ended.metrics[name] == pytest.approx(one.metrics[name], rel=ORDER_OF_SUMS)
    pairs = zip(ended.model.parameters(), one.model.parameters(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=0, atol=ORDER_OF_SUMS)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"augment": {"crop_padding": 1, "flip": True}}, "selection": {}},
        {"batch_size": 63, "optim": {"max_grad_norm": 0.05}},
        {"model": RESNET, "data": FEW},
        {"data": FEW, "adversarial": {"norm": "l2", "epsilon": 0.3, "steps": 2}},
        {"model": {"linear": BJORCK}, "data": FEW, "loss": {"type": "multi_margin", "margin": 0.5},
         "selection": {"metric": "validation_certified_accuracy", "patience": 1},
         "finetune": {"epochs": 1, "lr": 0.001, "bjorck_iter": 12}},
    ],
    ids=["augmented", "odd", "convolutions", "attacked", "finetuned"],
)  # fmt: skip
def test_two_have_the_numbers_of_one(changes: dict[str, Any], together: Together) -> None:
    experiment = spec(**{"epochs": 2, "log_every": 7, **changes})
    first, second = together(experiment)
    assert_equal_but_for_rounding(first, outcome(experiment))
    assert second[0] is None
    assert second[1] == first[1]
    assert torch.equal(second[2], first[2])


def test_the_first_ones_clock_ends_training(together: Together, tmp_path: Path) -> None:
    """The other one's goes ten times as fast."""
    optim = {"schedule": {"type": "linear"}}
    limited = spec(epochs=100, max_train_seconds=1.0, optim=optim, log_every=7)
    files = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    first, second = together(limited, files, (0.01, 0.1))
    assert first[0] is not None
    assert 1.0 <= first[0].metrics["train_seconds"] < 1.05
    assert second[1] == first[1]
    assert torch.equal(second[2], first[2])
    assert load_state(files[0]) is not None
    assert not files[1].exists()


def test_both_go_on_from_what_the_first_one_reads(together: Together, tmp_path: Path) -> None:
    """One process was cut off after an epoch; the second of two finds nothing."""
    experiment = spec(epochs=3, selection={})
    file = tmp_path / "checkpoint.safetensors"
    stop = 1294 // 64 * 2
    with pytest.raises(InterruptedError):
        outcome(
            experiment,
            files=TrialFiles(NO_FILES.weights, file),
            stop=lambda step, metrics: step == stop and "train_loss" in metrics,
        )
    saved = load_state(file)
    assert saved is not None
    assert saved[1][PAUSED_AT] == 1
    first, second = together(experiment, (file, tmp_path / "none.safetensors"))
    assert_equal_but_for_rounding(first, outcome(experiment))
    assert first[1][: len(saved[1]["curve"])] == [(s, m) for s, m in saved[1]["curve"]]
    assert torch.equal(second[2], first[2])


def test_what_diverges_does_so_for_both(together: Together) -> None:
    bad = spec(model={"linear": {"type": "standard"}}, optim={"type": "sgd", "lr": 1e3}, data=FEW)
    first, second = together(bad)
    assert first[0] is not None
    assert first[0].status == "diverged"
    assert second[0] is None


def test_the_first_one_records_singular_values(together: Together) -> None:
    experiment = spec(epochs=1, data=FEW, singular_values={"every": 2})
    first, second = together(experiment)
    name = "mean_singular_value@3"
    assert len(figures(first[1], name)) == 3
    assert figures(first[1], name) == pytest.approx(figures(outcome(experiment)[1], name))
    assert figures(second[1], name) == []
    assert torch.equal(second[2], first[2])


def test_more_processes_than_images_are_refused(together: Together) -> None:
    with pytest.raises(TrialError, match=r"must be at most 1, the training images .* got 2"):
        together(spec(batch_size=1))


def test_what_the_first_one_tells_runs_nothing(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    given = str(tmp_path / "group"), planted
    first, second = (pool.submit(take_planted, rank, *given) for rank in (0, 1))
    with pytest.raises(pickle.UnpicklingError):
        second.result()
    first.result()
    assert not planted.exists()
