import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lnets.errors import DataError
from lnets.nn import BjorckLinear
from lnets.specs.metrics import WASSERSTEIN
from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks.outcome import Outcome
from lnets.tasks.run import run_trials
from tests.conftest import REPOSITORY

DIGITS = {"type": "image_samples", "dataset": "digits"}


def spec(tiny: dict[str, Any], **changes: Any) -> WassersteinSpec:
    return WassersteinSpec.model_validate_json(json.dumps({**tiny["experiment"], **changes}))


def outcome(experiment: WassersteinSpec, seed: int = 0) -> tuple[Outcome, list[Any]]:
    curve: list[Any] = []
    (ended,) = run_trials(
        [experiment],
        [seed],
        device="cpu",
        threads=1,
        report=lambda trial, step, metrics: curve.append((step, dict(metrics))),
    )
    return ended, curve


def without_times(metrics: dict[str, float]) -> dict[str, float]:
    return {
        k: v
        for k, v in metrics.items()
        if k not in ("train_seconds", "steps_per_second", "peak_memory")
    }


def test_it_reports_what_it_declares(tiny: dict[str, Any]) -> None:
    ended, curve = outcome(spec(tiny, distrib1=_funnels("source"), distrib2=_funnels("target")))
    assert ended.status == "completed"
    assert set(ended.metrics) == set(WASSERSTEIN)
    assert all(math.isfinite(value) for value in ended.metrics.values())
    assert [step for step, _ in curve] == [2, 3]


def _funnels(side: str, **changes: Any) -> dict[str, Any]:
    return {"type": "min_funnels", "side": side, "dim": 2, "num_funnels": 4, **changes}


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(tiny: dict[str, Any]) -> None:
    first, second, third = (outcome(spec(tiny), seed) for seed in (0, 0, 1))
    assert without_times(first[0].metrics) == without_times(second[0].metrics)
    assert first[1] == second[1]
    assert without_times(first[0].metrics) != without_times(third[0].metrics)
    for a, b in zip(first[0].model.parameters(), second[0].model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_short_training_approaches_the_cone(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"]["layers"] = [16, 16, 1]
    optim = {"type": "adam", "lr": 0.01}
    ended, curve = outcome(spec(tiny, optim=optim, steps=300, batch_size=32, test_sample_size=500))
    metrics = ended.metrics
    assert 0.9 < metrics["tightness"] <= 1
    assert metrics["wasserstein_lower_bound"] < metrics["wasserstein_estimate"]
    assert 0.99 < metrics["lipschitz_upper_bound"] <= 1 + 1e-9
    assert metrics["wasserstein_exact"] == 1
    assert curve[-1][1]["train_dual"] == pytest.approx(metrics["wasserstein_estimate"], abs=0.05)


@pytest.mark.parametrize("linear", ["standard", "bjorck"])
def test_no_estimate_exceeds_the_exact_value_on_real_images(
    tiny: dict[str, Any], linear: str
) -> None:
    tiny["experiment"]["model"]["linear"] = {"type": linear}
    images = {"distrib1": {**DIGITS, "classes": [3]}, "distrib2": {**DIGITS, "classes": [8]}}
    metrics = outcome(spec(tiny, **images, steps=60, batch_size=16))[0].metrics
    assert metrics["wasserstein_exact"] > 1
    assert metrics["wasserstein_estimate"] <= metrics["wasserstein_exact"]
    assert metrics["tightness"] == pytest.approx(
        metrics["wasserstein_estimate"] / metrics["wasserstein_exact"]
    )


def test_rounding_cannot_lift_an_estimate(tiny: dict[str, Any]) -> None:
    """A critic of tiny slope and huge offset: its values differ by nothing but roundings."""
    tiny["experiment"]["model"] |= {"layers": [32, 1], "l_constant": 1e-30}
    images = {"distrib1": {**DIGITS, "classes": [3]}, "distrib2": {**DIGITS, "classes": [8]}}
    metrics = outcome(spec(tiny, **images, steps=2))[0].metrics
    assert metrics["wasserstein_estimate"] <= metrics["wasserstein_exact"]


def test_a_critic_that_overflows_has_diverged(tiny: dict[str, Any]) -> None:
    """Every weight is finite, but their product is not."""
    tiny["experiment"]["model"] |= {
        "layers": [64] * 15 + [1],
        "activation": "identity",
        "linear": {"type": "standard"},
    }
    shell = {"type": "multi_spherical_shell", "dim": 64}
    both = {"distrib1": {**shell, "radius": 0}, "distrib2": {**shell, "radius": 1e6}}
    ended, _ = outcome(spec(tiny, **both, steps=2, batch_size=8, optim={"type": "sgd", "lr": 1}))
    assert all(torch.isfinite(p).all() for p in ended.model.parameters())
    assert ended.status == "diverged"
    assert set(ended.metrics) == {"train_seconds", "steps_per_second", "peak_memory"}


def test_grids_and_empty_dimensions_keep_every_number(tiny: dict[str, Any]) -> None:
    shell = {"type": "multi_spherical_shell", "dim": 3, "empty_dim": 3, "reshape_to_grid": [2, 3]}
    ended, _ = outcome(spec(tiny, distrib1={**shell, "radius": 0}, distrib2={**shell, "radius": 1}))
    assert ended.status == "completed"
    assert ended.model[1].in_features == 6  # type: ignore[index]


def test_a_run_that_explodes_ends_as_diverged(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"]["linear"] = {"type": "standard"}
    ended, curve = outcome(spec(tiny, optim={"type": "sgd", "lr": 1000.0}, steps=200))
    assert ended.status == "diverged"
    assert set(ended.metrics) == {"train_seconds", "steps_per_second", "peak_memory"}
    assert all(math.isfinite(point["train_dual"]) for _, point in curve)


def test_gradients_are_clipped(tiny: dict[str, Any]) -> None:
    """A first SGD step moves the weights by lr times the clipped norm."""
    torch.manual_seed(0)
    for max_grad_norm in (1e-3, 1e-2):
        optim = {"type": "sgd", "lr": 1.0, "momentum": 0.0, "max_grad_norm": max_grad_norm}
        moved, _ = outcome(spec(tiny, optim=optim, steps=1))
        start, _ = outcome(spec(tiny, optim={**optim, "lr": 1e-12}, steps=1))
        pairs = zip(moved.model.parameters(), start.model.parameters(), strict=True)
        change = torch.sqrt(sum((a - b).square().sum() for a, b in pairs)).item()
        assert change == pytest.approx(max_grad_norm, rel=1e-3)


def test_both_samples_share_one_effective_weight_per_step(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    original = BjorckLinear.map_weight

    def counted(self: BjorckLinear, weight: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += self.training
        return original(self, weight)

    monkeypatch.setattr(BjorckLinear, "map_weight", counted)
    outcome(spec(tiny, steps=5))
    assert calls == 5 * 2  # two layers


FULLY_CONV = {
    "type": "fully_conv",
    "channels": [8, 4, 1],
    "kernels": [3, 3, 1],
    "strides": [1, 2, 1],
    "activation": "maxmin",
    "conv": {"type": "bjorck_conv2d", "bjorck_iter": 5},
}


@pytest.mark.parametrize("model", [FULLY_CONV, {"type": "resnet32", "output_dim": 1}])
def test_no_critic_of_images_exceeds_the_exact_value(
    tiny: dict[str, Any], model: dict[str, Any]
) -> None:
    images = {**DIGITS, "flatten": False}
    changes = {
        "distrib1": {**images, "classes": [3]},
        "distrib2": {**images, "classes": [8]},
        "optim": {"type": "adam", "lr": 0.003},
        "model": model,
    }
    steps = 60 if model == FULLY_CONV else 3
    ended, _ = outcome(spec(tiny, **changes, steps=steps, batch_size=16, test_sample_size=1000))
    metrics = ended.metrics
    assert ended.status == "completed"
    assert metrics["wasserstein_exact"] > 1
    assert metrics["wasserstein_estimate"] <= metrics["wasserstein_exact"]
    if model == FULLY_CONV:
        assert metrics["wasserstein_estimate"] > 0.1
        # Convolutions of constant 1, and the mean over 2 × 2 pixels.
        assert metrics["lipschitz_upper_bound"] <= 0.5 * 1.001


@pytest.mark.parametrize("conv", ["bjorck_conv2d", "bcop_conv2d", "standard_conv2d"])
def test_convolutions_are_critics_of_grids(tiny: dict[str, Any], conv: str) -> None:
    """Of spheres whose distance is known, and whose optimal critics' gradients are."""
    shell = {"type": "multi_spherical_shell", "dim": 15, "empty_dim": 1, "reshape_to_grid": [4, 4]}
    changes = {
        "distrib1": {**shell, "radius": 0},
        "distrib2": {**shell, "radius": 1},
        "optim": {"type": "adam", "lr": 0.01},
        "model": {**FULLY_CONV, "kernels": [3, 2, 1], "strides": [1, 1, 1], "conv": {"type": conv}},
    }
    ended, _ = outcome(spec(tiny, **changes, steps=40, batch_size=32, test_sample_size=500))
    metrics = ended.metrics
    assert ended.status == "completed"
    assert metrics["wasserstein_exact"] == 1
    assert 0.05 < metrics["wasserstein_estimate"] <= metrics["wasserstein_exact_sample"]
    assert metrics["gradient_cosine"] > 0.1


def test_weights_stay_where_a_projection_puts_them(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"]["linear"] = {"type": "standard"}
    optim = {"type": "sgd", "lr": 1.0}
    free = outcome(spec(tiny, optim=optim, steps=10))[0].model
    projection = {"type": "l_inf_projected"}
    kept = outcome(spec(tiny, optim=optim, steps=10, per_update_proj=projection))[0].model
    assert _largest_row(free) > 1.1
    assert _largest_row(kept) <= 1 + 1e-6


def _largest_row(model: nn.Module) -> float:
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    return max(weight.abs().sum(dim=1).max().item() for weight in weights)


@pytest.mark.parametrize("reset", [False, True])
def test_projections_happen_before_every_nth_epoch_but_the_first(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    seen: list[tuple[bool, bool]] = []
    original = torch.optim.SGD.step

    def spied(self: torch.optim.SGD, closure: None = None) -> None:
        # A row of four weights of one input, their biases, and one weight of four inputs.
        numbers = self.param_groups[0]["params"][0][0].abs()
        sums = torch.cat((numbers[:4], numbers[8:12].sum(dim=0, keepdim=True)))
        seen.append((torch.allclose(sums, torch.ones(5)), not self.state))
        original(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    tiny["experiment"]["model"]["linear"] = {"type": "standard"}
    projection = {
        "type": "l_inf_scaled",
        "scale_all": True,
        "every_n_epochs": 2,
        "reset_optimizer": reset,
    }
    outcome(spec(tiny, steps=10, epoch_steps=2, per_epoch_proj=projection))
    assert [i for i, (projected, _) in enumerate(seen, 1) if projected] == [5, 9]
    empty = [i for i, (_, empty) in enumerate(seen, 1) if empty]
    assert empty == ([1, 5, 9] if reset else [1])


def test_the_funnels_are_found(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"] |= {"layers": [32, 32, 1], "linear": {"type": "orthogonal"}}
    common = {"optim": {"type": "adam", "lr": 0.01}, "steps": 300, "batch_size": 128}
    source, target = (_funnels(side, dim=4, num_funnels=2) for side in ("source", "target"))
    for pair in ((source, target), (target, source)):
        changes = {"distrib1": pair[0], "distrib2": pair[1], "test_sample_size": 1000}
        metrics = outcome(spec(tiny, **common, **changes))[0].metrics
        assert metrics["tightness"] > 0.8
        assert metrics["gradient_cosine"] > 0.8
        assert metrics["orthonormality_error"] < 1e-5
        # Of 1,000 samples: the estimate's standard error is 0.04.
        assert metrics["wasserstein_estimate"] < metrics["wasserstein_exact"] + 0.15
        assert metrics["wasserstein_estimate"] <= metrics["wasserstein_exact_sample"]
        assert 0 < metrics["wasserstein_lower_bound"] < metrics["wasserstein_exact"]


def test_normal_samples_are_bounded_although_they_have_no_diameter(tiny: dict[str, Any]) -> None:
    gaussian = {"type": "gaussian", "dim": 3}
    both = {"distrib1": {**gaussian, "mean": [2.0, 0.0, 0.0]}, "distrib2": gaussian}
    optim = {"type": "adam", "lr": 0.03}
    ended, _ = outcome(
        spec(tiny, **both, optim=optim, steps=200, batch_size=64, test_sample_size=1000)
    )
    metrics = ended.metrics
    assert metrics["wasserstein_exact"] == 2
    assert 1.8 < metrics["wasserstein_lower_bound"] < 2
    assert metrics["gradient_cosine"] > 0.98
    assert metrics["gradient_error"] < 0.05


def test_points_of_a_file_are_compared(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNETS_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", 0.5)):
        np.save(tmp_path / f"{name}.npy", rng.uniform(0, 0.5, size=(400, 2)) + shift)
    first, second = (
        {"type": "point_cloud", "path": f"{name}.npy", "dim": 2, "support": [0.0, 1.0]}
        for name in "ab"
    )
    common = {"optim": {"type": "adam", "lr": 0.03}, "steps": 100, "batch_size": 32}
    metrics = outcome(spec(tiny, **common, distrib1=first, distrib2=second))[0].metrics
    assert metrics["wasserstein_estimate"] > 0.4
    assert metrics["wasserstein_estimate"] <= metrics["wasserstein_exact_sample"]
    del first["support"]
    unknown = outcome(spec(tiny, **common, distrib1=first, distrib2=second))[0].metrics
    assert "wasserstein_lower_bound" in metrics
    assert set(metrics) - set(unknown) == {"wasserstein_lower_bound"}
    experiment = spec(tiny, distrib1=first, distrib2=second)
    np.save(tmp_path / "a.npy", np.zeros((9, 2)))
    with pytest.raises(DataError, match="has changed since"):
        outcome(experiment)


def test_an_exact_distance_that_does_not_fit_is_refused_before_training(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnets.functional.transport.free_memory", lambda: 48 * 50**2)
    monkeypatch.setattr("lnets.tasks.wasserstein._Run.train", None)
    with pytest.raises(MemoryError, match="at most 50 of each"):
        outcome(spec(tiny, test_sample_size=51))
    images = {"distrib1": {**DIGITS, "classes": [3]}, "distrib2": {**DIGITS, "classes": [8]}}
    with pytest.raises(MemoryError, match=r"of 8\d and 8\d points .* at most 50 of each"):
        outcome(spec(tiny, **images, test_sample_size=10_000))
    monkeypatch.undo()
    ended, _ = outcome(spec(tiny, test_sample_size=51, exact_points=50))
    assert "wasserstein_exact_sample" not in ended.metrics
    assert ended.metrics["wasserstein_exact"] == 1


def test_what_is_held_out_needs_no_memory_for_more(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand points are asked for, of which there are ninety."""
    monkeypatch.setattr("lnets.functional.transport.free_memory", lambda: 48 * 100**2)
    images = {"distrib1": {**DIGITS, "classes": [3]}, "distrib2": {**DIGITS, "classes": [8]}}
    ended, _ = outcome(spec(tiny, **images, test_sample_size=1000, steps=1))
    assert ended.metrics["wasserstein_exact_sample"] > 1


@pytest.mark.gpu
def test_a_gpu_gives_a_bound_too(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"]["layers"] = [16, 16, 1]
    experiment = spec(
        tiny, optim={"type": "adam", "lr": 0.01}, steps=300, batch_size=32, test_sample_size=500
    )
    (ended,) = run_trials(
        [experiment], [0], device="cuda", threads=1, report=lambda trial, step, metrics: None
    )
    assert ended.status == "completed"
    assert 0.9 < ended.metrics["tightness"] <= 1


LINEAR = [
    {"type": "orthogonal"},
    {"type": "orthogonal", "mode": "forward"},
    {"type": "orthogonal", "mode": "rotate"},
    {"type": "bjorck", "bjorck_iter": 3},
    {"type": "l_inf_projected"},
    {"type": "spectral_normal"},
    {"type": "standard"},
]


def together(experiments: list[WassersteinSpec], seeds: list[int]) -> tuple[list[Outcome], Any]:
    curves: list[Any] = [[] for _ in seeds]
    ended = run_trials(
        experiments,
        seeds,
        device="cpu",
        threads=1,
        report=lambda trial, step, metrics: curves[trial].append((step, metrics["train_dual"])),
    )
    return ended, curves


@pytest.mark.parametrize("linear", LINEAR, ids=str)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "aggmo"])
def test_a_trial_trained_with_others_has_the_numbers_it_has_alone(
    tiny: dict[str, Any], linear: dict[str, Any], optimizer: str
) -> None:
    """Batched products sum in another order; in 30 steps that grows to 1e-4 at most."""
    tiny["experiment"]["model"] |= {"layers": [8, 8, 1], "linear": linear}
    tiny["experiment"] |= {"steps": 30, "batch_size": 8, "log_every": 7}
    optims = [{"lr": 1e-3}, {"lr": 3e-3, "weight_decay": 0.1}, {"lr": 3e-3, "max_grad_norm": 0.1}]
    experiments = [
        spec(tiny, optim={"type": optimizer, **optim}, per_update_proj=None) for optim in optims
    ]
    ended, curves = together(experiments, [3, 4, 5])
    for experiment, seed, one, curve in zip(experiments, (3, 4, 5), ended, curves, strict=True):
        alone, expected = outcome(experiment, seed)
        assert [step for step, _ in curve] == [7, 14, 21, 28, 30]
        assert [v for _, v in curve] == pytest.approx(
            [m["train_dual"] for _, m in expected], abs=1e-4
        )
        assert without_times(one.metrics) == pytest.approx(without_times(alone.metrics), abs=1e-3)


def test_one_that_diverges_disturbs_no_other(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"] |= {"layers": [8, 1], "linear": {"type": "standard"}}
    tiny["experiment"] |= {"steps": 20, "log_every": 5}
    good = spec(tiny, optim={"type": "sgd", "lr": 0.01})
    bad = spec(tiny, optim={"type": "sgd", "lr": 1e3})
    ended, curves = together([good, bad, good], [0, 1, 2])
    assert [one.status for one in ended] == ["completed", "diverged", "completed"]
    assert len(curves[1]) < len(curves[0]) == 4
    expected, _ = together([good, good], [0, 2])
    for i, j in ((0, 0), (2, 1)):
        assert without_times(ended[i].metrics) == pytest.approx(
            without_times(expected[j].metrics), abs=1e-5
        )
    assert set(ended[1].metrics) == {"train_seconds", "steps_per_second", "peak_memory"}
    ended, _ = together([bad, bad], [0, 1])
    assert [one.status for one in ended] == ["diverged", "diverged"]


@pytest.mark.parametrize("linear", LINEAR[:4], ids=str)
def test_weight_decay_leaves_orthonormal_weights_as_they_are(
    tiny: dict[str, Any], linear: dict[str, Any]
) -> None:
    tiny["experiment"]["model"] |= {"layers": [8, 8, 1], "linear": linear}
    decayed = spec(tiny, optim={"type": "adam", "lr": 0.01, "weight_decay": 10.0}, steps=50)
    metrics = outcome(decayed)[0].metrics
    assert 0.99 < metrics["lipschitz_upper_bound"] <= 1 + 1e-9


def test_bf16_shortens_training_and_no_bound(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the processor lacks, torch emulates: slowly, but that is enough here.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    tiny["experiment"]["model"] |= {"layers": [16, 16, 1], "linear": LINEAR[0]}
    common = {"optim": {"type": "adam", "lr": 0.01}, "steps": 100, "batch_size": 32}
    short, full = (
        outcome(spec(tiny, **common, precision=precision))[0] for precision in ("bf16", "float32")
    )
    assert 0.99 < short.metrics["lipschitz_upper_bound"] <= 1 + 1e-9
    assert short.metrics["tightness"] == pytest.approx(full.metrics["tightness"], abs=0.05)
    states = [one.model.state_dict() for one in (short, full)]
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(tensor.dtype == torch.float32 for tensor in states[0].values())


@pytest.mark.slow
def test_compiled_networks_train_to_the_same_numbers(tiny: dict[str, Any]) -> None:
    # Compiled layers use an orthonormal weight where others bear its drift.
    linear = {"type": "orthogonal", "drift": 0.0}
    tiny["experiment"]["model"] |= {"layers": [8, 8, 1], "linear": linear}
    experiment = spec(tiny, steps=20).model_dump_json()
    # In a process of its own, since the checks of annotations cannot be traced.
    command = [sys.executable, "-m", "tests.tasks.compiled", experiment]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    for one, other in json.loads(done.stdout.splitlines()[-1]):
        # Roundings of 20 steps, in another order.
        assert one == pytest.approx(other, abs=1e-4)
