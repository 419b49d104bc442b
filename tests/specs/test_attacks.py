"""What attacks cannot be is found when a spec is read, with the rule and the remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from lnets.errors import SpecError
from lnets.specs.attacks import ATTACK_TYPES, AttackSpec
from lnets.specs.experiments import EXPERIMENT
from lnets.specs.identity import fusion_key, trial_key
from lnets.specs.load import load_sweep
from lnets.specs.metrics import find_metric
from lnets.specs.overrides import apply_overrides
from lnets.specs.robustness import RobustnessSpec
from lnets.specs.sweep import SweepSpec
from lnets.specs.wording import worded
from lnets.sweep.plan import make_plan
from tests.conftest import CLASSIFIER, TINY
from tests.specs.test_classification import mistakes as mistakes_of_training
from tests.specs.test_classification import read

ROBUSTNESS: dict[str, Any] = {
    "task": "robustness",
    "classifier": "a" * 64,
    "norm": "linf",
    "epsilons": ["8/255", 0.5],
}


def robustness(**changes: Any) -> RobustnessSpec:
    return RobustnessSpec.model_validate_json(json.dumps({**ROBUSTNESS, **changes}))


def mistakes(**changes: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        robustness(**changes)
    return [
        f"{'.'.join(map(str, path))}: {message}"
        for _, path, message in worded(caught.value, RobustnessSpec, {**ROBUSTNESS, **changes})
    ]


@pytest.mark.parametrize(
    ("changes", "path", "parts"),
    [
        ({"epsilons": [0.1, 1.5]}, "epsilons.1",
         ["at most 1 in linf, because pixels are in [0, 1], got 1.5"]),
        ({"epsilons": ["300/255"]}, "epsilons.0", ["at most 1", "got 300/255"]),
        ({"epsilons": [-0.1]}, "epsilons.0", ["greater than 0"]),
        ({"epsilons": [0.2, 0.1]}, "epsilons", ["must rise"]),
        ({"epsilons": []}, "epsilons", []),
        ({"attacks": []}, "attacks", []),
        ({"attacks": [{"type": "pgd"}, {"type": "fgsm"}, {"type": "pgd", "steps": 3}]},
         "attacks.2", ["must differ in type, got pgd again", "search `attacks`"]),
        *(({"attacks": [{"type": kind}]}, "attacks.0.type",
           ["must be an attack in linf", f"got {kind}, which is one in l2 only"])
          for kind in ("carlini_wagner", "boundary")),
        ({"attacks": [{"type": "pdg"}]}, "attacks.0.type", ["pdg", "did you mean `pgd`?"]),
        ({"attacks": [{"type": "pgd", "restarts": 3, "random_start": False}]},
         "attacks.0.restarts", ["must be 1 without random_start"]),
        ({"attacks": [{"type": "pgd", "steps": 0}]}, "attacks.0.steps", ["1"]),
        ({"attacks": [{"type": "deepfool", "candidates": 1}]}, "attacks.0.candidates", ["2"]),
        ({"max_images": 0}, "max_images", ["1"]),
        ({"norm": "l1"}, "norm", ["l2", "linf"]),
        ({"classifier": "Newest"}, "classifier", ["must be a trial's key", 'got "Newest"']),
        ({"classifier": {"sweep": "trained"}}, "classifier", ["are taken under `search`"]),
        ({"optim": {"type": "sgd", "lr": 0.1}}, "optim", ["not a known field"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_is(
    changes: dict[str, Any], path: str, parts: list[str]
) -> None:
    (message,) = mistakes(**changes)
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("changes", "path", "parts"),
    [
        ({"evaluation": {"epsilons": [0.5], "attacks": [{"type": "pgd"}, {"type": "boundary"}]},
          "certificate": {"norm": "linf"}, "model": {"linear": {"type": "standard"}}},
         "evaluation.attacks.1.type", ["must be an attack in linf"]),
        ({"adversarial": {"epsilon": 1.2}}, "adversarial.epsilon", ["at most 1 in linf"]),
        ({"adversarial": {"epsilon": 36, "norm": "l2"}}, "adversarial.epsilon",
         ["at most 8 in l2", "images of 64 numbers, got 36", "36/255"]),
        ({"evaluation": {"epsilons": [1, 36]}}, "evaluation.epsilons.1", ["at most 8 in l2"]),
        ({"certificate": {"epsilons": [8, "2295/255"]}}, "certificate.epsilons.1",
         ["at most 8 in l2", "got 2295/255"]),
        ({"adversarial": {"epsilon": 0.1, "steps": 0}}, "adversarial.steps", ["1"]),
        ({"adversarial": {"epsilon": 0.1, "attack": "fgsm"}}, "adversarial.attack", ["pgd"]),
        ({"selection": {"metric": "validation_adversarial_accuracy"}}, "selection.metric",
         ["needs adversarial training", "add `adversarial"]),
    ],
)  # fmt: skip
def test_a_mistake_of_training_is_named_where_it_is(
    changes: dict[str, Any], path: str, parts: list[str]
) -> None:
    (message,) = mistakes_of_training(**changes)
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message


def test_perturbations_of_a_classifier_are_no_larger_than_its_images() -> None:
    spec = robustness(norm="l2", epsilons=[1, 36])
    reason = spec.why_not_from("classifier", read())
    assert reason is not None
    assert reason.startswith("epsilons.1 must be at most 8 in l2")
    assert robustness(norm="l2", epsilons=[1, 8]).why_not_from("classifier", read()) is None


def test_perturbations_in_l2_may_be_larger_than_a_pixel() -> None:
    assert read(adversarial={"epsilon": 1.58, "norm": "l2"}).adversarial is not None
    assert read(evaluation={"epsilons": [1.58, 3.0]}).evaluation is not None


def test_every_type_of_attack_has_a_name_of_its_own() -> None:
    assert len(set(ATTACK_TYPES)) == 7
    adapter: TypeAdapter[AttackSpec] = TypeAdapter(AttackSpec)
    for kind in ATTACK_TYPES:
        assert adapter.validate_python({"type": kind}).type == kind


def test_metrics_are_known_by_their_names() -> None:
    every = {"epsilons": ["8/255"], "attacks": [{"type": kind} for kind in ATTACK_TYPES]}
    trained = read(evaluation=every, certificate={"epsilons": [0.25]})
    for spec in (trained, robustness(attacks=[{"type": "hop_skip_jump"}])):
        assert all(find_metric(name) == metric for name, metric in spec.metrics.items())
        assert EXPERIMENT.validate_json(spec.model_dump_json()) == spec
    names = set(trained.metrics)
    assert {"certified_accuracy@0.25", "certified_accuracy@8/255"} <= names
    assert {"adversarial_accuracy@8/255", "carlini_wagner_median_distance"} <= names
    for unknown in ("pgd_accuracy", "pgd_luck@0.1", "a_b@1"):
        assert find_metric(unknown) is None


def test_only_classifiers_are_attacked() -> None:
    critic = EXPERIMENT.validate_json(json.dumps(TINY["experiment"]))
    assert "has no classifier" in str(robustness().why_not_from("classifier", critic))
    assert robustness().why_not_from("classifier", read()) is None


def test_trials_run_one_by_one() -> None:
    spec = robustness()
    assert spec.why_alone() is not None
    assert spec.why_not_shared(2) is not None
    assert fusion_key(spec) != fusion_key(robustness(epsilons=[0.1]))


def test_trials_of_another_sweep_stand_for_their_keys(
    write: Callable[..., Path], tiny: dict[str, Any]
) -> None:
    rates = {"optim.lr": [0.1, 0.2]}
    changes = {"experiment": CLASSIFIER, "seeds": [3, 5], "search": rates}
    inner = load_sweep(write({**tiny, **changes}, "inner.yaml"))
    outer = {"name": "outer", "experiment": {**ROBUSTNESS, "classifier": "any"}}
    sweep = load_sweep(write({**outer, "search": {"classifier": {"sweep": "inner.yaml"}}}))
    experiments = [apply_overrides(inner.experiment, {"optim.lr": lr}) for lr in (0.1, 0.2)]
    expected = [trial_key(each, seed) for seed in (3, 5) for each in experiments]
    assert sweep.search["classifier"] == tuple(expected)
    assert SweepSpec.model_validate_json(sweep.model_dump_json()) == sweep


def test_trials_that_need_others_stand_for_the_keys_that_they_run_under(
    write: Callable[..., Path], tiny: dict[str, Any]
) -> None:
    needs = {"first": {"experiment": CLASSIFIER}, "second": {"experiment": CLASSIFIER, "seed": 1}}
    search = {"init_from": ["first", "second"]}
    changes = {"experiment": {**CLASSIFIER, "epochs": 2}, "needs": needs, "search": search}
    inner = load_sweep(write({**tiny, **changes}, "inner.yaml"))
    outer = {"name": "outer", "experiment": {**ROBUSTNESS, "classifier": "any"}}
    sweep = load_sweep(write({**outer, "search": {"classifier": {"sweep": "inner.yaml"}}}))
    assert sweep.search["classifier"] == tuple(t.trial_key for t in make_plan(inner).trials)


@pytest.mark.parametrize(
    ("inner", "domain", "parts"),
    [
        (None, {"sweep": "inner.yaml"}, ["without mistakes", "no such file"]),
        ({"name": "a b"}, {"sweep": "inner.yaml"}, ["without mistakes", "name"]),
        ({}, {"sweep": "inner.yaml", "seed": 1}, ["not a known field"]),
        ({}, {"sweep": 3}, ["string"]),
        ({"algorithm": {"type": "random", "configurations": 1}}, {"sweep": "inner.yaml"},
         ["must be a grid", "got random"]),
        ({"experiment": {**CLASSIFIER, "epochs": 2}, "search": {"optim.lr": [0.1]},
          "scheduler": {"type": "asha", "grace": 0.5}}, {"sweep": "inner.yaml"},
         ["stops none of its trials", "asha"]),
        ({}, {"sweep": "spec.yaml"}, ["in a circle", "spec.yaml → spec.yaml"]),
    ],
)  # fmt: skip
def test_a_mistake_in_another_sweep_is_named_where_it_is_used(
    inner: dict[str, Any] | None,
    domain: dict[str, Any],
    parts: list[str],
    write: Callable[..., Path],
    tiny: dict[str, Any],
) -> None:
    if inner is not None:
        write({**tiny, **inner}, "inner.yaml")
    outer = {"name": "outer", "experiment": {**ROBUSTNESS, "classifier": "any"}}
    with pytest.raises(SpecError) as caught:
        load_sweep(write({**outer, "search": {"classifier": domain}}))
    (problem,) = caught.value.problems
    assert problem.path.startswith("search.classifier.s")
    for part in parts:
        assert part in problem.message


def test_another_sweep_is_read_from_files_only(tiny: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="read from files only"):
        SweepSpec.model_validate_json(json.dumps({**tiny, "search": {"steps": {"sweep": "a"}}}))
