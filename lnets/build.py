"""Spec -> object: the only module that imports both sides."""

from collections.abc import Iterable
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, StepLR

from lnets.data.distributions import Distribution, ImageSamples, MultiSphericalShell
from lnets.nn import (
    Abs,
    BjorckLinear,
    FullyConnected,
    GroupSort,
    Householder,
    LInfProjectedLinear,
    Maxout,
    NActivation,
    OrthogonalLinear,
    ParsevalL2Linear,
    SpectralNormLinear,
)
from lnets.optim import AggMo
from lnets.specs.distributions import (
    DistributionSpec,
    ImageSamplesSpec,
    MultiSphericalShellSpec,
)
from lnets.specs.model import (
    BjorckLinearSpec,
    FullyConnectedSpec,
    LinearSpec,
    LInfProjectedLinearSpec,
    ModelSpec,
    OrthogonalLinearSpec,
    ParsevalL2LinearSpec,
    SpectralNormalLinearSpec,
    StandardLinearSpec,
)
from lnets.specs.optim import (
    AdamSpec,
    AggMoSpec,
    ExponentialScheduleSpec,
    NesterovSpec,
    OptimSpec,
    ScheduleSpec,
    SGDSpec,
    StepScheduleSpec,
)


def build_model(spec: ModelSpec, input_dim: int) -> nn.Module:
    """The network, with fresh random weights.

    Args:
        spec: What to build.
        input_dim: Numbers per input.
    """
    match spec:
        case FullyConnectedSpec():
            sizes = spec.group_sizes()
            return FullyConnected(
                input_dim,
                spec.layers,
                linear=lambda inputs, outputs: build_linear(spec.linear, inputs, outputs),
                activation=lambda i: build_activation(spec, sizes[i], spec.layers[i]),
                shrink=sizes if spec.activation == "maxout" else None,
                l_constant=spec.l_constant,
                input_dropout=spec.input_dropout,
                dropout=spec.dropout,
            )
        case _:
            assert_never(spec)


def build_linear(spec: LinearSpec, in_features: int, out_features: int) -> nn.Module:
    """One linear layer, with fresh random weights."""
    match spec:
        case StandardLinearSpec():
            return nn.Linear(in_features, out_features, bias=spec.bias)
        case BjorckLinearSpec():
            return BjorckLinear(
                in_features,
                out_features,
                bjorck_iter=spec.bjorck_iter,
                bjorck_order=spec.bjorck_order,
                bjorck_beta=spec.bjorck_beta,
                safe_scaling=spec.safe_scaling,
                bias=spec.bias,
            )
        case OrthogonalLinearSpec():
            return OrthogonalLinear(
                in_features, out_features, method=spec.method, mode=spec.mode, bias=spec.bias
            )
        case LInfProjectedLinearSpec():
            return LInfProjectedLinear(in_features, out_features, bias=spec.bias)
        case SpectralNormalLinearSpec():
            return SpectralNormLinear(
                in_features, out_features, power_iters=spec.power_iters, bias=spec.bias
            )
        case ParsevalL2LinearSpec():
            return ParsevalL2Linear(
                in_features,
                out_features,
                bjorck_iter=spec.bjorck_iter,
                bjorck_beta=spec.bjorck_beta,
                bias=spec.bias,
            )
        case _:
            assert_never(spec)


def build_activation(spec: FullyConnectedSpec, group_size: int, width: int) -> nn.Module:
    """The activation after one hidden layer, for its group size and width."""
    match spec.activation:
        case "maxmin" | "group_sort":
            return GroupSort(group_size)
        case "maxout":
            return Maxout(group_size)
        case "householder":
            return Householder(width // 2)
        case "n_activation":
            return NActivation(width)
        case "relu":
            return nn.ReLU()
        case "abs":
            return Abs()
        case "tanh":
            return nn.Tanh()
        case "sigmoid":
            return nn.Sigmoid()
        case "identity":
            return nn.Identity()
        case _:
            assert_never(spec.activation)


def build_optimizer(spec: OptimSpec, params: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimizer, without its schedule."""
    decay = spec.weight_decay
    match spec:
        case SGDSpec():
            return torch.optim.SGD(params, spec.lr, momentum=spec.momentum, weight_decay=decay)
        case NesterovSpec():
            return torch.optim.SGD(
                params, spec.lr, momentum=spec.momentum, weight_decay=decay, nesterov=True
            )
        case AdamSpec():
            return torch.optim.Adam(params, spec.lr, betas=spec.betas, weight_decay=decay)
        case AggMoSpec():
            return AggMo(params, spec.lr, betas=spec.betas, weight_decay=decay)
        case _:
            assert_never(spec)


def build_schedule(
    spec: ScheduleSpec | None, optimizer: torch.optim.Optimizer
) -> LRScheduler | None:
    """The learning rate schedule, stepped once per training step; None keeps the rate."""
    match spec:
        case None:
            return None
        case StepScheduleSpec():
            return MultiStepLR(optimizer, list(spec.milestones), gamma=spec.decay)
        case ExponentialScheduleSpec():
            return StepLR(optimizer, spec.every_n_steps, gamma=spec.decay)
        case _:
            assert_never(spec)


def build_distribution(spec: DistributionSpec, device: torch.device) -> Distribution:
    """The distribution to sample from."""
    match spec:
        case MultiSphericalShellSpec():
            return MultiSphericalShell(
                dim=spec.dim,
                radius=spec.radius,
                center_x=spec.center_x,
                empty_dim=spec.empty_dim,
                reshape_to_grid=spec.reshape_to_grid,
            )
        case ImageSamplesSpec():
            return ImageSamples(classes=spec.classes, device=device)
        case _:
            assert_never(spec)
