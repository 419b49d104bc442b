"""What a submission would run: the dry run."""

import json
import os
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from lnets.errors import NotFoundError
from lnets.results.query import mean_train_seconds
from lnets.results.records import KEY_DIGITS, Ended
from lnets.results.store import Store
from lnets.specs.spec import many
from lnets.sweep.driver import missing
from lnets.sweep.grouping import make_groups, why_alone
from lnets.sweep.overview import Need
from lnets.sweep.plan import Plan, Skipped, expected_seconds
from lnets.sweep.search import plan_so_far

_STATES = {
    "completed": "trained already",
    "diverged": "has diverged, so what uses it is blocked",
    "blocked": "is blocked, because what it needs has diverged",
    "failed": "trained first, once more because it has failed",
    "missing": "trained first",
    "unused": "not trained, because what uses it is done",
}


@dataclass(frozen=True)
class Preview:
    """The trials of a sweep, and which of them would run."""

    name: str
    sweep_id: str
    configurations: int
    seeds: int
    trials: int
    done: int
    needs: Mapping[str, Need]
    """How far what these trials need is, by name."""
    to_run: tuple[str, ...]
    """Labels, in the order of running; without those of what is needed."""
    groups: int
    """Groups of trials to run, each trained at once by one worker of a machine like this."""
    alone: tuple[str, ...]
    """Reasons why some are trained one by one."""
    to_come: int
    """Configurations that a search has yet to propose."""
    skipped: tuple[Skipped, ...]
    expected_train_seconds: float | None
    """Of all trials to run together; None where the store knows nothing of them."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def to_text(self) -> str:
        """For a person."""
        lines = [
            f"{self.name} ({self.sweep_id}): {many(self.configurations, 'configuration')} × "
            f"{many(self.seeds, 'seed')} = {many(self.trials, 'trial')}",
            *(
                f"needs {name}: trial {need.trial_key[:KEY_DIGITS]}, {_STATES[need.status]}"
                for name, need in self.needs.items()
            ),
            f"done already: {self.done}, to run: {len(self.to_run)}"
            + (
                f", and up to {many(self.to_come, 'configuration')} proposed as results come in"
                if self.to_come
                else ""
            ),
        ]
        if self.to_run:
            lines.append(f"training time of these: {_duration(self.expected_train_seconds)}")
            lines.append(f"groups, each trained at once: {self.groups}")
        lines += [f"one by one: {reason}" for reason in self.alone]
        if self.to_run:
            lines += ["trials to run:", *(f"  {label}" for label in self.to_run)]
        lines += [
            f"  skipped {json.dumps(skipped.overrides)}: {skipped.reason}"
            for skipped in self.skipped
        ]
        return "\n".join(lines)


def preview(plan: Plan, folder: Path) -> Preview:
    """Compare a plan with a store, which need not exist yet; nothing is written."""
    try:
        store = Store(folder)
    except NotFoundError:
        ended, known = Ended.of([]), {}
    else:
        ended, known = store.ended(), mean_train_seconds(store)
        plan = plan_so_far(plan.sweep, store)
    to_run = missing(plan, ended)
    keys = {trial.trial_key for trial in to_run}
    own = [trial.label for trial in plan.trials if trial.trial_key in keys]
    seconds = expected_seconds(plan, known)
    resources = plan.sweep.resources
    workers = max(1, (os.cpu_count() or 1) // (resources.cpu * resources.workers))
    workers = min(workers, resources.max_concurrent or workers)
    separate = [] if resources.fuse == "off" else to_run
    reasons = [why_alone(trial.experiment, resources) for trial in separate]
    return Preview(
        plan.sweep.name,
        plan.sweep_id,
        plan.num_configurations,
        len(plan.sweep.seed_list()),
        plan.num_configurations * len(plan.sweep.seed_list()),
        len(plan.trials) - len(own),
        _needs(plan, keys, ended),
        tuple(own),
        len(make_groups(to_run, resources, workers, ended.failed)),
        tuple(dict.fromkeys(reason for reason in reasons if reason is not None)),
        plan.num_configurations - len({trial.config_key for trial in plan.trials}),
        plan.skipped,
        sum(seconds[key] for key in keys) if keys <= seconds.keys() else None,
    )


def _needs(plan: Plan, to_run: Container[str], ended: Ended) -> dict[str, Need]:
    """How far what a plan needs is, by name."""
    uses = {trial.trial_key: trial.needs for trial in plan.everything}
    states: dict[str, str] = {}
    for key in plan.needs.values():  # each after those that it uses
        if key in ended.finished:
            states[key] = "completed" if key in ended.completed else "diverged"
        elif any(states[other] in ("diverged", "blocked") for other in uses[key]):
            states[key] = "blocked"
        elif key in to_run:
            states[key] = "failed" if key in ended.failed else "missing"
        else:
            states[key] = "unused"
    return {name: Need(key, states[key]) for name, key in plan.needs.items()}


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown, because the store holds no such trial yet"
    return f"about {timedelta(seconds=round(seconds))}, divided by the trials that fit at once"
