"""A training step through one orthonormal layer: ours, the original's algorithm, the peers."""

import copy
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.measurement import Measurement
from benchmarks.original import OriginalBjorckLinear
from lnets.nn import BjorckLinear, OrthogonalLinear, project_

SHAPES = [(128, 128), (784, 1024), (1024, 1024), (1024, 10)]
BATCH = 128
WARM_UP_STEPS = 20
SECONDS = 6.0
# Candidates take turns of so long, because a training finds its own code and weights in the caches.
BURST_SECONDS = 0.03
# Largest |σ − 1| that counts as orthonormal here.
QUALITY = 1e-5


def layers(in_features: int, out_features: int) -> dict[str, nn.Module]:
    """Every candidate, at its own initialisation."""
    found: dict[str, nn.Module] = {
        "unconstrained": nn.Linear(in_features, out_features),
        "original": OriginalBjorckLinear(in_features, out_features),
        "ours retract": OrthogonalLinear(in_features, out_features),
        "ours bjorck 8": BjorckLinear(in_features, out_features, bjorck_iter=8),
    }
    for method in ("polar", "polar_express", "qr", "cayley"):
        made = OrthogonalLinear(in_features, out_features, mode="forward", method=method)
        found[f"ours {method}"] = made
    return found | _peers(in_features, out_features)


def _peers(in_features: int, out_features: int) -> dict[str, nn.Module]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deel.torchlip import SpectralLinear
        from orthogonium.layers.linear import OrthoLinear

    plain = nn.Linear(in_features, out_features)
    peers: dict[str, nn.Module] = {
        "deel-torchlip 1.0.5": SpectralLinear(in_features, out_features),
        "orthogonium 0.0.4": OrthoLinear(in_features, out_features),
    }
    for name in ("matrix_exp", "cayley", "householder"):
        peers[f"torch orthogonal {name}"] = nn.utils.parametrizations.orthogonal(
            copy.deepcopy(plain), orthogonal_map=name
        )
    return peers


def stepper(layer: nn.Module, in_features: int, out_features: int) -> Callable[[], None]:
    """One training step: forward, backward, update, and the projection where there is one."""
    x, upstream = torch.randn(BATCH, in_features), torch.randn(BATCH, out_features) / BATCH
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        layer(x).backward(upstream)
        optimizer.step()
        project_(layer)

    return step


def distance(layer: nn.Module) -> float:
    """Largest |σ − 1| of the weight that training uses, in float64."""
    layer.train()
    with torch.no_grad():
        effective = getattr(layer, "effective_weight", lambda: layer.weight)()
        assert isinstance(effective, Tensor)
        return float((torch.linalg.svdvals(effective.double()) - 1).abs().max())


def measure() -> list[Measurement]:
    """Median seconds per step, all candidates in turn, on one thread."""
    torch.set_num_threads(1)
    measurements = []
    for in_features, out_features in SHAPES:
        torch.manual_seed(0)
        candidates = layers(in_features, out_features)
        seconds, errors = _timed(candidates, in_features, out_features)
        shape = f"{in_features}→{out_features}"
        for name in candidates:
            print(f"  {shape} {name}: {seconds[name] * 1e3:.2f} ms, |σ−1| {errors[name]:.1e}")
        measurements += _compared(shape, seconds, errors)
    return measurements


def _compared(shape: str, seconds: dict[str, float], errors: dict[str, float]) -> list[Measurement]:
    """Ours against the original, for a whole step and for the weight alone, and the best peer.

    The weight alone costs what a step takes more than that of an unconstrained layer.
    """
    ours, original, free = (seconds[name] for name in ("ours retract", "original", "unconstrained"))
    quality = f"|σ−1| {errors['ours retract']:.0e}"
    equal = {
        name: time
        for name, time in seconds.items()
        if not name.startswith(("ours", "unconstrained", "original")) and errors[name] <= QUALITY
    }
    best = min(equal, key=lambda name: equal[name])
    return [
        Measurement(
            "layers", f"{shape} weight, original, {quality}", ours - free, original - free, "s"
        ),
        Measurement("layers", f"{shape} step, original, {quality}", ours, original, "s"),
        Measurement("layers", f"{shape} step, {best}", ours, equal[best], "s"),
    ]


def _timed(
    candidates: dict[str, nn.Module], in_features: int, out_features: int
) -> tuple[dict[str, float], dict[str, float]]:
    steps = {name: stepper(layer, in_features, out_features) for name, layer in candidates.items()}
    bursts = {}
    for name, step in steps.items():
        for _ in range(1 if name == "original" else WARM_UP_STEPS):
            step()
        bursts[name] = max(1, round(BURST_SECONDS / _of_each(step, 1)))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times["original"]) < 3:
        for name, step in steps.items():
            times[name].append(_of_each(step, bursts[name]))
    errors = {name: distance(layer) for name, layer in candidates.items()}
    return {name: statistics.median(values) for name, values in times.items()}, errors


def _of_each(step: Callable[[], None], count: int) -> float:
    """Seconds of each of some steps in a row."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count
