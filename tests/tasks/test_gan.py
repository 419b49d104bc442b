"""GANs of digits: how they are trained, what they leave, how they end."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from lnets.build import build_critic, build_generator
from lnets.tasks import gan
from lnets.tasks.files import load_state
from lnets.tasks.outcome import Outcome
from lnets.tasks.run import run_trials
from tests.data.tiny import SIDE, WRITERS
from tests.tasks import digits
from tests.tasks.digits import outcome
from tests.tasks.gans import LIPSCHITZ, NORMALIZED, TYPES, files_in, numbers, spec

# Of 1,797 digits one half is trained on.
STEPS = 899 // 100
RESNET = digits.RESNET | {"output_dim": 1}


def equal(first: Outcome, second: Outcome) -> bool:
    same = zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    return numbers(first) == numbers(second) and all(torch.equal(a, b) for a, b in same)


@pytest.mark.parametrize("gan_type", TYPES)
def test_it_reports_what_it_declares(gan_type: str) -> None:
    experiment = spec(gan_type, log_every=5)
    ended, curve = outcome(experiment)
    assert ended.status == "completed"
    assert set(ended.metrics) == set(experiment.metrics)
    assert all(math.isfinite(value) for value in ended.metrics.values())
    losses = {"critic_loss", "generator_loss"}
    points = sorted({*range(5, 2 * STEPS, 5), STEPS, 2 * STEPS})
    certified = {"lipschitz_upper_bound"} if gan_type == "LWGAN" else set()
    assert set().union(*(metrics for _, metrics in curve)) == losses | certified
    assert [step for step, m in curve if "critic_loss" in m] == points
    estimate, exact = (ended.metrics[f"quality_wasserstein_{k}"] for k in ("estimate", "exact"))
    assert ended.metrics["quality_wasserstein_lower_bound"] < estimate <= exact


@pytest.mark.parametrize("dataset", [*sorted(set(WRITERS) - {"cifar100", "imagenet"}), "mnist_5k"])
def test_images_of_every_data_set_are_learned_from(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dataset in WRITERS:
        WRITERS[dataset](tmp_path, monkeypatch)
    monkeypatch.setenv("LNETS_DATA", str(tmp_path))
    data: dict[str, Any] = {"dataset": dataset, "max_images": 20}
    if dataset == "lsun_bed":
        data["image_size"] = SIDE
    experiment = spec("LWGAN", data=data, epochs=1, batch_size=10, critic_steps=1)
    folder = tmp_path / "trial"
    ended, _ = outcome(experiment, files=files_in(folder))
    assert ended.status == "completed"
    assert ended.metrics["lipschitz_upper_bound"] <= 1
    with torch.no_grad():
        images = ended.model["generator"](torch.rand(3, 4))
    assert images.shape == (3, *experiment.data.image_shape)
    with Image.open(folder / "samples" / "epoch_0001.png") as grid:
        assert grid.size == (8 * (images.shape[-1] + 2) + 2,) * 2


def test_quality_can_be_left_out() -> None:
    experiment = spec("LWGAN", quality=None)
    assert not any(name.startswith("quality") for name in experiment.metrics)
    assert set(outcome(experiment)[0].metrics) == set(experiment.metrics)


@pytest.mark.parametrize("gan_type", TYPES)
def test_the_same_seed_gives_the_same_numbers_and_another_does_not(gan_type: str) -> None:
    experiment = spec(gan_type)
    (first, curve), (second, again), (third, _) = (outcome(experiment, s) for s in (0, 0, 1))
    assert equal(first, second)
    assert curve == again
    assert numbers(first) != numbers(third)


@pytest.mark.parametrize("gan_type", TYPES)
def test_both_networks_can_be_loaded_again(gan_type: str) -> None:
    experiment = spec(gan_type)
    shape = experiment.data.image_shape
    fresh = nn.ModuleDict(
        {
            "generator": build_generator(experiment.generator, shape),
            "critic": build_critic(experiment.model, shape),
        }
    )
    fresh.load_state_dict(outcome(experiment)[0].model.state_dict())


def test_it_leaves_pictures_of_the_same_noise(tmp_path: Path) -> None:
    outcome(spec("WGAN", epochs=5, sample_every=2), files=files_in(tmp_path))
    pictures = sorted(file.name for file in (tmp_path / "samples").iterdir())
    assert pictures == ["epoch_0002.png", "epoch_0004.png", "epoch_0005.png"]
    with Image.open(tmp_path / "animation.gif") as animation:
        assert animation.n_frames == 3
        assert animation.size == (8 * 10 + 2, 8 * 10 + 2)
    other = tmp_path / "other"
    outcome(spec("WGAN", epochs=2, sample_every=2), files=files_in(other))
    drawn = [folder / "samples" / "epoch_0002.png" for folder in (tmp_path, other)]
    assert drawn[0].read_bytes() == drawn[1].read_bytes()


@pytest.mark.parametrize(
    "model",
    [
        LIPSCHITZ,
        LIPSCHITZ | {"linear": {"type": "bjorck"}},
        LIPSCHITZ | {"linear": {"type": "spectral_normal"}},
        LIPSCHITZ | {"linear": {"type": "parseval_l2"}},
        RESNET,
    ],
    ids=["orthogonal", "bjorck", "spectral_normal", "parseval_l2", "residual"],
)
def test_a_lipschitz_critic_is_certified_at_every_checkpoint(model: dict[str, Any]) -> None:
    optim = {"type": "adam", "lr": 0.02}
    ended, curve = outcome(spec("LWGAN", model=model, epochs=5, checkpoint_every=2, optim=optim))
    bounds = {s: m["lipschitz_upper_bound"] for s, m in curve if "lipschitz_upper_bound" in m}
    assert list(bounds) == [2 * STEPS, 4 * STEPS, 5 * STEPS]
    assert all(0 < bound <= 1 for bound in bounds.values())
    assert ended.metrics["lipschitz_upper_bound"] == bounds[5 * STEPS]


@pytest.mark.parametrize(
    ("gan_type", "changes"),
    [
        ("WGAN", {"model": NORMALIZED}),
        ("WGAN_GP", {"optim": {"type": "sgd", "lr": 1e-3, "schedule": {"type": "linear"}}}),
        ("LWGAN", {"generator_optim": {"type": "aggmo", "lr": 0.1}}),
    ],
)
@pytest.mark.parametrize("cut", [1, 4])
def test_what_was_cut_off_goes_on_with_the_same_numbers(
    tmp_path: Path, gan_type: str, changes: dict[str, Any], cut: int
) -> None:
    experiment = spec(gan_type, epochs=5, checkpoint_every=2, log_every=4, **changes)
    whole, curve = outcome(experiment, files=files_in(tmp_path / "whole"))
    files = files_in(tmp_path / "cut")
    with pytest.raises(InterruptedError):
        outcome(experiment, files=files, stop=lambda step, _: step >= cut * STEPS + 4)
    state = load_state(files.checkpoint)
    assert (state is None) == (cut < 2)
    again, told = outcome(experiment, files=files)
    assert equal(whole, again)
    assert told == curve
    for name in ("samples/epoch_0005.png", "animation.gif"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_a_trained_gan_goes_straight_to_its_quality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_in(tmp_path)
    first, curve = outcome(spec("LWGAN", checkpoint_every=100), files=files)
    monkeypatch.setattr(gan._Run, "_train_epoch", None)
    second, again = outcome(spec("LWGAN", checkpoint_every=100), files=files)
    assert equal(first, second)
    assert curve == again


@pytest.mark.parametrize("changes", [{"generator": {"noise_dim": 5}}, {"optim": {"type": "sgd"}}])
def test_a_checkpoint_that_does_not_fit_counts_as_none(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    files = files_in(tmp_path)
    outcome(spec("WGAN"), files=files)
    if "optim" in changes:
        files.checkpoint.write_bytes(b"damaged")
        changes = {}
    fresh, _ = outcome(spec("WGAN", **changes), files=files)
    assert equal(fresh, outcome(spec("WGAN", **changes))[0])


@pytest.mark.parametrize("gan_type", ["WGAN_GP", "LWGAN"])
def test_what_diverges_is_told(gan_type: str, tmp_path: Path) -> None:
    wild = {"type": "sgd", "lr": 1e3}
    experiment = spec(gan_type, epochs=50, optim=wild, generator_optim=wild, log_every=1)
    if gan_type == "LWGAN":  # its critic cannot; a step of its generator leaves all numbers
        experiment = spec(gan_type, generator_optim={"type": "sgd", "lr": 1e3, "weight_decay": 1e3})
    ended, curve = outcome(experiment, files=files_in(tmp_path))
    assert ended.status == "diverged"
    timed = {"train_seconds", "seconds_per_epoch", "steps_per_second", "peak_memory"}
    assert set(ended.metrics) == timed
    assert all(math.isfinite(v) for _, metrics in curve for v in metrics.values())


def test_time_ends_training_wherever_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By a clock that goes a hundredth of a second whenever it is read: once or twice a step."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(ticks) / 100)
    monkeypatch.setattr(gan, "time", clock)
    limited = spec("WGAN", epochs=100, max_train_seconds=(1.5 * STEPS) / 100)
    ended, curve = outcome(limited, files=files_in(tmp_path))
    assert 0 <= ended.metrics["train_seconds"] - limited.max_train_seconds < 0.03
    assert STEPS < curve[-1][0] < 2 * STEPS
    again, _ = outcome(limited, files=files_in(tmp_path))
    assert equal(ended, again)


def test_other_ways_to_compute_train_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    for gan_type in TYPES:
        common = {"epochs": 1, "batch_size": 300, "critic_steps": 1, "quality": None}
        short = outcome(spec(gan_type, **common, precision="bf16"))[0]
        full = outcome(spec(gan_type, **common))[0]
        assert short.status == "completed"
        assert not equal(short, full)
        assert {t.dtype for t in short.model.state_dict().values() if t.is_floating_point()} == {
            torch.float32
        }


@pytest.mark.slow
@pytest.mark.parametrize("gan_type", TYPES)
def test_training_brings_the_generator_to_the_data(gan_type: str) -> None:
    optim = {"type": "adam", "lr": 2e-3, "betas": (0.5, 0.999)}
    common = {"generator_optim": optim, "optim": optim, "batch_size": 32, "critic_steps": 2}
    common["quality"] = {"steps": 1, "test_sample_size": 500}
    first, last = (outcome(spec(gan_type, epochs=epochs, **common))[0] for epochs in (1, 12))
    distances = [ended.metrics["quality_wasserstein_exact"] for ended in (first, last)]
    assert distances[1] < 0.8 * distances[0]


def test_rates_may_fall() -> None:
    """Also where there are fewer updates than the generator waits for."""
    optim = {"type": "sgd", "lr": 0.01, "schedule": {"type": "linear"}}
    common = {"optim": optim, "generator_optim": optim, "quality": None, "epochs": 1}
    for critic_steps in (1, 100):
        ended, curve = outcome(spec("LWGAN", critic_steps=critic_steps, **common))
        assert ended.status == "completed"
        assert ("generator_loss" in curve[0][1]) == (critic_steps == 1)


def test_more_than_one_at_a_time_is_not_for_gans() -> None:
    assert spec("WGAN").why_alone() is not None
    with pytest.raises(ValueError, match="too many values to unpack"):
        run_trials([spec("WGAN")] * 2, [0, 1], device="cpu", threads=1, report=lambda *_: None)


@pytest.mark.gpu
@pytest.mark.parametrize("gan_type", TYPES)
def test_a_gpu_trains_and_resumes_too(gan_type: str, tmp_path: Path) -> None:
    experiment = spec(gan_type, epochs=4)
    options: dict[str, Any] = {"device": "cuda", "threads": 1, "files": files_in(tmp_path)}

    def stop(_: int, step: int, __: Any) -> None:
        if step > 2 * STEPS:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run_trials([experiment], [0], report=stop, **options)
    (ended,) = run_trials([experiment], [0], report=lambda *_: None, **options)
    assert ended.status == "completed"
    assert set(ended.metrics) == set(experiment.metrics)
    assert (tmp_path / "animation.gif").exists()
