"""Networks in training side by side, whatever they are trained for."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lnets.build import below, build_optimizer, build_schedule
from lnets.nn import ProjectionSchedule
from lnets.nn.fused import Replicas
from lnets.optim import clip_row_norms_, keep_rows_
from lnets.specs.optim import OptimSpec
from lnets.tasks import processes

TrainingState: TypeAlias = tuple[dict[str, Tensor], dict[str, float]]
"""Tensors and numbers of a network in training, by name."""


def is_finite(model: nn.Module) -> bool:
    """Whether all numbers of a network are finite."""
    return all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())


class Training:
    """Networks, their optimizer and what keeps them in bounds; fewer as some diverge.

    Args:
        models: The networks, on the device where they are to train.
        optims: How each is trained; they differ in learning rate, weight decay and clipping only.
        projections: How raw weights are projected, after updates and at the start of epochs.
        steps: Of the whole training, for schedules that end with it.
        compiled: Whether the networks are compiled.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        optims: Sequence[OptimSpec],
        *,
        projections: ProjectionSchedule,
        steps: int,
        compiled: bool,
    ) -> None:
        self.replicas = Replicas(models, compiled=compiled)
        self.optimizer = build_optimizer(optims, self.replicas)
        self.schedule = build_schedule(optims[0].schedule, self.optimizer, steps)
        self._projections = projections
        norms = torch.tensor([[optim.max_grad_norm or math.inf] for optim in optims])
        norms = norms.to(self.replicas.rows.device)
        self._max_norms = norms if norms.isfinite().any() else None
        self.alive = list(range(len(models)))
        """Networks that have not diverged."""
        self.diverged: dict[int, nn.Module] = {}
        """Networks as they were when they diverged."""

    def __call__(self, batch: Tensor) -> Tensor:
        """Outputs of each network for its own batch, in float32."""
        return self.replicas(batch).float()

    def update(self, outputs: Tensor, gradient: Tensor) -> None:
        """Change every network once, against the gradient of the sum of outputs times their own.

        Processes that train together add up theirs.
        """
        self.replicas.backward(outputs, gradient)
        processes.sum_(self.replicas.gradients)
        if self._max_norms is not None:
            clip_row_norms_(self.replicas.gradients, self._max_norms)
        self.optimizer.step()
        self.replicas.project_()
        self._projections.after_update(self.replicas.network)
        if self.schedule is not None:
            self.schedule.step()

    def start_epoch(self, epoch: int) -> None:
        """Do what is done at the start of epochs, counted from 0."""
        self._projections.start_epoch(epoch, self.replicas.network, self.optimizer)

    def model(self, index: int) -> nn.Module:
        """A network as it is now, or was when it diverged."""
        if index in self.diverged:
            return self.diverged[index]
        return self.replicas.model(self.alive.index(index))

    def keep(self, finite: Sequence[bool]) -> list[int] | None:
        """Go on without networks that have diverged.

        Args:
            finite: Of each network alive, whether it goes on.

        Returns:
            Positions of those that go on among those alive before; None if all do.
        """
        if all(finite):
            return None
        for position, index in enumerate(self.alive):
            if not finite[position]:
                self.diverged[index] = self.replicas.model(position)
        kept = [position for position, is_finite in enumerate(finite) if is_finite]
        self.alive = [self.alive[position] for position in kept]
        if not kept:
            return kept
        if self._max_norms is not None:
            self._max_norms = self._max_norms[kept]
        self.replicas.keep(kept)
        keep_rows_(self.optimizer, kept, self.replicas.rows, self.replicas.gradients)
        return kept

    def state(self, position: int = 0) -> TrainingState:
        """All that the rest of a network's training depends on: tensors, and numbers.

        Args:
            position: Among the networks alive.
        """
        replicas = self.replicas
        tensors = {"rows": replicas.rows[position : position + 1]}
        tensors |= {f"fixed.{name}": t for name, t in replicas.untrained(position).items()}
        state = self.optimizer.state_dict()
        numbers: dict[str, float] = {}
        for i, (place, index) in enumerate(self._groups_of(position)):
            of_group = state["state"].get(place, {})
            own = {name: _rows(tensor, index) for name, tensor in of_group.items()}
            tensors |= {
                f"optimizer.{i}.{k}": tensor for k, tensor in own.items() if tensor is not None
            }
            group = state["param_groups"][place]
            numbers |= {f"lr.{i}": group["lr"], f"base.{i}": _base_lr(group)}
        if self.schedule is not None:
            numbers["schedule"] = self.schedule.last_epoch
        return tensors, numbers

    def load(self, *states: TrainingState) -> None:
        """Go on from there.

        Args:
            states: Of each network, as from `state` of a training that is equal, or differs in
                learning rates and in how layers make their weights.
        """
        with torch.no_grad():
            self.replicas.rows.copy_(torch.cat([tensors["rows"] for tensors, _ in states]))
            self.replicas.load_untrained([below("fixed.", tensors) for tensors, _ in states])
        state = self.optimizer.state_dict()
        found: dict[int, list[dict[str, Tensor]]] = {}
        for position, (tensors, numbers) in enumerate(states):
            for i, (place, _) in enumerate(self._groups_of(position)):
                found.setdefault(place, []).append(below(f"optimizer.{i}.", tensors))
                group = state["param_groups"][place]
                # The learning rate may have changed, of which a schedule leaves the same share.
                group["lr"] = numbers[f"lr.{i}"] * (_base_lr(group) / numbers[f"base.{i}"])
        state["state"] = {place: _together(each) for place, each in found.items()}
        self.optimizer.load_state_dict(state)
        if self.schedule is not None:
            self.schedule.last_epoch = int(states[0][1]["schedule"])

    def _groups_of(self, position: int) -> list[tuple[int, int]]:
        """The parameter groups of a network, and its row in each."""
        places = [group["replicas"] for group in self.optimizer.param_groups]
        return [
            (place, position - first)
            for place, (first, last) in enumerate(places)
            if first <= position < last
        ]


def _base_lr(group: Mapping[str, Any]) -> float:
    """The learning rate before any schedule."""
    return float(group.get("initial_lr", group["lr"]))


def _rows(value: Any, index: int) -> Any:
    """What an optimizer knows of one network; numbers such as steps are those of all."""
    rowwise = isinstance(value, Tensor) and value.ndim == 2
    return value[index : index + 1] if rowwise else value


def _together(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Of several networks in one parameter group."""
    return {
        name: torch.cat([state[name] for state in states]) if value.ndim == 2 else value
        for name, value in states[0].items()
    }
