"""Certified Lipschitz constants beside the steepest places that a search finds.

Every architecture, trained for some steps, in both norms. Ours is what the search found, the
baseline what is certified: the ratio certified ÷ found is 1 at best, and below 1 a proof is wrong,
which ends the run with an error.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.measurement import Measurement
from lnets.nn import (
    BCOPConv2d,
    BjorckConv2d,
    BjorckLinear,
    FullyConnected,
    FullyConv,
    GroupSort,
    InfoGanDiscriminator,
    LeNet,
    LInfProjectedLinear,
    LipschitzResNet,
    OrthogonalLinear,
    ResNet32,
    WideResNet32,
    certify,
    empirical_lipschitz,
    max_min,
    project_,
)
from lnets.nn.certificate import Norm

STARTS = 1000
SEARCH_STEPS = 30
TRAINING_STEPS = 50
LEARNING_RATE = 1e-2
BATCH = 32
L_CONSTANT = 10.0
# Largest certified ÷ found, and certified ÷ intended, of an orthonormal network.
TIGHT = 1.001
NORMS: list[Norm] = ["l2", "linf"]


@dataclass(frozen=True)
class Case:
    """An architecture."""

    name: str
    """What to call it."""
    shape: tuple[int, ...]
    """Of one input; real sizes where they are affordable."""
    build: Callable[[], nn.Module]
    """Makes it."""
    orthonormal: bool = False
    """Whether its layers have orthonormal rows, so that its L2 constant is `L_CONSTANT`."""


def _fully_connected(
    linear: Callable[[int, int], nn.Module], group_size: int = 2
) -> Callable[[], nn.Module]:
    return lambda: FullyConnected(
        784,
        [256, 256, 256, 10],
        linear=linear,
        activation=lambda _: GroupSort(group_size),
        l_constant=L_CONSTANT,
    )


def _lipschitz_resnet(conv: Callable[..., nn.Module]) -> Callable[[], nn.Module]:
    return lambda: LipschitzResNet(3, 10, 8, conv=conv, channels=(8, 16, 32), blocks=(1, 1, 1))


def _fully_conv() -> nn.Module:
    return FullyConv(
        1, [8, 16, 1], kernels=[3, 4, 3], strides=[1, 2, 1], conv=BjorckConv2d, activation=max_min
    )


def _infogan() -> nn.Module:
    return InfoGanDiscriminator(1, 1, 8, conv=BjorckConv2d, linear=BjorckLinear)


def _le_net(
    conv: Callable[..., nn.Module], linear: Callable[[int, int], nn.Module]
) -> Callable[[], nn.Module]:
    return lambda: LeNet(conv=conv, linear=linear, activation=max_min)


CASES = [
    Case("fully connected bjorck maxmin", (784,), _fully_connected(BjorckLinear), True),
    Case("fully connected retract maxmin", (784,), _fully_connected(OrthogonalLinear), True),
    Case("fully connected bjorck group_sort 8", (784,), _fully_connected(BjorckLinear, 8), True),
    Case("fully connected standard maxmin", (784,), _fully_connected(nn.Linear)),
    Case("fully connected l_inf maxmin", (784,), _fully_connected(LInfProjectedLinear)),
    Case("fully conv bjorck", (1, 12, 12), _fully_conv),
    Case("lenet bjorck", (1, 28, 28), _le_net(BjorckConv2d, BjorckLinear)),
    Case("lenet standard", (1, 28, 28), _le_net(nn.Conv2d, nn.Linear)),
    Case("infogan bjorck", (1, 8, 8), _infogan),
    Case("lipschitz resnet bcop", (3, 8, 8), _lipschitz_resnet(BCOPConv2d)),
    Case("lipschitz resnet bjorck", (3, 8, 8), _lipschitz_resnet(BjorckConv2d)),
    Case("resnet32", (3, 4, 4), ResNet32),
    Case("wide resnet32, widen 1", (3, 4, 4), lambda: WideResNet32(widen=1)),
]


def measure() -> list[Measurement]:
    """The largest slope that is certified, and that 1,000 starts find."""
    torch.set_num_threads(1)
    measurements, wrong = [], []
    for seed, case in enumerate(CASES):
        torch.manual_seed(seed)
        model = case.build()
        train(model, case.shape)
        for norm in NORMS:
            start = time.perf_counter()
            points = torch.randn(STARTS, *case.shape)
            found = empirical_lipschitz(model, points, norm=norm, steps=SEARCH_STEPS)
            seconds = time.perf_counter() - start
            certified = certify(model, case.shape, norm=norm).lipschitz_upper_bound
            name = f"{case.name}, {norm}, certified {certified:.6g}"
            row = Measurement("certificate", name, found, certified, "Lipschitz constant")
            print(f"  {row}, {seconds:.0f} s", flush=True)
            measurements.append(row)
            wrong += _objections(row, case.orthonormal and norm == "l2")
    if wrong:
        sys.exit("\n".join(wrong))
    return measurements


def train(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Some steps on random data that is no normal noise, then evaluation mode."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    for _ in range(TRAINING_STEPS):
        outputs = model(3 * torch.randn(BATCH, *shape) + 1).flatten(1)
        loss = (outputs - torch.randn_like(outputs)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        project_(model)
    model.eval()


def _objections(row: Measurement, orthonormal: bool) -> list[str]:
    """What is wrong with a certificate."""
    # Written so that a number that is none is wrong too.
    if not row.ours <= row.baseline:
        return [f"A certificate must hold, got more: {row}"]
    if orthonormal and not max(row.baseline / L_CONSTANT, row.ratio) <= TIGHT:
        return [f"An orthonormal network must reach its constant {L_CONSTANT}, got {row}"]
    return []
