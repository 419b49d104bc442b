"""Configurations of attacks become experiments on trained classifiers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lnets.errors import SpecError
from lnets.legacy.experiment import import_file
from lnets.specs.classification import ClassificationSpec
from lnets.specs.robustness import RobustnessSpec
from lnets.sweep.local import run_here
from tests.legacy.configurations import (
    ATTACKS,
    file,
)

Write = Callable[..., Path]


@pytest.fixture
def classifier(write: Write) -> Path:
    """A configuration that is trained in three steps."""
    data = json.loads(file("fc_classification").read_text())
    data["optim"]["epochs"], data["data"]["train_size"] = 3, 0.5
    data["model"]["layers"] = [16, 16, 16, 10]
    return write(json.dumps(data), "classifier.json")


@pytest.mark.slow
@pytest.mark.usefixtures("_tiny_mnist", "_quick")
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_made(name: str, classifier: Path, tmp_path: Path) -> None:
    overrides = [f"pretrained_path={classifier}"]
    overrides += ["num_examples=3"] if name != "check_adv_gradients" else []
    sweep = import_file(file(name), overrides).sweep()
    spec = sweep.experiment
    assert isinstance(spec, RobustnessSpec)
    attacks = tuple(
        attack.model_copy(update={"steps": 5} if hasattr(attack, "steps") else {})
        for attack in spec.attacks
    )
    spec = spec.model_copy(update={"attacks": attacks})
    result = run_here(sweep.model_copy(update={"experiment": spec}), tmp_path / "store")
    assert result["status"] == "completed", result["error"]
    assert 0 <= result["metrics"]["clean_accuracy"] <= 1
    if name == "check_adv_gradients":
        folder = tmp_path / "store" / "artifacts" / result["trial_key"]
        assert (folder / "input_gradients.npz").exists()


class TestAttacks:
    @pytest.mark.parametrize(
        ("name", "attack", "norm", "images"),
        [
            ("CWAttack", "carlini_wagner", "l2", 100),
            ("boundary_attack", "boundary", "l2", 40),
            ("fast_gradient_sign", "fgsm", "linf", 500),
            ("projected_gradient_descent", "pgd", "linf", 500),
        ],
    )
    def test_which_they_are(self, name: str, attack: str, norm: str, images: int) -> None:
        spec = import_file(file(name)).main.experiment
        assert isinstance(spec, RobustnessSpec)
        found = (spec.attacks[0].type, spec.norm, spec.max_images)
        assert found == (attack, norm, images)

    def test_their_options(self) -> None:
        overrides = ["attack_kwargs.stepsize=0.02"]
        spec = import_file(file("projected_gradient_descent"), overrides).main.experiment
        assert isinstance(spec, RobustnessSpec)
        assert spec.attacks[0].model_dump() == {
            "type": "pgd",
            "steps": 20,
            "step_size": 0.02,
            "step_rule": "gradient",
            "restarts": 1,
            "random_start": True,
        }
        signs = import_file(file("fast_gradient_sign")).main.experiment
        assert isinstance(signs, RobustnessSpec)
        assert signs.epsilons == tuple(round(0.02 * i, 12) for i in range(1, 51))

    def test_the_classifier_may_be_named(self, classifier: Path, tmp_path: Path) -> None:
        name, key = file("boundary_attack"), "ab" * 32
        by_key = import_file(name, [f"pretrained_path={key}"])
        assert by_key.needs == {}
        assert isinstance(by_key.main.experiment, RobustnessSpec)
        assert by_key.main.experiment.classifier == key
        run = tmp_path / "run" / "logs"
        run.mkdir(parents=True)
        (run / "config.json").write_text(classifier.read_text())
        for named in (classifier, run.parent):
            needs = import_file(name, [f"pretrained_path={named}"]).needs
            spec = needs["classifier"].experiment
            assert isinstance(spec, ClassificationSpec)
            assert spec.epochs == 3

    def test_training_against_them(self) -> None:
        imported = import_file(file("fc_classification"), adversarial=True)
        spec = imported.main.experiment
        assert isinstance(spec, ClassificationSpec)
        assert spec.adversarial is not None
        assert (spec.adversarial.epsilon, spec.adversarial.steps) == (0.3, 40)
        assert spec.selection is not None
        assert spec.selection.metric == "validation_adversarial_accuracy"
        with pytest.raises(SpecError, match="--pgd is for configurations of classifiers"):
            import_file(file("train_GAN"), adversarial=True)
