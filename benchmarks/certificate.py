"""Certified Lipschitz constants beside the steepest places that a search finds.

Every architecture and layer, trained for some steps, in both norms. Ours is what the search found,
the baseline what is certified: the ratio certified ÷ found is 1 at best, and below 1 a proof is
wrong, which ends the run with an error.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from benchmarks.measurement import Measurement
from lnets.nn import (
    Abs,
    BCOPConv2d,
    BjorckConv2d,
    BjorckLinear,
    FullyConnected,
    FullyConv,
    GroupSort,
    Householder,
    InfoGanDiscriminator,
    LeNet,
    LInfProjectedConv2d,
    LInfProjectedLinear,
    LipschitzResNet,
    Maxout,
    NActivation,
    Normalize,
    OrthogonalLinear,
    ParsevalL2Linear,
    ResNet32,
    RotatedLinear,
    SpectralNormLinear,
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
    lr: float = 1e-2
    """Learning rate of its training."""


def _fully_connected(
    linear: Callable[[int, int], nn.Module],
    activation: Callable[[], nn.Module] = lambda: GroupSort(2),
    shrink: int = 1,
) -> Callable[[], nn.Module]:
    return lambda: FullyConnected(
        784,
        [256, 256, 256, 10],
        linear=linear,
        activation=lambda _: activation(),
        shrink=[shrink] * 3,
        l_constant=L_CONSTANT,
    )


def _lipschitz_resnet(
    conv: Callable[..., nn.Module], size: int = 8, padding_mode: str = "zeros"
) -> Callable[[], nn.Module]:
    return lambda: LipschitzResNet(
        3,
        10,
        size,
        conv=conv,
        channels=(8, 16, 32),
        blocks=(1, 1, 1),
        padding_mode=padding_mode,
        l_constant=L_CONSTANT,
    )


def _fully_conv(
    conv: Callable[..., nn.Module],
    activation: Callable[[int], nn.Module] = max_min,
    strides: tuple[int, ...] = (1, 2, 1),
    shrink: int = 1,
) -> Callable[[], nn.Module]:
    return lambda: FullyConv(
        1,
        [8, 16, 1],
        kernels=[3, 4, 3],
        strides=strides,
        padding=1,
        conv=conv,
        activation=activation,
        shrink=[shrink] * 2,
    )


def _infogan(
    conv: Callable[..., nn.Module], linear: Callable[[int, int], nn.Module]
) -> Callable[[], nn.Module]:
    return lambda: InfoGanDiscriminator(1, 1, 8, conv=conv, linear=linear)


def _le_net(
    conv: Callable[..., nn.Module], linear: Callable[[int, int], nn.Module]
) -> Callable[[], nn.Module]:
    return lambda: LeNet(conv=conv, linear=linear, activation=max_min)


def _circular(conv: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    return partial(conv, padding_mode="circular")


VECTOR, IMAGE, COLOURS = (784,), (1, 12, 12), (3, 8, 8)
CASES = [
    Case("fully connected bjorck maxmin", VECTOR, _fully_connected(BjorckLinear), True),
    Case("fully connected retract maxmin", VECTOR, _fully_connected(OrthogonalLinear), True),
    Case("fully connected retract abs", VECTOR, _fully_connected(OrthogonalLinear, Abs), True),
    Case(
        "fully connected bjorck group_sort 8",
        VECTOR,
        _fully_connected(BjorckLinear, partial(GroupSort, 8)),
        True,
    ),
    Case(
        "fully connected bjorck householder",
        VECTOR,
        _fully_connected(BjorckLinear, partial(Householder, 128)),
        True,
    ),
    Case(
        "fully connected bjorck n_activation",
        VECTOR,
        _fully_connected(BjorckLinear, partial(NActivation, 256)),
        True,
    ),
    Case(
        "fully connected bjorck maxout 2",
        VECTOR,
        _fully_connected(BjorckLinear, partial(Maxout, 2), shrink=2),
    ),
    Case("fully connected standard maxmin", VECTOR, _fully_connected(nn.Linear)),
    Case("fully connected l_inf maxmin", VECTOR, _fully_connected(LInfProjectedLinear)),
    Case("fully connected spectral_normal maxmin", VECTOR, _fully_connected(SpectralNormLinear)),
    # Larger updates leave what iterations without a scale converge from.
    Case("fully connected parseval_l2 maxmin", VECTOR, _fully_connected(ParsevalL2Linear), lr=1e-3),
    Case("fully conv bjorck", IMAGE, _fully_conv(BjorckConv2d)),
    Case("fully conv l_inf", IMAGE, _fully_conv(LInfProjectedConv2d)),
    Case("fully conv bjorck circular", IMAGE, _fully_conv(_circular(BjorckConv2d))),
    Case("fully conv l_inf circular", IMAGE, _fully_conv(_circular(LInfProjectedConv2d))),
    Case("fully conv standard circular", IMAGE, _fully_conv(_circular(nn.Conv2d))),
    Case(
        "fully conv bjorck maxout 2",
        IMAGE,
        _fully_conv(BjorckConv2d, lambda _: Maxout(2, 1), shrink=2),
    ),
    Case(
        "fully conv bcop householder",
        IMAGE,
        _fully_conv(BCOPConv2d, lambda width: Householder(width // 2, 1), (1, 1, 1)),
    ),
    Case(
        "fully conv bjorck n_activation",
        IMAGE,
        _fully_conv(BjorckConv2d, lambda width: NActivation(width, 1)),
    ),
    Case("lenet bjorck", (1, 28, 28), _le_net(BjorckConv2d, BjorckLinear)),
    Case("lenet l_inf", (1, 28, 28), _le_net(LInfProjectedConv2d, LInfProjectedLinear)),
    Case("lenet standard", (1, 28, 28), _le_net(nn.Conv2d, nn.Linear)),
    Case("infogan bjorck", (1, 8, 8), _infogan(BjorckConv2d, BjorckLinear)),
    Case(
        "infogan l_inf spectral_normal",
        (1, 8, 8),
        _infogan(LInfProjectedConv2d, SpectralNormLinear),
    ),
    Case("lipschitz resnet bcop", COLOURS, _lipschitz_resnet(BCOPConv2d)),
    Case(
        "lipschitz resnet bcop circular", (3, 12, 12), _lipschitz_resnet(BCOPConv2d, 12, "circular")
    ),
    Case("lipschitz resnet bjorck", COLOURS, _lipschitz_resnet(BjorckConv2d)),
    Case("lipschitz resnet l_inf", COLOURS, _lipschitz_resnet(LInfProjectedConv2d)),
    Case("resnet32", (3, 4, 4), ResNet32),
    Case("wide resnet32, widen 1", (3, 4, 4), lambda: WideResNet32(widen=1)),
    Case(
        "normalized lenet",
        (1, 28, 28),
        lambda: nn.Sequential(Normalize([0.3], [0.35]), _le_net(BjorckConv2d, BjorckLinear)()),
    ),
    Case("fully connected rotate maxmin", VECTOR, _fully_connected(RotatedLinear), True),
]


def measure() -> list[Measurement]:
    """The largest slope that is certified, and that 1,000 starts find."""
    torch.set_num_threads(1)
    measurements, wrong = [], []
    for seed, case in enumerate(CASES):
        torch.manual_seed(seed)
        model = case.build()
        train(case, model)
        for norm in NORMS:
            start = time.perf_counter()
            row = search(case, model, norm)
            print(f"  {row}, {time.perf_counter() - start:.0f} s", flush=True)
            measurements.append(row)
            wrong += objections(row, case.orthonormal and norm == "l2")
    if wrong:
        sys.exit("\n".join(wrong))
    return measurements


def search(
    case: Case, model: nn.Module, norm: Norm, *, starts: int = STARTS, steps: int = SEARCH_STEPS
) -> Measurement:
    """What is found beside what is certified."""
    points = torch.randn(starts, *case.shape)
    found = empirical_lipschitz(model, points, norm=norm, steps=steps)
    certified = certify(model, case.shape, norm=norm).lipschitz_upper_bound
    name = f"{case.name}, {norm}, certified {certified:.6g}"
    return Measurement("certificate", name, found, certified, "Lipschitz constant")


def train(case: Case, model: nn.Module, *, steps: int = TRAINING_STEPS) -> None:
    """Some steps on random data that is no normal noise, then evaluation mode."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=case.lr)
    for _ in range(steps):
        outputs = model(3 * torch.randn(BATCH, *case.shape) + 1).flatten(1)
        loss = (outputs - torch.randn_like(outputs)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        project_(model)
    model.eval()


def objections(row: Measurement, orthonormal: bool) -> list[str]:
    """What is wrong with a certificate."""
    # Written so that a number that is none is wrong too.
    if not row.ours <= row.baseline:
        return [f"A certificate must hold, got more: {row}"]
    if orthonormal and not max(row.baseline / L_CONSTANT, row.ratio) <= TIGHT:
        return [f"An orthonormal network must reach its constant {L_CONSTANT}, got {row}"]
    return []
