"""Optimizers, schedules and projections of a spec."""

import functools
from collections.abc import Sequence
from typing import assert_never

import torch
from torch.optim.lr_scheduler import LinearLR, LRScheduler, MultiStepLR, StepLR

from lnets.build.options import bjorck_options
from lnets.nn import ProjectionSchedule
from lnets.nn.fused import Replicas
from lnets.nn.original import ORIGINAL_PROJECTIONS
from lnets.nn.projection import Projection, projection
from lnets.optim import AggMo, row_groups
from lnets.specs.experiment import TrainingSpec
from lnets.specs.optim import (
    AdamSpec,
    AggMoSpec,
    ExponentialScheduleSpec,
    LinearScheduleSpec,
    NesterovSpec,
    OptimSpec,
    ScheduleSpec,
    SGDSpec,
    StepScheduleSpec,
)
from lnets.specs.projections import (
    EpochProjectionSpec,
    L2ProjectionSpec,
    LInfProjectedSpec,
    LInfScaledSpec,
    UpdateProjectionSpec,
)


def build_optimizer(specs: Sequence[OptimSpec], replicas: Replicas) -> torch.optim.Optimizer:
    """One optimizer for all replicas, without its schedule.

    Args:
        specs: Of each replica; they differ in learning rate and weight decay only.
        replicas: What it optimizes. Weight decay spares weights that are kept orthonormal.
    """
    spec = specs[0]
    groups = row_groups(
        replicas.rows,
        replicas.gradients,
        [{"lr": spec.lr, "weight_decay": spec.weight_decay} for spec in specs],
        num_undecayed=replicas.num_kept_orthonormal,
    )
    match spec:
        case SGDSpec():
            return torch.optim.SGD(groups, momentum=spec.momentum)
        case NesterovSpec():
            return torch.optim.SGD(groups, momentum=spec.momentum, nesterov=True)
        case AdamSpec():
            # The fused kernel needs weights without gaps.
            whole = all(group["params"][0].is_contiguous() for group in groups)
            return torch.optim.Adam(groups, betas=spec.betas, fused=whole)
        case AggMoSpec():
            return AggMo(groups, betas=spec.betas)
        case _:
            assert_never(spec)


def build_schedule(
    spec: ScheduleSpec | None, optimizer: torch.optim.Optimizer, steps: int
) -> LRScheduler | None:
    """The learning rate schedule, stepped once per training step; None keeps the rate.

    Args:
        spec: What to build.
        optimizer: Whose rate falls.
        steps: Of the whole training.
    """
    match spec:
        case None:
            return None
        case StepScheduleSpec():
            return MultiStepLR(optimizer, list(spec.milestones), gamma=spec.decay)
        case ExponentialScheduleSpec():
            return StepLR(optimizer, spec.every_n_steps, gamma=spec.decay)
        case LinearScheduleSpec():
            return LinearLR(
                optimizer, start_factor=1.0, end_factor=0.0, total_iters=spec.end or steps
            )
        case _:
            assert_never(spec)


def build_projections(spec: TrainingSpec) -> ProjectionSchedule:
    """What projects raw weights during an experiment's training, and when."""
    update, epoch = spec.per_update_proj, spec.per_epoch_proj
    after_update = None if update is None else build_projection(update, faithful=spec.faithful)
    if epoch is None:
        return ProjectionSchedule(per_update=after_update)
    return ProjectionSchedule(
        per_update=after_update,
        per_epoch=build_projection(epoch, faithful=spec.faithful),
        every_n_epochs=epoch.every_n_epochs,
        reset_optimizer=epoch.reset_optimizer,
    )


def build_projection(
    spec: UpdateProjectionSpec | EpochProjectionSpec, *, faithful: bool = False
) -> Projection:
    """Maps a raw weight, whenever that happens.

    Args:
        spec: What to build.
        faithful: Whether it is that of the original LNets code.
    """
    match spec:
        case L2ProjectionSpec():
            kind, options = "l_2", bjorck_options(spec)
        case LInfProjectedSpec():
            kind, options = "l_inf_projected", {}
        case LInfScaledSpec():
            kind, options = "l_inf_scaled", {"scale_all": spec.scale_all}
        case _:
            assert_never(spec)
    if faithful:
        return functools.partial(ORIGINAL_PROJECTIONS[kind], **options)
    return projection(kind, **options)
