"""Weights are kept by validation images, never by test images."""

from typing import Any

import pytest
import torch

from lnets.data.images import ImageData, ImageSplits
from lnets.tasks import classification
from tests.tasks.digits import FEW, figures, outcome, spec, weights

pytestmark = pytest.mark.usefixtures("_quick")


def test_validation_images_alone_say_which_weights_are_kept() -> None:
    ended, curve = outcome(spec(epochs=8, data=FEW, selection={}, optim={"lr": 0.3}))
    accuracies = figures(curve, "validation_accuracy")
    best = max(accuracies)
    assert accuracies[-1] < best, "the last epoch must not be the best in this test"
    assert ended.metrics["validation_accuracy"] == best
    assert ended.metrics["epoch"] == 1 + accuracies.index(best)
    last, _ = outcome(spec(epochs=8, data=FEW, optim={"lr": 0.3}))
    assert last.metrics["epoch"] == 8
    assert last.metrics["validation_accuracy"] == accuracies[-1]


@pytest.mark.parametrize("metric", ["validation_loss", "validation_certified_accuracy"])
def test_the_figure_of_choice_is_the_best_of_all_epochs(metric: str) -> None:
    loss = {"type": "hinge_kr"}
    experiment = spec(
        epochs=6, data=FEW, selection={"metric": metric}, optim={"lr": 0.1}, loss=loss
    )
    ended, curve = outcome(experiment)
    best = {"validation_loss": min, "validation_certified_accuracy": max}[metric]
    assert ended.metrics[metric] == best(figures(curve, metric))
    assert len(set(figures(curve, metric))) > 1


def test_test_images_have_no_say_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = spec(epochs=3, data=FEW, selection={"patience": 1}, optim={"lr": 0.1})
    expected, curve = outcome(experiment)
    build = classification.build_data

    def shuffled(*arguments: Any) -> ImageSplits:
        data = build(*arguments)
        test = ImageData("other", data.test.images.flip(0), data.test.labels, 10)
        return ImageSplits(data.train, data.validation, test, data.augmentation)

    monkeypatch.setattr(classification, "build_data", shuffled)
    found, again = outcome(experiment)
    assert curve == again
    assert all(torch.equal(a, b) for a, b in zip(weights(expected), weights(found), strict=True))
    assert found.metrics["clean_accuracy"] < expected.metrics["clean_accuracy"]


def test_patience_ends_a_training_that_gets_no_better() -> None:
    """Steps so small that no prediction changes."""
    common: dict[str, Any] = {"epochs": 9, "data": FEW, "optim": {"type": "sgd", "lr": 1e-9}}
    ended, curve = outcome(spec(**common, selection={"patience": 2}))
    assert len(figures(curve, "validation_accuracy")) == 3
    assert ended.metrics["epoch"] == 1
    _, curve = outcome(spec(**common, selection={}))
    assert len(figures(curve, "validation_accuracy")) == 9
