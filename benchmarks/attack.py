"""PGD on a trained classifier: through its plain export, and through the original's layers.

Both attack networks of the same size, 3 hidden layers of 1,024 and MaxMin, by the same code, with
the same images and radius. The original's layers iterate in every forward; as all of its steps cost
the same, a tenth of them is timed.
"""

import time

import torch
from torch import Tensor, nn

from benchmarks.classifier import noise
from benchmarks.evaluation import network
from benchmarks.measurement import Measurement
from benchmarks.original import OriginalClassifier
from lnets.nn import OrthogonalLinear
from lnets.specs.attacks import PGDSpec
from lnets.tasks.attacks.attack import Target, attack

IMAGES, STEPS, EPSILON = 1000, 40, 0.1
SHARE = 10


def measure() -> list[Measurement]:
    """Seconds of PGD-40 on 1,000 images on one thread; ours with the export."""
    torch.set_num_threads(1)
    images = noise().images.pixels(slice(IMAGES))
    ours = _seconds(network(OrthogonalLinear), images, STEPS)
    original = nn.Sequential(nn.Flatten(), OriginalClassifier(0).model).eval()
    theirs = SHARE * _seconds(original, images, STEPS // SHARE, exporting=False)
    return [Measurement("attack", "PGD-40, 1,000 images", ours, theirs, "s")]


def _seconds(model: nn.Module, images: Tensor, steps: int, *, exporting: bool = True) -> float:
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    started = time.perf_counter()
    target = Target(model, images, labels)
    exported = time.perf_counter()
    spec = PGDSpec(type="pgd", steps=steps)
    found = attack(spec, target, images, labels, epsilon=EPSILON, norm="linf", seed=0)
    assert found.queries >= IMAGES * steps
    return time.perf_counter() - (started if exporting else exported)
