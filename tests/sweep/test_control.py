"""Sweeps at work on a store are heard, stopped, cancelled, resumed and tried again."""

import json
import logging
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import ClusterError
from lnets.results import live
from lnets.results.log import kept_log, log_file, log_lines
from lnets.results.records import Status
from lnets.results.store import Store
from lnets.specs.identity import canonical_json
from lnets.specs.load import load_sweep
from lnets.sweep.control import end, retried
from lnets.sweep.driver import missing, submit
from lnets.sweep.plan import Plan, make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import (
    Group,
    InProcessRunner,
    Job,
    execute,
    record_without_result,
    train_here,
)
from tests.conftest import wait_for
from tests.sweep.killing import COMMAND, rows, start

Call = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
HERE = ("--runner", "in-process")


@pytest.fixture
def question(tiny: dict[str, Any], write: Write) -> Path:
    """More trials than a test waits for."""
    tiny["experiment"]["steps"] = 100
    return write({**tiny, "seeds": 1000, "resources": {"fuse": 1}})


@pytest.mark.slow
def test_what_is_at_work_is_heard_stopped_and_resumed_without_its_file(
    question: Path, cli: Call, tmp_path: Path
) -> None:
    store, plan = tmp_path / "store", make_plan(load_sweep(question))
    driver = start(question, store, *HERE)
    wait_for(lambda: (store / "trials").exists() and rows(store))
    command = [*COMMAND, "logs", "-f", "tiny", "--json", "--store", str(store)]
    listener = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found = ended_by("stop", driver, cli, store)
    heard, _ = listener.communicate(timeout=180)  # which ends with the driver
    lines = [json.loads(line) for line in heard.splitlines()]
    assert {"time", "level", "trial_key", "message"} == set(lines[0])
    messages = [line["message"] for line in lines]
    assert "asked to stop: no further trial starts" in messages
    there = f"{len(found)} of 2000 trials are there, {2000 - len(found)} left"
    assert messages[-1] == f"driver ends: {there}"
    completed = {line["trial_key"] for line in lines if line["message"].startswith("completed")}
    assert completed == found

    question.unlink()
    again = start(Path("tiny"), store, *HERE, command="resume")
    wait_for(lambda: len(rows(store)) > len(found))
    assert found < ended_by("stop", again, cli, store)
    assert cli("logs", "tiny")[1].count(" begins\n") == 2
    assert {row["sweep_id"] for row in Store(store).table("sweeps").to_pylist()} == {plan.sweep_id}


@pytest.mark.slow
def test_what_is_at_work_is_cancelled(question: Path, cli: Call, tmp_path: Path) -> None:
    driver = start(question, tmp_path / "store", *HERE)
    wait_for(lambda: (tmp_path / "store" / "trials").exists())
    assert ended_by("cancel", driver, cli, tmp_path / "store")


def ended_by(request: str, driver: subprocess.Popen[str], cli: Call, store: Path) -> set[str]:
    """What the tables have once a driver has done what it was asked."""
    code, _, err = cli(request, "tiny")
    assert (code, f"asked driver {driver.pid}" in err) == (0, True)
    _, errors = driver.communicate(timeout=180)
    assert driver.returncode == 130
    assert f"lnets-sweep resume tiny --store {store}" in errors
    assert {"stop": "stopped, as another command", "cancel": "interrupted; "}[request] in errors
    assert "Traceback" not in errors
    assert not list((store / "spool").glob("*.json"))
    assert list((store / "live").iterdir()) == []
    return set(rows(store))


def test_nobody_is_asked_where_nobody_is_at_work(
    tiny: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    """And what was asked of a process does not end a later one of the same number."""
    plan = make_plan(load_sweep(write(tiny)))
    store = Store(tmp_path / "store", create=True)
    earlier = live.Live(store.root, plan.sweep_id, "tiny", None)
    earlier.beat(())
    assert [one.driver for one in live.ask(store.root, plan.sweep_id, "stop")] == [earlier.driver]
    assert earlier.request() == "stop"
    progress = Progress.of(plan, 0)
    submit(plan, store, InProcessRunner(), progress)
    assert progress.completed == 4
    assert live.ask(store.root, plan.sweep_id, "stop") == []


def test_a_driver_that_has_not_begun_cannot_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnets.sweep.control._PATIENCE_SECONDS", 0)
    store = Store(tmp_path / "store", create=True)
    with pytest.raises(ClusterError, match="has not begun"):
        end(store, "0123456789ab", "stop", patient=True)


def test_groups_that_were_staged_before_the_stop_are_not_run(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store", create=True)
    one = live.Live(store.root, "0123456789ab", "tiny", None)
    one.beat(())
    group = Group(jobs=(), store=str(store.root), device="cpu", threads=1, driver=one.driver)
    live.ask(store.root, "0123456789ab", "stop")
    staged = group.model_copy(update={"jobs": ("not looked at",)})
    assert execute(staged, train_here) == []


def test_only_what_has_failed_is_tried_again(
    tiny: dict[str, Any], cli: Call, write: Write, tmp_path: Path
) -> None:
    plan = make_plan(load_sweep(write(tiny)))
    store = Store(tmp_path / "store", create=True)
    submit(plan, store, InProcessRunner(), Progress.of(plan, 0), chosen=set())
    failed = plan.trials[2]
    end_as(store, plan, {failed.trial_key: "failed"})
    assert retried(store, plan, "failed") == {failed.trial_key}
    assert len(missing(plan, store.ended())) == 4
    assert cli("retry", "tiny", "--failed", *HERE)[0] == 0
    assert "driver ends: 1 of 4 trials are there, 3 left" in cli("logs", "tiny")[1]
    tried = store.table("trials").to_pylist()
    assert {row["trial_key"] for row in tried} == {failed.trial_key}
    assert sorted((row["attempt"], row["status"]) for row in tried) == [
        (1, "failed"),
        (2, "completed"),
    ]
    assert cli("resume", "tiny", *HERE)[0] == 0
    assert len(store.ended().finished) == 4


def end_as(store: Store, plan: Plan, statuses: Mapping[str, Status]) -> None:
    """Let trials of a plan have ended without a result."""
    for trial in plan.everything:
        job = Job(
            trial_key=trial.trial_key,
            config_key=trial.config_key,
            sweep_id=plan.sweep_id,
            name=trial.name,
            label=trial.label,
            seed=trial.seed,
            attempt=1,
            commit=None,
            config=canonical_json(trial.experiment),
        )
        if trial.trial_key in statuses:
            status = statuses[trial.trial_key]
            store.put(record_without_result(job, "cpu", status, "it was so"))
    store.commit()


def test_a_sweep_without_failures_has_nothing_to_try_again(
    tiny: dict[str, Any], cli: Call, write: Write
) -> None:
    assert cli("submit", write(tiny), *HERE)[0] == 0
    code, out, err = cli("retry", "tiny", *HERE)
    assert (code, "no trial has failed" in err) == (0, True)
    assert "tiny" in out


def test_what_is_blocked_by_a_failed_trial_is_tried_again_with_it(
    tuning: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    plan = make_plan(load_sweep(write(tuning)))
    store = Store(tmp_path / "store", create=True)
    first = plan.needs["first"]
    statuses: dict[str, Status] = {trial.trial_key: "blocked" for trial in plan.everything}
    end_as(store, plan, {**statuses, first: "failed"})
    assert retried(store, plan, "failed") == {first}
    assert len(retried(store, plan, "failed or blocked") or ()) == len(plan.everything)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["stop", "nothing"], 4, "no sweep `nothing`"),
        (["logs", "nothing"], 4, "no sweep `nothing`"),
        (["resume", "nothing"], 4, "no sweep `nothing`"),
        (["resume", "nothing", "--follow"], 2, "--follow is for a cluster"),
        (["retry", "nothing", "--wait-for-resources"], 2, "--wait-for-resources is for a cluster"),
        (["resume", "nothing", *HERE, "--address", "http://head"], 2, "in-process is for this"),
        (["list", "--address", "ray://head:10001"], 2, "such as http://head:8265"),
        (["logs", "x", "--json", "--address", "http://head"], 2, "leave out --address"),
    ],
)
def test_every_mistake_has_its_exit_code(
    arguments: list[str], code: int, says: str, cli: Call, tmp_path: Path
) -> None:
    Store(tmp_path / "store", create=True)
    found, out, err = cli(*arguments)
    assert (found, out) == (code, "")
    assert says in err


def test_a_log_has_whole_lines_while_it_is_written(tmp_path: Path) -> None:
    file = log_file(tmp_path, "0123456789ab")
    file.parent.mkdir()
    line = '{"time":"2026-01-01T00:00:00Z","level":"info","trial_key":null,"message":"%s"}\n'
    file.write_text(line % "one" + '{"half": \n' + (line % "two")[:30], encoding="utf-8")
    going_on = threading.Event()
    going_on.set()
    lines = log_lines(tmp_path, "0123456789ab", going_on.is_set)
    assert next(lines).message == "one"
    with file.open("a", encoding="utf-8") as stream:
        stream.write((line % "two")[30:])
    assert next(lines).message == "two"
    going_on.clear()
    assert list(lines) == []


def test_a_log_that_cannot_be_written_ends_no_sweep(
    tiny: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    plan = make_plan(load_sweep(write(tiny)))
    store = Store(tmp_path / "store", create=True)
    log_file(store.root, plan.sweep_id).parent.mkdir()
    log_file(store.root, plan.sweep_id).symlink_to("/dev/full")
    progress = Progress.of(plan, 0)
    submit(plan, store, InProcessRunner(), progress)
    assert progress.completed == 4


def test_warnings_still_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("lnets.sweep.driver")
    with kept_log(tmp_path, "0123456789ab"):
        log.warning("the disk is %s", "full")
        log.info("quiet")
        log.error("failed: shown already", extra={"trial_key": "0" * 64})
    log.warning("afterwards")
    written = [line.message for line in log_lines(tmp_path, "0123456789ab")]
    assert written == ["the disk is full", "quiet", "failed: shown already"]
    shown = capsys.readouterr().err
    assert "the disk is full" in shown
    assert "shown already" not in shown
    assert "quiet" not in shown
