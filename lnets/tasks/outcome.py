"""What a task hands back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import nn

Report: TypeAlias = Callable[[int, int, Mapping[str, float]], None]
"""Called with the index of a trial in its group, the step and the metrics of that moment: a point
of the trial's learning curve."""


@dataclass(frozen=True)
class Outcome:
    """The end of a trial."""

    status: Literal["completed", "diverged"]
    """`diverged`: the loss or a weight stopped being finite, and training ended there."""
    metrics: dict[str, float]
    """Metrics of the finished trial; of a diverged one only what it cost."""
    model: nn.Module | None
    """The trained network; None where nothing is trained."""

    @property
    def seconds(self) -> float:
        """Of training; where nothing is trained, of attacks."""
        return self.metrics.get("train_seconds", self.metrics.get("attack_seconds", 0.0))
