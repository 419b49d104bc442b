"""Processes that train one trial together; one without others is the first of one."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch.distributed as dist
from torch import Tensor

from lnets.errors import TrialError

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def count() -> int:
    """How many there are: those of torch's process group, if there is one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which one this is, from 0."""
    return dist.get_rank() if count() > 1 else 0


def share(batch: int) -> slice:
    """This one's part of a batch; parts differ by one at most.

    The whole batch is to be drawn before, so that random numbers are those that one process draws.

    Args:
        batch: How many samples there are.

    Raises:
        TrialError: If they are fewer than processes.
    """
    if batch < count():
        raise TrialError(
            f"resources.workers must be at most {batch}, the training images of a step, got "
            f"{count()}; lower it"
        )
    return slice(rank(), None, count())


def sum_(tensor: Tensor) -> None:
    """Replace a tensor by its sum over all processes, of the same bits on each.

    Args:
        tensor: Of one shape and dtype on all of them.
    """
    if count() > 1:
        dist.all_reduce(tensor)


def of_first(
    compute: Callable[Arguments, Value], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Value:
    """What the first process computes, on all of them.

    Args:
        compute: Called on the first only; returns tensors, numbers, text, or containers of these.
        *args: What it is called with.
        **kwargs: The same.
    """
    if count() == 1:
        return compute(*args, **kwargs)
    values: list[Any] = [None if rank() else compute(*args, **kwargs)]
    dist.broadcast_object_list(values, weights_only=True)  # whoever answers may be another one
    first: Value = values[0]
    return first
