"""What a task hands back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import nn

Report: TypeAlias = Callable[[int, int, Mapping[str, float]], None]
"""Called with the index of a trial in its group, the step and the metrics of that moment: a point
of the trial's learning curve."""


PAUSED_AT = "paused_at"
"""Metric of a paused trial: after how many steps, or epochs, of its task."""


@dataclass(frozen=True)
class Outcome:
    """The end of a trial."""

    status: Literal["completed", "diverged", "paused"]
    """`diverged`: the loss or a weight stopped being finite, and training ended there; `paused`:
    it has come to where it was to pause, and can go on from its checkpoint."""
    metrics: dict[str, float]
    """Metrics of the finished trial, or as if it had finished; of a diverged one what it cost."""
    model: nn.Module | None
    """The trained network; None where nothing is trained."""

    @property
    def seconds(self) -> float:
        """Of training; where nothing is trained, of attacks."""
        return self.metrics.get("train_seconds", self.metrics.get("attack_seconds", 0.0))


def evaluated(metrics: dict[str, float], model: nn.Module, paused_at: int | None) -> Outcome:
    """Of a trial whose network has been evaluated, at its end or where it has paused."""
    if paused_at is None:
        return Outcome("completed", metrics, model)
    return Outcome("paused", metrics | {PAUSED_AT: paused_at}, model)
