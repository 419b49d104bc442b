"""Classifiers of Fashion-MNIST: what an epoch costs, and what is certified beside deel-torchlip.

Both sides of the latter train as wide a network for as many seconds, on the same images, and are
certified by our code from their weights as ordinary layers.
"""

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.classifier import INPUTS, LAYERS, Batches, classifier, trained
from benchmarks.measurement import Measurement
from lnets.build import build_data
from lnets.data.images import ImageData
from lnets.errors import DataError
from lnets.nn import GroupSort
from lnets.tasks.certified import certify_images

SECONDS = 100.0
THREADS = 2
"""Of the epochs: both networks have the whole machine that this project is measured on."""
ROUNDS = 3
SEED = 0
CERTIFIED = "certified_accuracy@36/255"
LOSSES: dict[str, dict[str, Any]] = {
    "offset_cross_entropy": {"type": "offset_cross_entropy"},
    "hinge_kr": {"type": "hinge_kr"},
}


def measure() -> list[Measurement]:
    """Seconds per step of an epoch; errors on clean images and what is not certified."""
    torch.set_num_threads(1)
    try:
        data = build_data(classifier().data, torch.device("cpu"))
    except DataError as error:
        print(f"  robustness is not measured: {error}")
        return []
    found = [_epoch()]
    ours = {name: _ours(loss) for name, loss in LOSSES.items()}
    peers = _peers(data.train, data.test)
    for peer, (clean, certified) in peers.items():
        print(f"  {peer}: clean {clean:.4f}, certified {certified:.4f}")
    for name, (clean, certified) in ours.items():
        print(f"  ours, {name}: clean {clean:.4f}, certified {certified:.4f}")
        for peer, (peer_clean, peer_certified) in peers.items():
            case = f"{name} beside deel-torchlip 1.0.5 {peer}, {SECONDS:g} s"
            found += [
                Measurement("robustness", f"clean, {case}", 1 - clean, 1 - peer_clean, "error"),
                Measurement(
                    "robustness",
                    f"certified at 36/255, {case}",
                    1 - certified,
                    1 - peer_certified,
                    "error",
                ),
            ]
    return found


def _epoch() -> Measurement:
    plain = {"linear": {"type": "standard"}, "activation": "relu"}

    def seconds(model: dict[str, Any]) -> float:
        metrics = trained(classifier(model=model, epochs=1), SEED, THREADS)
        return 1 / metrics["steps_per_second"]

    rounds = [(seconds({}), seconds(plain)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    case = f"a step of an epoch on {THREADS} cores, plain ReLU"
    return Measurement("robustness", case, ours, theirs, "s")


def _ours(loss: dict[str, Any]) -> tuple[float, float]:
    experiment = classifier(loss=loss, epochs=100, max_train_seconds=SECONDS)
    metrics = trained(experiment, SEED)
    return metrics["clean_accuracy"], metrics[CERTIFIED]


def _peers(train: ImageData, test: ImageData) -> dict[str, tuple[float, float]]:
    from deel import torchlip

    # At a rate of 1e-3 its cross entropy is NaN after four steps.
    losses = {
        "TauCrossEntropyLoss(10)": (torchlip.TauCrossEntropyLoss(10), False, 1e-4),
        "HKRMulticlassLoss(.98, .5)": (torchlip.HKRMulticlassLoss(0.98, 0.5), True, 1e-3),
    }
    found = {}
    for name, (loss, one_hot, lr) in losses.items():
        torch.manual_seed(SEED)
        model = _network(torchlip)
        _train(model, loss, one_hot, lr, Batches(train, torch.Generator().manual_seed(SEED)))
        if not all(p.isfinite().all() for p in model.parameters()):
            print(f"  {name} diverged")
            continue
        plain = nn.Sequential(nn.Flatten(), *_ordinary(torchlip.vanilla_model(model.eval())))
        metrics = certify_images(plain, test, "l2").accuracies({"36/255": 36 / 255})
        found[name] = metrics["clean_accuracy"], metrics[CERTIFIED]
    return found


def _network(torchlip: Any) -> nn.Module:
    modules: list[nn.Module] = []
    for in_features, out_features in zip((INPUTS, *LAYERS), LAYERS[:-1], strict=False):
        modules += [torchlip.SpectralLinear(in_features, out_features), torchlip.GroupSort2()]
    # What its documentation ends a classifier with.
    last = torchlip.FrobeniusLinear(LAYERS[-2], LAYERS[-1], disjoint_neurons=True)
    model: nn.Module = torchlip.Sequential(*modules, last)
    return model


def _train(model: nn.Module, loss: Any, one_hot: bool, lr: float, batches: Batches) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr)
    end = time.perf_counter() + SECONDS
    while (left := end - time.perf_counter()) > 0:
        for group in optimizer.param_groups:
            group["lr"] = lr * left / SECONDS
        x, labels = next(batches)
        target: Tensor = nn.functional.one_hot(labels, LAYERS[-1]) if one_hot else labels
        optimizer.zero_grad()
        loss(model(x), target).backward()
        optimizer.step()


def _ordinary(model: nn.Module) -> list[nn.Module]:
    """Its layers as those that our certificate knows."""
    return [m if isinstance(m, nn.Linear) else GroupSort(2) for m in model.children()]
