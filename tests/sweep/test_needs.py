"""Trials that a sweep needs: identity, order, and exactly once whatever is killed."""

import contextlib
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lnets.results.lineage import describe_trial, trial_text
from lnets.results.query import connect
from lnets.results.records import Ended
from lnets.results.selected import Selected
from lnets.results.store import Store
from lnets.results.tables import make_table
from lnets.specs.load import load_sweep
from lnets.specs.sweep import SweepSpec
from lnets.sweep.answers import compare_of
from lnets.sweep.driver import missing, submit
from lnets.sweep.history import collect_garbage
from lnets.sweep.messages import Result
from lnets.sweep.overview import status_of
from lnets.sweep.plan import Plan, Skipped, expected_seconds, make_plan
from lnets.sweep.preview import preview
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner
from lnets.sweep.schedule import Schedule
from tests.conftest import wait_for
from tests.sweep.killing import ended, kill_again_and_again, kill_with_ray, rows, start

Write = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("_quick")


def plan_of(data: dict[str, Any], **changes: Any) -> Plan:
    return make_plan(SweepSpec.model_validate_json(json.dumps({**data, **changes})))


def run(plan: Plan, store: Store) -> Progress:
    progress = Progress.of(plan, 0)
    submit(plan, store, InProcessRunner(), progress)
    return progress


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_what_is_needed_enters_identity(tuning: dict[str, Any]) -> None:
    plan = plan_of(tuning)
    first, second = plan.needed
    assert plan.needs == {"first": first.trial_key, "second": second.trial_key}
    assert second.experiment.init_from == first.trial_key
    assert (first.needs, second.needs, second.seed) == ((), (first.trial_key,), 7)
    assert [trial.experiment.init_from for trial in plan.trials] == list(plan.needs.values())
    assert [trial.needs for trial in plan.trials] == [(first.trial_key,), (second.trial_key,)]
    assert [trial.label for trial in plan.everything] == [
        "tuning needs first",
        "tuning needs second",
        "tuning init_from=first seed=0",
        "tuning init_from=second seed=0",
    ]
    tuning["needs"]["first"]["seed"] = 1
    other = plan_of(tuning)
    every = {trial.trial_key for trial in plan.everything}
    assert every.isdisjoint(trial.trial_key for trial in other.everything)
    assert {t.config_key for t in plan.trials}.isdisjoint(t.config_key for t in other.trials)


def test_names_are_nothing_but_names(tuning: dict[str, Any]) -> None:
    """A key in place of the name, or another name, gives the same trial."""
    plan = plan_of(tuning, search={"init_from": ["second"]})
    (trial,) = plan.trials
    keyed = {**tuning["experiment"], "init_from": plan.needs["second"]}
    (same,) = plan_of({"name": "keyed", "experiment": keyed, "seeds": 1}).trials
    assert same.trial_key == trial.trial_key
    tuning["needs"]["twin"] = tuning["needs"]["first"]
    twins = plan_of(tuning, search={"init_from": ["first", "twin"]}, needs={
        name: tuning["needs"][name] for name in ("first", "twin")})  # fmt: skip
    assert [trial.label for trial in twins.needed] == ["tuning needs first, twin"]
    assert twins.num_configurations == 1
    assert set(twins.needs) == {"first", "twin"}


def test_a_configuration_may_be_needed_by_others(tuning: dict[str, Any], store: Store) -> None:
    """It runs once, and is compared."""
    plan = plan_of(tuning, search={"init_from": [None, "first", "second"]})
    assert [trial.label for trial in plan.needed] == ["tuning needs second"]
    assert plan.needs["first"] == plan.trials[0].trial_key
    assert len(plan.everything) == 4
    assert run(plan, store).completed == 4
    assert {row["name"] for row in rows(store.root).values()} == {"tuning", "tuning.second"}


def test_only_needs_that_drawn_configurations_use_are_trained(tuning: dict[str, Any]) -> None:
    tuning["needs"]["third"] = tuning["needs"]["first"] | {"seed": 5}
    search = {"init_from": ["first", "second", "third"]}
    seen = set()
    for seed in range(8):
        algorithm = {"type": "random", "configurations": 1, "seed": seed}
        seen.add(tuple(plan_of(tuning, search=search, algorithm=algorithm).needs))
    assert seen == {("first",), ("first", "second"), ("third",)}


def test_drawn_configurations_that_a_need_does_not_fit_are_skipped(tuning: dict[str, Any]) -> None:
    tuning["search"]["model.layers"] = [[32, 32, 10], [16, 10]]
    plan = plan_of(tuning, algorithm={"type": "random", "configurations": 4})
    assert plan.num_configurations == 2
    reasons = {(skipped.overrides["init_from"], skipped.reason) for skipped in plan.skipped}
    assert all(isinstance(skipped, Skipped) for skipped in plan.skipped)
    assert {name for name, _ in reasons} == {"first", "second"}
    assert all(f"init_from must not be the need `{name}`" in reason for name, reason in reasons)


def test_only_what_is_missing_is_needed(tuning: dict[str, Any]) -> None:
    plan = plan_of(tuning)
    first, second, uses_first, uses_second = plan.everything

    def left(*finished: Any) -> list[Any]:
        keys = frozenset(trial.trial_key for trial in finished)
        return missing(plan, Ended(keys, keys, frozenset(), frozenset(), {}))

    assert left() == [first, second, uses_first, uses_second]
    assert left(uses_first, uses_second) == []
    assert left(uses_first) == [first, second, uses_second]
    assert left(uses_first, second) == [uses_second]
    assert left(first, uses_second) == [uses_first]


def test_seconds_of_configurations_say_nothing_of_needs(tuning: dict[str, Any]) -> None:
    tuning["needs"]["second"]["experiment"]["epochs"] = 2
    plan = plan_of(tuning)
    first, second, uses_first, _ = plan.everything
    known = {uses_first.config_key: 4.0}
    assert expected_seconds(plan, known) == dict.fromkeys([t.trial_key for t in plan.trials], 4.0)
    known = {first.config_key: 9.0, second.config_key: 5.0}
    assert expected_seconds(plan, known) == {first.trial_key: 9.0, second.trial_key: 5.0}


def test_a_preview_and_a_status_tell_of_needs(tuning: dict[str, Any], store: Store) -> None:
    plan = plan_of(tuning)
    before = preview(plan, store.root)
    assert [need.status for need in before.needs.values()] == ["missing", "missing"]
    assert (before.done, before.trials, len(before.to_run)) == (0, 2, 2)
    assert f"needs first: trial {plan.needs['first'][:12]}, trained first" in before.to_text()
    run(plan, store)
    after = preview(plan, store.root)
    assert [need.status for need in after.needs.values()] == ["completed", "completed"]
    assert (after.done, after.to_run, after.expected_train_seconds) == (2, (), 0)
    wider = plan_of(tuning, seeds=2)
    assert preview(wider, store.root).expected_train_seconds is not None
    (status,) = status_of(store, "tuning")
    assert (status.counts.trials, status.counts.completed) == (2, 2)
    assert f"needs second: trial {plan.needs['second'][:12]} completed" in status.to_text()
    assert status.to_json()["needs"]["first"]["trial_key"] == plan.needs["first"]


def test_needs_that_diverged_or_failed_are_told(tuning: dict[str, Any], store: Store) -> None:
    tuning["needs"]["first"]["experiment"] |= {"optim": {"type": "sgd", "lr": 1000.0}}
    tuning["needs"]["first"]["experiment"]["model"]["linear"] = {"type": "standard"}
    plan = plan_of(tuning)
    run(plan, store)
    states = {name: need.status for name, need in preview(plan, store.root).needs.items()}
    assert states == {"first": "diverged", "second": "blocked"}
    (status,) = status_of(store, "tuning")
    assert (status.counts.blocked, status.counts.missing) == (2, 0)
    assert [need.status for need in status.needs.values()] == ["diverged", "blocked"]
    key = plan.needs["first"]
    reason = f"needs `first`, which has diverged (trial {key}); change its experiment"
    assert f"blocked: 2 trials: {reason}" in status.failures
    tuning["needs"]["first"]["experiment"] |= {"init_from": "b" * 64}
    failing = plan_of(tuning)
    for attempt in (1, 2):
        run(failing, store)
        found = store.table("trials").to_pylist()
        mine = {trial.trial_key for trial in failing.everything}
        attempts = [row["attempt"] for row in found if row["trial_key"] in mine]
        assert sorted(attempts) == sorted([*range(1, attempt + 1)] * 4)
    assert preview(failing, store.root).needs["first"].status == "failed"
    ended = store.ended()
    assert ended.failed == {failing.needs["first"]}  # what was blocked may still train together


def test_tables_show_names_and_no_needs(tuning: dict[str, Any], store: Store) -> None:
    plan = plan_of(tuning)
    run(plan, store)
    layout = plan.sweep.table_layout()
    table = make_table(Selected.of(connect(store), [plan.as_trials()]), layout)
    assert [cell.row for cell in table.cells] == [{"init_from": "first"}, {"init_from": "second"}]
    assert (table.sweeps[0].trials, table.sweeps[0].completed) == (2, 2)
    tuning["needs"]["first"]["seed"] = 1
    other = plan_of(tuning, name="other")
    run(other, store)
    sweeps = [plan.as_trials(), other.as_trials()]
    both = make_table(Selected.of(connect(store), sweeps), layout)
    names = [
        f"{name} ({sweep.needs[name][:12]})" for sweep in (plan, other) for name in sweep.needs
    ]
    assert [cell.row["init_from"] for cell in both.cells] == names


def test_comparisons_show_names(tuning: dict[str, Any], store: Store) -> None:
    plan = plan_of(tuning)
    run(plan, store)
    first, second = (trial.config_key[:12] for trial in plan.trials)
    sides = compare_of(store, [first, second], [])
    assert sides.configurations == {"init_from": (("first",), ("second",))}
    tuning["needs"]["first"]["seed"] = 1
    run(plan_of(tuning, name="other"), store)
    found = compare_of(store, ["tuning", "other"], []).configurations["init_from"]
    assert all("first (" in shown or "second (" in shown for side in found for shown in side)


def test_a_needed_trial_tells_what_needs_it(tuning: dict[str, Any], store: Store) -> None:
    plan = plan_of(tuning, search={"init_from": [None, "second"]})
    run(plan, store)
    first, second = (describe_trial(store, plan.needs[name]) for name in ("first", "second"))
    sweep = f"tuning ({plan.sweep_id})"
    assert (first["sweeps"], first["needed_by"]) == ([sweep], [f"{sweep} as first"])
    assert (second["sweeps"], second["needed_by"]) == ([], [f"{sweep} as second"])
    assert f"needed by      {sweep} as second" in trial_text(second)


def test_what_a_kept_sweep_needs_is_no_garbage(tuning: dict[str, Any], store: Store) -> None:
    """Although the sweep that it is a trial of is dropped."""
    long_ago = time.time() - 7200
    plan = plan_of(tuning)
    source = {"name": "source", "experiment": tuning["needs"]["first"]["experiment"], "seeds": 2}
    run(plan_of(source), store)
    run(plan, store)
    for path in (store.root / "artifacts").rglob("*"):
        os.utime(path, (long_ago, long_ago))
    first, other = (trial.trial_key for trial in plan_of(source).trials)
    assert plan.needs["first"] == first
    found = {one.path.name for one in collect_garbage(store, ["source"], really=True)}
    assert found == {other}
    found = {one.path.name for one in collect_garbage(store, ["source", "tuning"], really=False)}
    assert found == {trial.trial_key for trial in plan.everything}


def test_a_trial_waits_for_nothing_but_its_needs(tuning: dict[str, Any], store: Store) -> None:
    del tuning["needs"]["second"]["experiment"]["init_from"]
    plan = plan_of(tuning)
    groups = [(trial,) for trial in plan.everything]
    schedule = Schedule(plan, groups, store, None, Progress.of(plan, 0), lambda: None)
    first, second = next(schedule), next(schedule)
    assert first is not None
    assert second is not None
    assert [first.label, second.label] == ["tuning needs first", "tuning needs second"]
    assert next(schedule) is None
    schedule.ended(second, [Result(trial_key=plan.needs["second"], status="completed")])
    third = next(schedule)
    assert third is not None
    assert third.label == "tuning init_from=second seed=0"
    assert next(schedule) is None
    schedule.ended(first, [Result(trial_key=plan.needs["first"], status="completed")])
    last = list(itertools.takewhile(bool, schedule))
    assert [group.label for group in last if group] == ["tuning init_from=first seed=0"]


def test_what_another_driver_has_trained_is_not_waited_for(
    tuning: dict[str, Any], store: Store
) -> None:
    plan = plan_of(tuning)
    progress = Progress.of(plan, 0)
    groups = [(trial,) for trial in plan.everything]
    schedule = Schedule(plan, groups, store, None, progress, lambda: None)
    group = next(schedule)
    assert group is not None
    assert group.label == "tuning needs first"
    assert next(schedule) is None
    run(plan_of(tuning, search={"init_from": ["second"]}), store)
    schedule.ended(group, [Result(trial_key=plan.needs["first"], status="failed")])
    last = list(itertools.takewhile(bool, schedule))
    assert [group.label for group in last if group] == ["tuning init_from=first seed=0"]
    assert (progress.done, progress.blocked) == (2, 0)


@pytest.mark.slow
def test_a_driver_killed_again_and_again(
    tuning: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    spec = write({**tuning, "seeds": 2})
    store = tmp_path / "store"
    kill_again_and_again(spec, store, lives=2)
    lands_once(spec, store, "--runner", "in-process")


@pytest.mark.slow
@pytest.mark.ray
def test_a_driver_killed_when_a_need_has_just_ended(
    tuning: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    spec = write(tuning)
    store = tmp_path / "store"
    driver = start(spec, store)
    wait_for(lambda: ended(store))
    descendants = kill_with_ray(driver)
    assert len(ended(store)) < 4, "the sweep ended before it could be killed"
    lands_once(spec, store)
    for process in descendants:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # Ray's agents outlive a killed driver by minutes


def lands_once(spec: Path, store: Path, *flags: str) -> None:
    """What was left runs; each trial is there once, and what had ended before was not run again."""
    survivors = {key: row["started_at"] for key, row in rows(store).items()}
    driver = start(spec, store, *flags)
    _, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors
    final = rows(store)
    plan = make_plan(load_sweep(spec))
    assert set(final) == {trial.trial_key for trial in plan.everything}
    assert {key: final[key]["started_at"] for key in survivors} == survivors
    starts = {key: row["started_at"] for key, row in final.items()}
    for trial in plan.everything:
        assert all(starts[key] < starts[trial.trial_key] for key in trial.needs)
