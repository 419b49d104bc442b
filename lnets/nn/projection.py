"""Projections of raw weights during training, and when they happen."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.orthonormalize import iterate_bjorck, spectral_scale
from lnets.functional.projections import project_l1_ball_rows, scale_l1_rows
from lnets.functional.tracing import without_autocast
from lnets.nn.arguments import refuse_below
from lnets.nn.conv import BCOPConv2d
from lnets.nn.effective import EffectiveWeight
from lnets.nn.orthogonal import keeps_orthonormal

Projection = Callable[[Tensor], Tensor]
"""Maps a matrix of `out` rows to another of the same shape."""


def l_2(
    weight: Float[Tensor, "*batch out in"],
    *,
    bjorck_iter: int = 20,
    bjorck_beta: float = 0.5,
    bjorck_order: int = 1,
) -> Float[Tensor, "*batch out in"]:
    """Draw a matrix towards orthonormal by Björck's iterations.

    First it is divided by an upper bound on its spectral norm, but only if that exceeds 1. So no
    matrix diverges, as without any scale it does from norm √3 on, and one that is known to be
    inside the ball is not shrunk before it is drawn outwards. Too few iterations leave singular
    values below 1; a zero matrix stays zero.

    Args:
        weight: Any matrix.
        bjorck_iter: Iterations.
        bjorck_beta: Step size of order 1, in (0, 1), where the iteration converges; above 0.5 a
            singular value may exceed 1 on the way, by 9 % at most.
        bjorck_order: 1 to 4.

    Raises:
        ValueError: If an option is out of range, or does not fit another.

    Source:
        Björck and Bowie (1971), doi:10.1137/0708036.
    """
    if not 0 < bjorck_beta < 1:
        raise ValueError(
            f"`bjorck_beta` must be in (0, 1), else the iteration diverges, got {bjorck_beta}."
        )
    refuse_below(0, bjorck_iter=bjorck_iter)
    wide = weight.shape[-2] <= weight.shape[-1]
    scale = spectral_scale(weight if wide else weight.mT).clamp_min(1)
    return iterate_bjorck(
        weight / scale, iterations=bjorck_iter, order=bjorck_order, beta=bjorck_beta
    )


def l_inf_projected(weight: Float[Tensor, "*batch out in"]) -> Float[Tensor, "*batch out in"]:
    """Move every row to the nearest point of the L1 ball; rows inside keep every bit.

    Args:
        weight: Any matrix.
    """
    return project_l1_ball_rows(weight)


def l_inf_scaled(
    weight: Float[Tensor, "*batch out in"], *, scale_all: bool = False
) -> Float[Tensor, "*batch out in"]:
    """Divide rows by their L1 norm; zero rows stay zero.

    Args:
        weight: Any matrix.
        scale_all: Whether rows inside the L1 ball are divided too, and so grow.
    """
    return scale_l1_rows(weight, scale_all=scale_all)


PROJECTIONS: dict[str, Callable[..., Tensor]] = {
    "l_2": l_2,
    "l_inf_projected": l_inf_projected,
    "l_inf_scaled": l_inf_scaled,
}
"""The projections by name."""


def projection(type: str = "l_2", **options: Any) -> Projection:  # noqa: A002 - as in specs
    """A projection by its name.

    Args:
        type: A name in `PROJECTIONS`.
        **options: Its keyword arguments.

    Raises:
        ValueError: If `type` is unknown, or an option out of range.
        TypeError: If an option is unknown.
    """
    if type not in PROJECTIONS:
        raise ValueError(f"`type` must be one of {', '.join(PROJECTIONS)}, got {type!r}.")
    function = PROJECTIONS[type]
    function(torch.zeros(1, 1), **options)  # refuses options now, not at the first update
    return functools.partial(function, **options)


def project_weights_(model: nn.Module, type: str = "l_2", **options: Any) -> None:  # noqa: A002
    """Project, in place, the raw weights of linear layers and convolutions.

    Touched are `nn.Linear`, `nn.Conv2d`, whose kernels are taken as `out` × rest, and the layers
    with an effective weight, each weight once however many layers share it. Left alone are
    `OrthogonalLinear` in `retract` mode, which keeps its raw weight orthonormal itself,
    `BCOPConv2d`, whose raw weight is no matrix but the parts of one, and weights that a
    parametrization computes. Biases are never touched.

    Args:
        model: Any model.
        type: `l_2`, `l_inf_projected` or `l_inf_scaled`.
        **options: Keyword arguments of the function of that name.

    Raises:
        ValueError: If `type` is unknown, or an option out of range.
        TypeError: If an option is unknown.
    """
    _apply_(projection(type, **options), model)


class ProjectionSchedule:
    """Projections after updates and at the start of epochs.

    Args:
        per_update: What `after_update` does; None is nothing.
        per_epoch: What `start_epoch` does; None is nothing.
        every_n_epochs: Every how many epochs it does so; never in the first, which is epoch 0.
        reset_optimizer: Whether it then also empties the optimizer's state, such as momenta, which
            tells of the weights before. Parameter groups, and so learning rates, stay.

    Raises:
        ValueError: If `every_n_epochs` is not positive.
    """

    def __init__(
        self,
        *,
        per_update: Projection | None = None,
        per_epoch: Projection | None = None,
        every_n_epochs: int = 1,
        reset_optimizer: bool = False,
    ) -> None:
        refuse_below(1, every_n_epochs=every_n_epochs)
        self.per_update = per_update
        self.per_epoch = per_epoch
        self.every_n_epochs = every_n_epochs
        self.reset_optimizer = reset_optimizer

    def after_update(self, model: nn.Module) -> None:
        """Call it after each `optimizer.step()`.

        Args:
            model: Its weights are projected as in `project_weights_`.
        """
        if self.per_update is not None:
            _apply_(self.per_update, model)

    def start_epoch(self, epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Call it before the first update of each epoch.

        Args:
            epoch: Counted from 0.
            model: Its weights are projected as in `project_weights_`.
            optimizer: Must make its state at its first step, as all of torch's but Adagrad do.

        Raises:
            TypeError: If an Adagrad is to be reset.
        """
        if self.per_epoch is None or epoch == 0 or epoch % self.every_n_epochs:
            return
        if self.reset_optimizer and isinstance(optimizer, torch.optim.Adagrad):
            raise TypeError("Adagrad cannot step without its state; set reset_optimizer=False.")
        _apply_(self.per_epoch, model)
        if self.reset_optimizer:
            optimizer.state.clear()


def _apply_(project: Projection, model: nn.Module) -> None:
    with torch.no_grad():
        for weight in _raw_weights(model):
            # A kernel is a matrix of its patches; a stack of matrices is what it is.
            matrix = weight.flatten(1) if weight.ndim == 4 else weight
            with without_autocast(weight):
                weight.copy_(project(matrix).view_as(weight))


def _raw_weights(model: nn.Module) -> Iterator[nn.Parameter]:
    seen = set()
    for module in model.modules():
        if not isinstance(module, (nn.Linear, nn.Conv2d, EffectiveWeight)):
            continue
        if keeps_orthonormal(module) or isinstance(module, BCOPConv2d):
            continue
        weight = module.weight
        if isinstance(weight, nn.Parameter) and weight not in seen:
            seen.add(weight)
            yield weight
