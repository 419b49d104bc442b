"""Trials whose worker has died begin again after a while, and a submission ends in time."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lnets.results.store import Store
from lnets.specs.sweep import SweepSpec
from lnets.sweep import driver as driver_module
from lnets.sweep import schedule as schedule_module
from lnets.sweep.driver import submit
from lnets.sweep.messages import Group
from lnets.sweep.plan import Plan, make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner
from lnets.sweep.schedule import Schedule
from tests.conftest import wait_for
from tests.sweep.killing import rows


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (schedule_module, driver_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def plan_of(tiny: dict[str, Any], **resources: Any) -> Plan:
    data = {**tiny, "search": {}, "seeds": 3, "resources": {"fuse": "off", **resources}}
    return make_plan(SweepSpec.model_validate_json(json.dumps(data)))


def group_of(schedule: Iterator[Group | None]) -> Group:
    group = next(schedule)
    assert group is not None
    return group


def test_a_group_waits_twice_as_long_after_each_death_and_then_has_failed(
    tiny: dict[str, Any], store: Store, clock: Clock
) -> None:
    plan = plan_of(tiny, max_failures=3, backoff=4)
    progress = Progress.of(plan, 0)
    groups = [(trial,) for trial in plan.trials[:1]]
    schedule = Schedule(plan, groups, store, None, progress, lambda: None)
    first = group_of(schedule)
    for wait in (4, 8, 16):
        schedule.started(first)
        schedule.lost(first, "it died")
        assert next(schedule) is None
        clock.now += wait - 0.01
        assert next(schedule) is None
        clock.now += 0.02
        assert group_of(schedule) == first
    assert (progress.retried, progress.failed) == (3, 0)
    assert store.spooled(first.jobs[0].trial_key) is None
    schedule.lost(first, "it died")
    assert progress.failed == 1
    assert next(schedule, "the end") == "the end"


def test_others_run_while_one_waits(tiny: dict[str, Any], store: Store, clock: Clock) -> None:
    plan = plan_of(tiny)
    schedule = Schedule(
        plan, [(trial,) for trial in plan.trials], store, None, Progress.of(plan, 0), lambda: None
    )
    first = group_of(schedule)
    schedule.lost(first, "it died")
    assert group_of(schedule) != first
    clock.now += 2
    assert group_of(schedule) == first


class Slow(InProcessRunner):
    """Has groups staged, and takes six seconds before each."""

    def __init__(self, clock: Clock, store: Store, budget: float) -> None:
        self._clock, self._requests, self._end = clock, store.root / "live", clock.now + budget

    def run(self, groups: Any, listener: Any) -> None:
        def slowly() -> Iterator[Group | None]:
            for group in list(itertools.islice(groups, 3)):
                self._clock.now += 6
                if self._clock.now >= self._end:
                    wait_for(lambda: list(self._requests.glob("*.stop")))
                yield group

        super().run(slowly(), listener)


def test_nothing_starts_once_the_time_budget_is_spent(
    tiny: dict[str, Any], store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what was staged before; what had ended is there, and submitting again goes on."""
    monkeypatch.setattr(driver_module, "_COMMIT_SECONDS", 0.01)
    plan = plan_of(tiny, time_budget=10)
    with pytest.raises(KeyboardInterrupt, match="the time budget of 10 s is spent"):
        submit(plan, store, Slow(clock, store, 10), Progress.of(plan, 0))
    assert len(rows(store.root)) == 1
    submit(plan, store, InProcessRunner(), Progress.of(plan, 1))
    assert len(rows(store.root)) == 3


def test_a_budget_that_the_last_trials_have_spent_ends_nothing_early(
    tiny: dict[str, Any], store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "_COMMIT_SECONDS", 0.01)
    plan = plan_of(tiny, time_budget=10)

    class Late(InProcessRunner):
        def run(self, groups: Any, listener: Any) -> None:
            super().run(groups, listener)
            clock.now += 60
            wait_for(lambda: list((store.root / "live").glob("*.stop")))

    progress = Progress.of(plan, 0)
    submit(plan, store, Late(), progress)
    assert (progress.completed, progress.left) == (3, 0)
