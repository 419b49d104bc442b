"""A trained classifier in evaluation: ours, its plain twin, and torch's own layers.

All share the code of the activation, so what ours takes longer than its twin, which has the same
weights, is what finding them costs. Sorting is faster the more pairs are in order already: torch's
own layers have other weights, and differ by that too.
"""

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.measurement import Measurement
from lnets.nn import FullyConnected, GroupSort, OrthogonalLinear, project_, to_plain

INPUTS, LAYERS = 784, [1024, 1024, 1024, 10]
TRAINING_STEPS = 30
TRAINING_BATCH = 128
# Timings of each network, per batch size and copy.
ROUNDS = {1: 100, 128: 8, 1024: 3}
# Where its weights come to lie in memory makes a copy some per cent slower or faster.
COPIES = 7


def network(linear: Callable[[int, int], nn.Module]) -> nn.Module:
    """A MaxMin classifier, trained for some steps on random data."""
    torch.manual_seed(0)
    model = FullyConnected(INPUTS, LAYERS, linear=linear, activation=lambda _: GroupSort(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(TRAINING_STEPS):
        labels = torch.randint(LAYERS[-1], (TRAINING_BATCH,))
        loss = nn.functional.cross_entropy(model(torch.randn(TRAINING_BATCH, INPUTS)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        project_(model)
    return model.eval()


def measure() -> list[Measurement]:
    """Median seconds per batch, all networks in turn, on one thread."""
    torch.set_num_threads(1)
    ours, plain = network(OrthogonalLinear), network(nn.Linear)
    networks = {"ours": ours, "plain": plain, "to_plain": to_plain(ours)}
    times: dict[int, dict[str, list[float]]] = {
        batch: {name: [] for name in networks} for batch in ROUNDS
    }
    for _ in range(COPIES):
        copies = {name: copy.deepcopy(model) for name, model in networks.items()}
        for batch, found in times.items():
            _time(copies, batch, found)
    measurements = []
    for batch, found in times.items():
        seconds = {name: statistics.median(values) for name, values in found.items()}
        for name in ("plain", "to_plain"):
            case = f"batch {batch}, {name}"
            measurements.append(
                Measurement("evaluation", case, seconds["ours"], seconds[name], "s")
            )
    return measurements


@torch.inference_mode()
def _time(networks: dict[str, nn.Module], batch: int, times: dict[str, list[float]]) -> None:
    x = torch.randn(batch, INPUTS)
    for model in networks.values():
        model(x)
    order = list(networks)
    for _ in range(ROUNDS[batch]):
        for name in order:
            start = time.perf_counter()
            networks[name](x)
            times[name].append(time.perf_counter() - start)
        order = [*order[1:], order[0]]
