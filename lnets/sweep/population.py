"""Population-based training: which configurations give way to which, and what they change."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lnets.specs.experiment import TrainingSpec, has_bjorck_iter
from lnets.specs.overrides import Overrides
from lnets.specs.schedulers import PopulationSpec
from lnets.sweep.plan import Trial
from lnets.sweep.rules import Candidate, Rule, Stage, multiples, pauses

_MOST_LR, _MOST_ITERATIONS = 1000.0, 200


class Population(Rule):
    """All pause together; the worst are replaced by copies of the best that go on otherwise.

    A copy is an experiment of its own: that of the best with one more of its `changes`, which any
    worker can train from the start. Most go on from the checkpoint that the best has kept.

    Source:
        Jaderberg et al. (2017), arXiv:1711.09846; truncation selection, factors up and down.

    Args:
        spec: How often, how many, by how much.
    """

    def __init__(self, spec: PopulationSpec) -> None:
        self.worse = "is among the worst of its population"
        self._spec = spec

    def stages(self, number: int, trials: Sequence[Trial]) -> tuple[Stage, ...]:
        """All pauses, whose checkpoints are kept, and the end."""
        stages = pauses(trials, multiples(self._spec.grace))
        kept = [tuple(replace(trial, keep=True) for trial in stage) for stage in stages[:-1]]
        return (*kept, stages[-1])

    def goes_on(
        self, one: Candidate, stage: int, every: Sequence[Candidate], more: bool
    ) -> bool | None:
        """Whether it is not among the worst, once all have come."""
        if more or any(c.verdict is None and stage >= len(c.values) for c in every if c.stages):
            return None
        order = self._order(stage, every)
        return order.index(one) < len(order) - self._count(order)

    def successor(self, one: Candidate, stage: int, every: Sequence[Candidate]) -> Overrides | None:
        """One of the best with other hyperparameters from here on."""
        order = self._order(stage, every)
        chance = random.Random(f"{self._spec.seed} {stage} {one.number}")  # noqa: S311
        best = chance.choice(order[: self._count(order)])
        (trial, *_), experiment = best.stages[stage], best.trials[0].training
        earlier = tuple(change.model_dump() for change in experiment.changes)
        changes = (*earlier, {"at": trial.until, **self._changed(experiment.changed(), chance)})
        return {**best.overrides, "changes": changes}

    def _order(self, stage: int, every: Sequence[Candidate]) -> list[Candidate]:
        """Those that have come to the end of a stage, the best first."""
        arrived = [c for c in every if c.mean(stage) is not None]
        return sorted(arrived, key=lambda c: (-(c.mean(stage) or 0.0), c.number))

    def _count(self, order: Sequence[Candidate]) -> int:
        return int(len(order) * self._spec.quantile)

    def _changed(self, experiment: TrainingSpec, chance: random.Random) -> dict[str, Any]:
        factor = self._spec.factor
        lr = experiment.optim.lr * chance.choice((factor, 1 / factor))
        changes: dict[str, Any] = {"lr": min(lr, _MOST_LR)}
        if has_bjorck_iter(experiment.model):
            now = experiment.model.model_dump()["linear"]["bjorck_iter"]
            more = min(max(now + 1, round(now * factor)), _MOST_ITERATIONS)
            fewer = max(min(now - 1, round(now / factor)), 1)
            changes["bjorck_iter"] = chance.choice((more, fewer))
        return changes
