"""Accuracies under attack: between what is certified and what is clean, and never by failures."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lnets.errors import TrialError
from lnets.specs.attacks import EvaluationSpec
from lnets.specs.epsilons import named_epsilons
from lnets.tasks.attacks import attack as attacks
from lnets.tasks.attacks.attack import Target
from lnets.tasks.attacks.evaluation import Judge, Robustness, evaluate_robustness
from lnets.tasks.files import NO_FILES, TrialFiles
from tests.tasks.attacks.linear import boundary, example
from tests.tasks.attacks.test_attack import QUICK, broken
from tests.tasks.digits import outcome, spec

pytestmark = pytest.mark.usefixtures("_quick")
L_INF = {
    "model": {"linear": {"type": "l_inf_projected"}},
    "loss": {"type": "multi_margin", "margin": 0.3},
    "certificate": {"norm": "linf", "epsilons": [0.02]},
}
L_INF_ATTACKS = ("fgsm", "pgd", "hop_skip_jump", "deepfool")
L2_ATTACKS = (*L_INF_ATTACKS, "carlini_wagner", "boundary")


def evaluation(*kinds: str, epsilons: Any = ("9/255", 0.1, 0.3), **more: Any) -> dict[str, Any]:
    chosen = [{"type": kind, **QUICK.get(kind, {})} for kind in kinds]
    return {"attacks": chosen, "epsilons": epsilons, "max_images": 40, **more}


def linear(
    attack: str, epsilons: list[float], radius: Tensor | None = None, **options: Any
) -> tuple[Robustness, Tensor]:
    model, images, labels = example()
    judge = Judge(model.double(), images, labels, torch.ones(12, dtype=torch.bool), radius)
    asked = evaluation(attack, epsilons=epsilons)
    asked["attacks"][0] |= options
    read = EvaluationSpec.model_validate_json(json.dumps(asked))
    found = evaluate_robustness(
        judge,
        Target(model, images, labels),
        read.attacks,
        norm="l2",
        epsilons=named_epsilons(read.epsilons),
        seed=0,
    )
    return found, boundary(*example(), "l2")


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, L2_ATTACKS),
        (L_INF, L_INF_ATTACKS),
        pytest.param(L_INF, ("autoattack",), marks=pytest.mark.slow),
    ],
    ids=["l2", "linf", "autoattack"],
)
def test_certified_is_below_adversarial_is_below_clean(
    changes: dict[str, Any], kinds: tuple[str, ...], tmp_path: Path
) -> None:
    experiment = spec(**changes, epochs=2, evaluation=evaluation(*kinds))
    files = TrialFiles(NO_FILES.weights, folders=[tmp_path])
    metrics = outcome(experiment, files=files)[0].metrics
    assert set(metrics) == set(experiment.metrics)
    assert all(map(math.isfinite, metrics.values()))
    above = metrics["clean_accuracy"]
    for epsilon in ("9/255", "0.1", "0.3"):
        worst = metrics[f"adversarial_accuracy@{epsilon}"]
        each = [metrics[f"{kind}_accuracy@{epsilon}"] for kind in kinds]
        assert metrics[f"certified_accuracy@{epsilon}"] <= worst <= min(each)
        assert max(each) <= metrics["clean_accuracy"]
        assert worst <= above
        above = worst
        for kind in kinds:
            kept, turned = (
                metrics[f"{kind}_{n}@{epsilon}"] for n in ("defense_rate", "success_rate")
            )
            assert kept + turned == pytest.approx(1)
            assert kept * metrics["clean_accuracy"] == pytest.approx(
                metrics[f"{kind}_accuracy@{epsilon}"]
            )
    assert metrics["adversarial_accuracy@0.3"] < metrics["clean_accuracy"]
    _files_are_as_documented(tmp_path, metrics, kinds)


def _files_are_as_documented(
    folder: Path, metrics: dict[str, float], kinds: tuple[str, ...]
) -> None:
    curves = np.load(folder / "robustness.npz", allow_pickle=False)
    assert curves["epsilon"].tolist() == [9 / 255, 0.1, 0.3]
    assert curves["certified_radius"].shape == (40,)
    assert float(curves["clean_accuracy"]) == metrics["clean_accuracy"]
    for i, epsilon in enumerate(("9/255", "0.1", "0.3")):
        for name in ("certified", "adversarial", *kinds):
            assert curves[f"{name}_accuracy"][i] == metrics[f"{name}_accuracy@{epsilon}"]
    assert all(curves[f"{kind}_distance"].shape == (40,) for kind in kinds)
    gallery = np.load(folder / "gallery.npz", allow_pickle=False)
    count = len(gallery["label"])
    assert 0 < count <= 10
    assert gallery["clean"].shape == gallery["adversarial"].shape == (count, 1, 8, 8)
    np.testing.assert_allclose(
        gallery["clean"] + gallery["perturbation"], gallery["adversarial"], atol=1e-6
    )
    assert (gallery["prediction"] == gallery["label"]).all()
    assert (gallery["adversarial_prediction"] != gallery["label"]).all()
    assert set(gallery["attack"].tolist()) <= set(kinds)
    gradients = np.load(folder / "input_gradients.npz", allow_pickle=False)
    assert gradients["gradient"].shape == (10, 10, 1, 8, 8)
    assert gradients["label"].tolist() == list(range(10))
    assert np.load(folder / "jacobians.npz")["singular_values"].shape == (40, 10)
    notes = json.loads((folder / "robustness.json").read_text())
    assert notes["why_not_certified"] is None
    assert notes["failures"] == {kind: {"9/255": 0, "0.1": 0, "0.3": 0} for kind in kinds}


def test_a_network_that_is_sure_of_itself_has_input_gradients_too(tmp_path: Path) -> None:
    """Also with its own class, where the softmax of logits this large is 1 in float32."""
    sure = {**L_INF, "model": {**L_INF["model"], "l_constant": 1e4}}
    experiment = spec(**sure, epochs=1, evaluation=evaluation("fgsm"))
    outcome(experiment, files=TrialFiles(NO_FILES.weights, folders=[tmp_path]))
    gradients = np.load(tmp_path / "input_gradients.npz")["gradient"]
    assert (np.abs(gradients).max(axis=(2, 3, 4)) > 0).all()


def test_queries_are_images_classified_per_image_attacked() -> None:
    """A gradient is one; what a smaller epsilon has turned is not attacked again."""
    metrics = linear("fgsm", [0.02, 0.05, 0.1])[0].metrics()
    stood = [1.0, metrics["fgsm_accuracy@0.02"], metrics["fgsm_accuracy@0.05"]]
    assert stood[0] > stood[1] > stood[2] > 0
    assert metrics["fgsm_queries"] == pytest.approx(sum(stood))
    assert metrics["attack_seconds"] == metrics["fgsm_seconds"] > 0


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_accuracy_is_that_of_the_boundary(attack: str) -> None:
    found, apart = linear(attack, [0.02, 0.05, 0.1])
    metrics = found.metrics()
    for epsilon in (0.02, 0.05, 0.1):
        expected = float((apart > epsilon).double().mean())
        assert metrics[f"{attack}_accuracy@{epsilon}"] == expected
        assert metrics[f"adversarial_accuracy@{epsilon}"] == expected


def test_distances_are_those_of_the_boundary() -> None:
    found, apart = linear("deepfool", [0.1])
    (attempt,) = found.attempts
    # Its overshoot is 2%, and a ten-thousandth on top.
    torch.testing.assert_close(attempt.distance, 1.02 * apart.double(), rtol=0.01, atol=2e-4)
    metrics = found.metrics()
    assert metrics["deepfool_median_distance"] in attempt.distance.tolist()
    assert (
        metrics["deepfool_lower_quartile_distance"]
        <= metrics["deepfool_median_distance"]
        <= metrics["deepfool_upper_quartile_distance"]
    )


@pytest.mark.parametrize("wrong", ["no number", "too far"])
def test_a_failed_attack_never_counts_as_robustness(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacks, "perturbed", broken(wrong))
    found, _ = linear("fgsm", [0.02, 0.05])
    assert {name for name in found.metrics() if "@" in name} == set()
    assert found.metrics()["fgsm_failures"] == 2
    assert found.worst() == {}


def test_what_another_attack_says_of_an_image_counts() -> None:
    found, apart = linear("pgd", [0.05])
    (attempt,) = found.attempts
    failing = type(attempt)(
        **{
            **vars(attempt),
            "kind": "fgsm",
            "standing": torch.ones_like(attempt.standing),
            "failed": torch.ones_like(attempt.failed),
        }
    )
    both = Robustness(found.norm, found.epsilons, found.judge, [attempt, failing])
    assert both.worst() == {"0.05": float((apart > 0.05).double().mean())}
    assert "fgsm_accuracy@0.05" not in both.metrics()
    assert "pgd_accuracy@0.05" in both.metrics()


@pytest.mark.parametrize(("attack", "options"), [("pgd", {}), ("deepfool", {"overshoot": 0.001})])
def test_a_broken_certificate_does_not_pass(attack: str, options: dict[str, Any]) -> None:
    """Whose radii are those of the boundary and two per cent more."""
    apart = boundary(*example(), "l2").double()
    linear(attack, [0.02, 0.05, 0.1, 0.2], radius=apart * 0.999)
    epsilons = sorted(float(1.01 * distance) for distance in apart)
    told = rf"{attack} has turned \d+ images? inside of certified radii: image \d+ of 12 by "
    with pytest.raises(TrialError, match=told):
        linear(attack, epsilons, radius=apart * 1.02, **options)


def test_an_attack_may_turn_an_image_far_inside_of_its_ball() -> None:
    """Of which the radius is no less broken for being smaller than epsilon."""
    apart = boundary(*example(), "l2").double()
    short = {"steps": 40, "step_size": 0.002, "random_start": False, "restarts": 1}
    with pytest.raises(TrialError, match="inside of certified radii"):
        linear("pgd", [0.5], radius=apart * 1.05, **short)


def test_a_classifier_that_is_always_wrong_is_not_attacked() -> None:
    model, images, labels = example()
    nothing = torch.zeros(12, dtype=torch.bool)
    judge = Judge(model.double(), images, 1 - labels, nothing, None)
    read = EvaluationSpec.model_validate_json(json.dumps(evaluation("pgd", "deepfool")))
    target = Target(model, images, 1 - labels)
    found = evaluate_robustness(
        judge, target, read.attacks, norm="l2", epsilons={"0.1": 0.1}, seed=0
    ).metrics()
    assert found["adversarial_accuracy@0.1"] == found["pgd_accuracy@0.1"] == 0
    assert found["pgd_queries"] == 0
    assert "pgd_success_rate@0.1" not in found
