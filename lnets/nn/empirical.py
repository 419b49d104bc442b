"""How steep a network is found to be: a lower bound, which certifies nothing."""

import copy

import torch
from torch import Tensor, nn

from lnets.nn.certificate import Norm


def empirical_lipschitz(
    model: nn.Module,
    points: Tensor,
    *,
    norm: Norm = "l2",
    steps: int = 50,
    step_size: float = 0.05,
) -> float:
    """The largest Jacobian norm that gradient ascent from some points finds, in float64.

    Args:
        model: In evaluation mode, differentiable almost everywhere.
        points: Where the search starts, one per row; all move at once.
        norm: Of inputs and outputs alike.
        steps: Steps of ascent.
        step_size: Length of a step, in input units.

    Returns:
        A lower bound on the Lipschitz constant, in output per input unit.
    """
    model = copy.deepcopy(model).double().eval()
    x = points.detach().double()
    largest = 0.0
    for _ in range(steps + 1):
        x = x.requires_grad_()
        norms = _jacobian_norms(model, x, norm)
        largest = max(largest, float(norms.max().detach()))
        direction = None
        if norms.requires_grad:
            (direction,) = torch.autograd.grad(norms.sum(), x, allow_unused=True)
        # The norm of a piecewise linear network has no gradient: walk at random instead.
        moved = torch.randn_like(x) if direction is None else direction
        lengths = moved.flatten(1).norm(dim=1).clamp_min(1e-300)
        x = (x + step_size * moved / lengths.view(-1, *[1] * (x.ndim - 1))).detach()
    return largest


def _jacobian_norms(model: nn.Module, x: Tensor, norm: Norm) -> Tensor:
    """Operator norm of the Jacobian at each point."""
    outputs = model(x).flatten(1)
    rows = [
        torch.autograd.grad(outputs[:, i].sum(), x, create_graph=True)[0].flatten(1)
        for i in range(outputs.shape[1])
    ]
    jacobians = torch.stack(rows, dim=1)
    if norm == "linf":
        return jacobians.abs().sum(dim=2).amax(dim=1)
    return torch.linalg.matrix_norm(jacobians, ord=2)
