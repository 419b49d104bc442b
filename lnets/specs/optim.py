"""Optimizers and learning rate schedules."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.spec import Spec, rule_broken

Decay = Annotated[float, Field(gt=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
StepCount = Annotated[int, Field(ge=1)]
Precision = Literal["float32", "bf16"]


class StepScheduleSpec(Spec):
    """The learning rate is multiplied by `decay` at each milestone."""

    type: Literal["step"]
    milestones: tuple[StepCount, ...] = Field(min_length=1)
    """Training steps at which the rate drops, rising."""
    decay: Decay
    """Factor at each milestone."""

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        if any(
            later <= earlier
            for earlier, later in zip(self.milestones, self.milestones[1:], strict=False)
        ):
            message = f"must rise, got {list(self.milestones)}; sort them and leave out doubles"
            raise rule_broken((("milestones",), message))
        return self


class ExponentialScheduleSpec(Spec):
    """The learning rate is multiplied by `decay` every `every_n_steps` steps."""

    type: Literal["exp"]
    decay: Decay
    """Factor at each of these steps."""
    every_n_steps: StepCount = 1
    """Steps between two multiplications."""


class LinearScheduleSpec(Spec):
    """The learning rate falls in a straight line to 0."""

    type: Literal["linear"]
    end: StepCount | None = None
    """Training step at which it is 0; null is the last one."""


ScheduleSpec = Annotated[
    StepScheduleSpec | ExponentialScheduleSpec | LinearScheduleSpec, Field(discriminator="type")
]


class _Optimizer(Spec):
    lr: float = Field(gt=0, le=1e3)
    """Learning rate at the first step."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty on the weights, added to the gradient."""
    max_grad_norm: float | None = Field(None, gt=0)
    """The gradient of all weights together is scaled down to this L2 norm; null leaves it."""
    schedule: ScheduleSpec | None = None
    """How the learning rate falls; null keeps it."""


class SGDSpec(_Optimizer):
    """Stochastic gradient descent."""

    type: Literal["sgd"]
    momentum: Momentum = 0.9
    """Decay of the momentum buffer."""


class NesterovSpec(_Optimizer):
    """Stochastic gradient descent with Nesterov's momentum."""

    type: Literal["nesterov"]
    momentum: float = Field(0.9, gt=0, lt=1)
    """Decay of the momentum buffer."""


class AdamSpec(_Optimizer):
    """Adam."""

    type: Literal["adam"]
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    """Decays of the first and the second moment."""


class AggMoSpec(_Optimizer):
    """Aggregated momentum: the mean of several heavy-ball steps."""

    type: Literal["aggmo"]
    betas: tuple[Momentum, ...] = Field((0.0, 0.9, 0.99), min_length=1, max_length=16)
    """Decay of each momentum buffer."""


OptimSpec = Annotated[SGDSpec | NesterovSpec | AdamSpec | AggMoSpec, Field(discriminator="type")]
