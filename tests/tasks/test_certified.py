"""Nothing that is certified can be broken: attacks on every kind of network that is trained."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from lnets.build import build_data, build_loss
from lnets.data.images import ImageData
from lnets.functional.margins import certified_radius, margins
from lnets.nn import LeNet, LipschitzResNet, certify, evaluate_with_error
from lnets.nn.certificate import Norm
from lnets.specs.epsilons import epsilon_value
from lnets.tasks import certified
from lnets.tasks.attacks.pgd import strongest
from lnets.tasks.certified import certified_accuracy, certify_images, evaluate, validate
from tests.tasks.digits import FEW, outcome, spec

RESTARTS, STEPS = 4, 20
# Images that are attacked together: activations of more would not stay in the cache.
PART = 100
# Of which 1,000 are for testing.
IMAGES = {"dataset": "mnist_5k"}
# The certificate is of the network in float64. Its logits in float32 are off by less than 1e-5, so
# that a prediction may turn in float32 only where a thousandth of the radius is as small as that.
FLOAT32_RADIUS = 0.02
# Images are evaluated in chunks there, whose float64 sums are in another order.
CHUNKED = 1e-9
L_INF = {"norm": "linf", "epsilons": [0.01, 0.05, 0.1]}
NETWORKS: dict[str, dict[str, Any]] = {
    "orthogonal": {},
    "rotate": {"model": {"linear": {"type": "orthogonal", "mode": "rotate"}}},
    "bjorck, hinge_kr": {"model": {"linear": {"type": "bjorck", "bjorck_iter": 5}},
                         "loss": {"type": "hinge_kr"}},
    "spectral_normal, scaled": {"model": {"linear": {"type": "spectral_normal"},
                                          "l_constant": 3.0}},
    "parseval_l2": {"model": {"linear": {"type": "parseval_l2"}}},
    "standard, normalized": {"model": {"linear": {"type": "standard"}, "activation": "relu"},
                             "normalization": {"mean": [0.3], "std": [0.4]},
                             "loss": {"type": "cross_entropy"}},
    "l_inf": {"model": {"linear": {"type": "l_inf_projected"}}, "certificate": L_INF,
              "loss": {"type": "multi_margin", "margin": 0.2}},
    "l_inf, normalized": {"model": {"linear": {"type": "l_inf_projected"}}, "certificate": L_INF,
                          "normalization": {"mean": [0.3], "std": [0.4]}},
    "residual": {"model": {"type": "lipschitz_resnet", "output_dim": 10, "channels": [4, 4, 8],
                           "blocks": [1, 1, 1], "activation": "maxmin",
                           "conv": {"type": "bcop_conv2d", "bjorck_iter": 6},
                           "linear": {"type": "orthogonal"}}, "data": IMAGES | FEW},
    "l_inf updates, scaled": {"model": {"linear": {"type": "standard"}, "l_constant": 1000.0},
                              "per_update_proj": {"type": "l_inf_projected"},
                              "loss": {"type": "multi_margin", "margin": 0.2},
                              "certificate": L_INF},
    "finetuned": {"model": {"linear": {"type": "bjorck", "bjorck_iter": 2}},
                  "finetune": {"epochs": 1, "lr": 1e-3, "bjorck_iter": 15}},
    "lenet": {"model": {"type": "lenet", "output_dim": 10, "activation": "maxmin",
                        "conv": {"type": "bjorck_conv2d", "bjorck_iter": 5},
                        "linear": {"type": "bjorck", "bjorck_iter": 5}}, "data": IMAGES | FEW},
}  # fmt: skip


class Trained(NamedTuple):
    model: nn.Module
    metrics: dict[str, float]
    test: ImageData
    norm: Norm
    epsilons: dict[str, float]


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request: pytest.FixtureRequest) -> Trained:
    experiment = spec(**{"data": IMAGES, **NETWORKS[request.param]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certified, "_THROUGHPUT_SECONDS", 0.0)
        ended, _ = outcome(experiment)
    test = build_data(experiment.data, torch.device("cpu")).test
    epsilons = {str(e): epsilon_value(e) for e in experiment.certificate.epsilons}
    model = ended.model.eval().requires_grad_(False)
    return Trained(model, ended.metrics, test, experiment.certificate.norm, epsilons)


def radii(trained: Trained) -> Tensor:
    """Written out once more, beside `evaluate`."""
    exact = trained.model.double()
    bound = certify(exact, trained.test.images.shape[1:], norm=trained.norm).lipschitz_upper_bound
    assert bound == trained.metrics["lipschitz_upper_bound"]
    logits, error = evaluate_with_error(exact, trained.test.pixels(slice(None)).double())
    return certified_radius(margins(logits, trained.test.labels) - 2 * error, bound, trained.norm)


def attack(model: nn.Module, x: Tensor, labels: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """Where a search from many places inside the ball finds another class."""
    moved = strongest(
        model,
        x,
        labels,
        radius,
        norm=norm,
        steps=STEPS,
        # Convolutions take thirty times as long.
        restarts=2 if isinstance(model, (LeNet, LipschitzResNet)) else RESTARTS,
        generator=torch.Generator().manual_seed(0),
    )
    return margins(model(moved), labels) <= 0


def test_no_attack_inside_the_certified_radius_succeeds(trained: Trained) -> None:
    radius = radii(trained)
    assert len(radius) == 1000
    for dtype, least in ((torch.float64, 0.0), (torch.float32, FLOAT32_RADIUS)):
        some = (radius > least).nonzero().flatten()
        assert len(some) > 50
        model = trained.model.to(dtype)
        for part in some.split(PART):
            x, labels = trained.test.pixels(part).to(dtype), trained.test.labels[part]
            within = (0.999 * radius[part]).to(dtype)
            assert not attack(model, x, labels, within, trained.norm).any()


def test_the_attack_is_one(trained: Trained) -> None:
    """Farther out it finds what it looks for."""
    radius = radii(trained)
    some = radius.nonzero().flatten()[:60]
    x, labels = trained.test.pixels(some).double(), trained.test.labels[some]
    assert attack(trained.model, x, labels, 8 * radius[some], trained.norm).double().mean() > 0.2


def test_accuracies_are_those_of_the_radii(trained: Trained) -> None:
    radius, metrics = radii(trained), trained.metrics
    accuracies = [metrics["clean_accuracy"]]
    for name, epsilon in trained.epsilons.items():
        accuracies.append(metrics[f"certified_accuracy@{name}"])
        assert accuracies[-1] == float((radius > epsilon).double().mean())
    assert accuracies == sorted(accuracies, reverse=True)
    assert metrics["median_certified_radius"] == pytest.approx(float(radius.median()), rel=CHUNKED)
    assert metrics["empirical_lipschitz"] <= metrics["lipschitz_upper_bound"]


def test_nothing_but_what_is_clean_is_certified_at_nothing(trained: Trained) -> None:
    loss = build_loss(spec().loss, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certified, "_THROUGHPUT_SECONDS", 0.0)
        patch.setattr(certified, "_STARTS", 2)
        model = trained.model.float()
        proven = certify_images(model, trained.test, trained.norm)
        found = evaluate(model, trained.test, loss, proven, epsilons={"0": 1e-12})
    assert found["certified_accuracy@0"] == found["clean_accuracy"]
    validated = validate(model, trained.test, loss)
    # In float32 an image at a border may fall on the other side.
    assert validated["validation_accuracy"] == pytest.approx(found["clean_accuracy"], abs=0.006)
    assert validated["validation_loss"] == pytest.approx(found["test_loss"], abs=1e-5)
    epsilon = next(iter(trained.epsilons.values()))
    name = f"certified_accuracy@{next(iter(trained.epsilons))}"
    share = certified_accuracy(model, trained.test, norm=trained.norm, epsilon=epsilon)
    assert share == pytest.approx(trained.metrics[name], abs=0.006)


def test_orthonormal_networks_learn_digits_in_four_epochs() -> None:
    ended, _ = outcome(spec())
    assert ended.metrics["clean_accuracy"] > 0.85
    assert ended.metrics["certified_accuracy@0.5"] > 0.4
    assert ended.metrics["lipschitz_upper_bound"] == pytest.approx(1)


def test_a_loss_of_all_images_is_not_one_of_parts(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dual value of hinge_kr belongs to all images together."""
    loss = build_loss(spec(loss={"type": "hinge_kr"}).loss, 1.0)
    model = trained.model.float()
    whole = validate(model, trained.test, loss)["validation_loss"]
    monkeypatch.setattr(certified, "_CHUNK", 7)
    assert validate(model, trained.test, loss)["validation_loss"] == pytest.approx(whole, rel=1e-5)
