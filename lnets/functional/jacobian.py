"""Jacobians of functions of batches, sample by sample."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Function = Callable[[Tensor], Tensor]


def jacobians(function: Function, x: Float[Tensor, "batch *in"]) -> Float[Tensor, "batch out *in"]:
    """The exact Jacobian at each sample: one forward, and one backward per output.

    Only the backwards are repeated, so layers that draw or keep something need no rule of `vmap`.
    Differentiable in parameters and `x`, unless gradients are off.

    Args:
        function: Maps a batch to a batch, each sample for itself; outputs are flattened.
        x: Where.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        y = function(x).flatten(1)
        rows = [
            _gradient(column.sum(), x, create_graph=differentiable, retain_graph=True)
            for column in y.unbind(1)
        ]
    return torch.stack(rows, dim=1)


def jacobian_spectra(
    function: Function, x: Float[Tensor, "batch *in"]
) -> Float[Tensor, "batch rank"]:
    """Singular values of the Jacobian at each sample, largest first, min(out, in) of them.

    Args:
        function: Maps a batch to a batch, each sample for itself; outputs are flattened.
        x: Where.
    """
    jacobian = jacobians(function, x)
    return torch.linalg.svdvals(jacobian.reshape(*jacobian.shape[:2], -1))


def power_step(
    function: Function, x: Float[Tensor, "batch *in"], u: Float[Tensor, " out"]
) -> tuple[Float[Tensor, ""], Float[Tensor, " out"]]:
    """One power iteration for the largest ‖mean_b J_b v_b‖ over unit vectors v_b, one per sample.

    Every v_b is the direction of J_bᵀu; the next u is that of j = mean_b J_b v_b. From step to step
    on the same function and samples ‖j‖ does not fall, and it never exceeds the mean of the
    Jacobians' largest singular values.

    Args:
        function: Maps a batch to a batch, each sample for itself; outputs are flattened.
        x: Where.
        u: Of unit norm, in output space; no gradient passes through it.

    Returns:
        ‖j‖, in output per input unit, and the next u, which stays where j is 0. The norm is
        differentiable in the parameters, the v_b taken as constants, unless gradients are off.

    Source:
        Journée, Nesterov, Richtárik, Sepulchre (2010), JMLR 11:517–553, on such iterations.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = function(x).flatten(1)
        # A copy, since callers may move theirs in place before they go backward.
        u = u.detach().to(y, copy=True).requires_grad_()
        # J_bᵀu is linear in u, so its derivative along v_b is J_b v_b: no forward mode, which
        # custom gradients lack. The mean waits until then, as it does not turn any v_b.
        pulled = _gradient(y, x, u.expand_as(y), create_graph=True)
        v = _unit(pulled.detach().flatten(1)).view_as(pulled)
        pushed = _gradient(pulled, u, v, create_graph=differentiable)
        j = pushed / len(x)
    direction = _unit(j.detach())
    following = torch.where(direction.any(), direction, u.detach())
    return direction @ j, following


def _gradient(
    y: Tensor,
    x: Tensor,
    weights: Tensor | None = None,
    *,
    create_graph: bool,
    retain_graph: bool | None = None,
) -> Tensor:
    """The gradient of Σ weights · y; zeros where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(
        y, x, weights, create_graph=create_graph, retain_graph=retain_graph, materialize_grads=True
    )
    return gradient


def _unit(vectors: Tensor) -> Tensor:
    """Each vector of the last axis divided by its norm, however small; zeros stay."""
    tiny = torch.finfo(vectors.dtype).tiny
    scaled = vectors / vectors.abs().amax(dim=-1, keepdim=True).clamp_min(tiny)
    return scaled / scaled.norm(dim=-1, keepdim=True).clamp_min(tiny)
