"""Looking at networks while they train, without changing a number of it."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import nn

from lnets.tasks import processes
from lnets.tasks.training import Training, is_finite


class Watcher(Protocol):
    """Leaves something of a network as it is at some steps."""

    def due(self, step: int) -> bool:
        """Whether it wants to see networks after so many steps."""

    def look(self, index: int, step: int, model: nn.Module) -> None:
        """See a trial's network: a copy, in evaluation mode, of finite numbers."""


def watch(
    watchers: Sequence[Watcher],
    training: Training,
    step: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Show networks in training to whoever is due.

    Of several processes the first one does, which is enough as all have the same weights.

    Args:
        watchers: Drawing random numbers of their own only.
        training: Whose networks have not diverged so far as is known.
        step: How many steps they have taken.
        clock: Tells the time, on all processes alike where it counts.

    Returns:
        Seconds that it took, which are not training's.
    """
    due = [watcher for watcher in watchers if watcher.due(step)]
    if not due:
        return 0.0
    device = training.replicas.rows.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # what has been asked of it is training's
    started = clock()
    for index in training.alive if processes.rank() == 0 else ():
        model = training.model(index).eval()
        if is_finite(model):
            for watcher in due:
                watcher.look(index, step, model)
    return clock() - started
