"""Optimizing replicas whose weights are rows of one matrix, each by its own hyperparameters."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def row_groups(
    rows: Float[Tensor, "replicas weights"],
    gradients: Float[Tensor, "replicas weights"],
    hyperparameters: Sequence[dict[str, float]],
    *,
    num_undecayed: int = 0,
) -> list[dict[str, Any]]:
    """Parameter groups for any optimizer of torch that works weight by weight.

    Neighbours with equal hyperparameters share a group.

    Args:
        rows: The weights, which the optimizer changes.
        gradients: Their gradients.
        hyperparameters: Of each replica, by the names of the optimizer's arguments.
        num_undecayed: How many of the first columns no weight decay may touch.
    """
    groups = []
    for first, last in _runs(hyperparameters):
        options = hyperparameters[first]
        cut = num_undecayed if options.get("weight_decay") else 0
        for columns, own in ((slice(cut), {"weight_decay": 0.0}), (slice(cut, None), {})):
            if rows[:, columns].numel():
                group = {**options, **own, "replicas": (first, last), "columns": columns}
                groups.append(group | {"params": [_parameter(group, rows, gradients)]})
    return groups


def keep_rows_(
    optimizer: torch.optim.Optimizer,
    kept: Sequence[int],
    rows: Float[Tensor, "kept weights"],
    gradients: Float[Tensor, "kept weights"],
) -> None:
    """Let an optimizer that was made of `row_groups` go on with some of the replicas.

    Args:
        optimizer: Changed in place; what it knows of the kept replicas, it keeps.
        kept: Indices of the replicas that are kept, rising.
        rows: Their weights.
        gradients: Their gradients.
    """
    groups = []
    for group in optimizer.param_groups:
        (old,), (first, last) = group["params"], group["replicas"]
        state = optimizer.state.pop(old, {})
        inside = [i - first for i in kept if first <= i < last]
        if not inside:
            continue
        position = sum(i < first for i in kept)
        group["replicas"] = (position, position + len(inside))
        group["params"] = [_parameter(group, rows, gradients)]
        optimizer.state[group["params"][0]] = {
            name: value[inside] if isinstance(value, Tensor) and value.ndim == 2 else value
            for name, value in state.items()
        }
        groups.append(group)
    optimizer.param_groups[:] = groups


def clip_row_norms_(
    gradients: Float[Tensor, "replicas weights"], max_norms: Float[Tensor, "replicas 1"]
) -> None:
    """Scale each replica's gradient down to a norm, as `nn.utils.clip_grad_norm_` does with one.

    Args:
        gradients: Changed in place.
        max_norms: Largest L2 norm of each row; infinite leaves it.
    """
    norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    gradients.mul_((max_norms / (norms + 1e-6)).clamp_max_(1.0))


def _parameter(group: dict[str, Any], rows: Tensor, gradients: Tensor) -> nn.Parameter:
    replicas = slice(*group["replicas"])
    parameter = nn.Parameter(rows[replicas, group["columns"]])
    parameter.grad = gradients[replicas, group["columns"]]
    return parameter


def _runs(hyperparameters: Sequence[dict[str, float]]) -> Iterator[tuple[int, int]]:
    """First and last index, exclusive, of each run of equal neighbours."""
    first = 0
    for _, run in itertools.groupby(hyperparameters):
        last = first + len(list(run))
        yield first, last
        first = last
