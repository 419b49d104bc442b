"""Training on attacked images, alone and together, and what it does to nothing else."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from lnets.build import build_data
from lnets.data.images import ImageData
from lnets.functional.margins import margins
from lnets.nn import (
    BjorckLinear,
    FullyConnected,
    GroupSort,
    OrthogonalLinear,
    RotatedLinear,
    as_constant,
)
from lnets.specs.attacks import AdversarialSpec
from lnets.tasks.adversarial import TrainingAttack
from tests.tasks.digits import FEW, equal, figures, outcome, spec
from tests.tasks.test_classification import together

pytestmark = pytest.mark.usefixtures("_quick")
STANDARD = {"model": {"linear": {"type": "standard"}}, "loss": {"type": "cross_entropy"}}
ATTACK = {"norm": "linf", "epsilon": 0.15, "steps": 4}
ADVERSARIAL = "validation_adversarial_accuracy"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_makes_a_network_robust(norm: str) -> None:
    attack = {"norm": norm, "epsilon": {"l2": 0.8, "linf": 0.15}[norm], "steps": 4}
    trained, curve = outcome(spec(**STANDARD, adversarial=attack, epochs=6))
    free, _ = outcome(spec(**STANDARD, epochs=6))
    judge = TrainingAttack(AdversarialSpec.model_validate(attack), 1.0)
    images = build_data(spec().data, torch.device("cpu")).validation
    accuracies = [judge.accuracy(one.model.eval(), images) for one in (trained, free)]
    assert accuracies[0] > accuracies[1] + 0.2
    assert trained.metrics[ADVERSARIAL] == accuracies[0] == figures(curve, ADVERSARIAL)[-1]
    assert len(figures(curve, ADVERSARIAL)) == len(figures(curve, "validation_accuracy")) == 6
    assert trained.metrics[ADVERSARIAL] < trained.metrics["validation_accuracy"]
    assert ADVERSARIAL not in free.metrics


def test_the_same_seed_gives_the_same_numbers_and_another_does_not() -> None:
    first, again, third = (
        outcome(spec(**STANDARD, adversarial=ATTACK, data=FEW), seed)[0] for seed in (0, 0, 1)
    )
    assert equal(first, again)
    assert not equal(first, third)


@pytest.mark.parametrize("linear", ["orthogonal", "bjorck", "standard", "spectral_normal"])
def test_trials_trained_together_have_the_numbers_that_they_have_alone(linear: str) -> None:
    common: dict[str, Any] = {"model": {"linear": {"type": linear}}, "data": FEW, "epochs": 3}
    common |= {"adversarial": {**ATTACK, "norm": "l2"}, "selection": {"metric": ADVERSARIAL}}
    experiments = [spec(**common, optim={"lr": lr}) for lr in (0.01, 0.003)]
    ended, curves = together(experiments, [3, 4])
    for experiment, seed, one, curve in zip(experiments, (3, 4), ended, curves, strict=True):
        alone, expected = outcome(experiment, seed)
        assert figures(curve, "train_loss") == pytest.approx(
            figures(expected, "train_loss"), abs=1e-3
        )
        assert one.metrics[ADVERSARIAL] == pytest.approx(alone.metrics[ADVERSARIAL], abs=0.015)


def test_large_logits_are_attacked_too() -> None:
    """A network designed for a constant of 1,000 has no gradient of its cross entropy otherwise."""
    changes = {
        "model": {"linear": {"type": "standard"}, "l_constant": 1000.0},
        "per_update_proj": {"type": "l_inf_projected"},
        "loss": {"type": "multi_margin", "margin": 0.3},
        "certificate": {"norm": "linf", "epsilons": [0.1]},
        "optim": {"type": "aggmo", "lr": 0.003},
    }
    metrics = outcome(spec(**changes, adversarial=ATTACK))[0].metrics
    assert metrics[ADVERSARIAL] < metrics["validation_accuracy"] - 0.1


def test_an_image_that_was_wrong_does_not_stay_right() -> None:
    """Also where an attack happens to correct it."""
    attack = TrainingAttack(
        AdversarialSpec(norm="linf", epsilon=0.02, steps=1, step_size=0.001), 1.0
    )
    for seed in range(5):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3)).eval()
        images, labels = torch.rand(900, 1, 4, 4), torch.randint(3, (900,))
        wrong = margins(model(images), labels) <= 0
        assert attack.accuracy(model, ImageData("some", images[wrong], labels[wrong], 3)) == 0


class Network(nn.Sequential):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            BjorckLinear(6, 6, bjorck_iter=3), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 2)
        )


def test_a_constant_network_is_left_as_it_was() -> None:
    model, x = Network(), torch.randn(5, 6, requires_grad=True)
    before = copy.deepcopy(model.state_dict())
    calls = []
    layer = model[0]
    layer.map_weight = lambda weight: calls.append(1) or weight.detach() * 2  # type: ignore[method-assign]
    with as_constant(model):
        first, again = model(x), model(x)
        (gradient,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(first, again)
    assert gradient.any()
    assert len(calls) == 1
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert layer._constant is None
    with pytest.raises(InterruptedError), as_constant(model):
        raise InterruptedError
    assert model[2].training
    assert layer._constant is None


@pytest.mark.parametrize("linear", [BjorckLinear, OrthogonalLinear, RotatedLinear, nn.Linear])
def test_a_constant_network_has_the_outputs_of_training(linear: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = FullyConnected(8, [8, 4], linear=linear, activation=lambda _: GroupSort(2)).train()
    x = torch.randn(3, 8)
    expected = model(x)
    with as_constant(model):
        torch.testing.assert_close(model(x), expected)
