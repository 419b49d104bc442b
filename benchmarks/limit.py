"""How near our training step comes to what the core can do: a large matrix product."""

import time
from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.classifier import BATCH, INPUTS, classifier
from benchmarks.measurement import Measurement
from benchmarks.step import alternately
from benchmarks.workloads import CLASSIFIER, Turn, our_turn, shipped
from lnets.build import build_model
from lnets.nn import BjorckLinear, OrthogonalLinear, RotatedLinear

SIDE = 2048


def measure(workloads: Sequence[str]) -> list[Measurement]:
    """Milliseconds per useful GFLOP of a step, against the same of a product of 2048² matrices.

    The ratio is the share of the product's flop rate that a step achieves.
    """
    torch.set_num_threads(1)
    found = []
    for name in workloads:
        gflop = useful_flops(*_network(name)) / 1e9
        step, product = alternately((our_turn(name), _product_turn()))
        case = f"{name}, {gflop:.3g} GFLOP per step"
        peak = 2 * SIDE**3 / 1e9
        found.append(
            Measurement("limit", case, step * 1e3 / gflop, product * 1e3 / peak, "ms/GFLOP")
        )
        print(f"  {found[-1]}", flush=True)
    return found


def useful_flops(model: nn.Module, rows: int) -> float:
    """Of all products that a step cannot do without.

    A retraction after each update is one cubic step; one now and then counts as nothing.

    Args:
        model: Whose linear layers count.
        rows: Inputs of one forward.

    Raises:
        TypeError: If there is a layer whose products nobody has counted.
    """
    layers = [layer for layer in model.modules() if hasattr(layer, "in_features")]
    return sum(_layer_flops(layer, rows, layer is layers[0]) for layer in layers)


def _layer_flops(layer: nn.Module, rows: int, first: bool) -> float:
    if not isinstance(layer, (nn.Linear, BjorckLinear, OrthogonalLinear)):
        raise TypeError(f"`useful_flops` must know every layer, got {type(layer).__name__}.")
    short, long = sorted((layer.in_features, layer.out_features))
    thin = 2 * rows * short * long
    cubic = 4 * short**2 * long
    # Forward, and the gradients of the weight and, unless it is data, of the input.
    flops = thin * (2 if first else 3)
    match layer:
        case BjorckLinear(bjorck_order=1):
            return flops + 3 * layer.bjorck_iter * cubic
        case RotatedLinear():
            # Its gradient is of the longer side's square, with two factors; then it is applied.
            return flops - thin + 4 * rows * long**2 + 2 * short * long**2
        case OrthogonalLinear(mode="retract"):
            # Another product finds the gradient's part along the orthonormal matrices.
            return flops + thin + (0 if layer.drift else cubic)
        case nn.Linear():
            return flops
    raise TypeError(f"`useful_flops` must know every mode, got {layer}.")


def _network(name: str) -> tuple[nn.Module, int]:
    """Our network of a workload, and the inputs of one forward."""
    if name == CLASSIFIER:
        return build_model(classifier().model, (INPUTS,)), BATCH
    experiment = shipped(name)
    return build_model(experiment.model, experiment.distrib1.shape), 2 * experiment.batch_size


def _product_turn() -> Turn:
    a = torch.rand(SIDE, SIDE)

    def turn(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            a @ a
        return time.perf_counter() - start

    return turn
