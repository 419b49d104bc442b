"""Watching a sweep from another terminal, and what is told when it ends."""

import contextlib
import io
import json
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lnets.errors import SpecError, StoreError
from lnets.results import live as living
from lnets.results.live import Live, ask
from lnets.results.store import Store
from lnets.specs.sweep import SweepSpec
from lnets.sweep import progress as progresses
from lnets.sweep import watch as watching
from lnets.sweep.driver import submit
from lnets.sweep.messages import Group, Job, Result
from lnets.sweep.notify import notification, notifying
from lnets.sweep.overview import find_submission, status_of
from lnets.sweep.plan import Plan, make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.readings import readings
from lnets.sweep.runner import InProcessRunner

Cli = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
LISTENER = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"


def plan_of(data: dict[str, Any]) -> Plan:
    return make_plan(SweepSpec.model_validate_json(json.dumps(data)))


@pytest.fixture
def watched(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Store, Live, Progress]:
    """A sweep that is done, whose driver says that it is half through, until looked at twice."""
    monkeypatch.setattr(watching, "_LOOK_SECONDS", 0.0)
    plan, store = plan_of(tiny), Store(tmp_path / "store", create=True)
    progress = Progress.of(plan, 0)
    submit(plan, store, InProcessRunner(), progress)
    progress.total, progress.retried, progress.last_error = 8, 1, "worker lost: it died"
    live = Live(store.root, plan.sweep_id, "tiny", "http://127.0.0.1:8265")
    live.beat(("tiny optim.lr=0.1 seed=0",), progress.standing(2))
    found = watching.heartbeats
    left = iter(range(2))

    def twice(root: Path) -> list[Any]:
        if next(left, None) is None:
            live.stop()
        return found(root)

    monkeypatch.setattr(watching, "heartbeats", twice)
    return store, live, progress


def looks_of(store: Store) -> tuple[Any, Callable[[], Any]]:
    sweep_id = find_submission(store, "tiny")["sweep_id"]
    return watching.looks(store.root, sweep_id), lambda: status_of(store, "tiny")[0]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_sees_how_far_it_is_until_it_ends(
    watched: tuple[Store, Live, Progress], terminal: bool
) -> None:
    store, _, progress = watched
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, height=60)
    watching.watch(*looks_of(store), console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "4 of 4 trials completed" in said
    assert f"{progress.best:.5g}" in said
    for part in ("workers lost", "spooled", "left", "steps/s", "ETA"):
        assert part in said
    if terminal:
        assert "optim.lr=0.1 seed=0" in said
        assert "worker lost: it died" in said
        assert "http://127.0.0.1:8265" in said
    else:
        assert said.count("tiny: 4/8 done") == 1, "a line is said again although little time passed"


def test_a_program_reads_each_look_once(watched: tuple[Store, Live, Progress]) -> None:
    store, _, _ = watched
    look, status = watching.watch_as_json(*looks_of(store))
    assert look["standing"]["total"] == 8
    assert look["running"] == ["tiny optim.lr=0.1 seed=0"]
    assert status["completed"] == 4


def test_a_driver_that_was_asked_to_stop_says_so(watched: tuple[Store, Live, Progress]) -> None:
    store, live, progress = watched
    assert "stopping" not in status_of(store, "tiny")[0].to_text()
    ask(store.root, find_submission(store, "tiny")["sweep_id"], "stop")
    live.beat((), progress.standing(0))
    assert "stopping: nothing further begins" in status_of(store, "tiny")[0].to_text()
    console = Console(file=io.StringIO(), width=300)
    watching.watch(*looks_of(store), console)
    assert "stopping: nothing further begins" in console.file.getvalue()  # type: ignore[attr-defined]


def test_watching_ends_where_no_driver_is_at_work(cli: Cli, write: Write, tiny: Any) -> None:
    spec = write(tiny)
    assert cli("submit", spec, "--runner", "in-process")[0] == 0
    status, said, _ = cli("watch", "tiny")
    assert (status, "4 of 4 trials completed" in said) == (0, True)
    status, said, _ = cli("watch", spec, "--json")
    assert (status, json.loads(said)["completed"]) == (0, 4)
    assert cli("watch", "other")[0] == 4


def test_a_driver_tells_how_far_it_is(tiny: dict[str, Any], tmp_path: Path) -> None:
    """Also those who read the numbers by name."""
    store = Store(tmp_path / "store", create=True)
    plan = plan_of({**tiny, "seeds": 400})
    progress = Progress.of(plan, 0)
    found: list[dict[str, float]] = []
    stop = threading.Event()

    def publish(read: Any) -> None:
        found.append({one.name + one.labels.get("state", ""): one.value for one in read})
        stop.set()

    with pytest.raises(KeyboardInterrupt):
        submit(plan, store, InProcessRunner(), progress, interrupted=stop, publish=publish)
    assert found[0]["lnets_trialsleft"] + found[0]["lnets_trials_ended"] == 800


def test_who_watches_sees_how_far_a_trial_is_inside(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store", create=True)
    plan = plan_of({**tiny, "resources": {"fuse": "off"}})
    progress = Progress.of(plan, 0)
    seen: list[str] = []
    tell = living.Teller.tell

    def told(teller: living.Teller, *said: Any) -> None:
        tell(teller, *said)
        progress.hear(store.root)
        seen.extend(progress.at_work[:1])

    monkeypatch.setattr(living, "_TELL_SECONDS", 0.0)
    monkeypatch.setattr(living.Teller, "tell", told)
    submit(plan, store, InProcessRunner(), progress)
    assert re.fullmatch(r"tiny .* seed=0 · step \d+, train_dual [-.e\d]+", seen[0])
    assert {text.partition(" · ")[0] for text in seen} == {trial.label for trial in plan.trials}
    tell(living.Teller(store.root, "0" * 64), 1, {})  # as of a network without singular values
    progress.hear(store.root)
    assert (progress.said, list((store.root / "live").iterdir())) == ({}, [])


def test_what_others_need_does_not_count_into_the_time_that_is_left(
    tuning: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progresses, "time", SimpleNamespace(monotonic=lambda: now[0]))
    plan = plan_of(tuning)
    progress = Progress.of(plan, 0)
    same: dict[str, Any] = {"config_key": "c", "sweep_id": "s", "name": "n", "label": "l"}
    for trial, seconds in zip(plan.everything, (100.0, 100.0, 3.0), strict=False):
        assert progress.seconds_left is None
        job = Job(trial_key=trial.trial_key, seed=0, attempt=1, commit=None, config="{}", **same)
        group = Group(jobs=(job,), store="s", device="cpu", threads=1)
        progress.start(group)
        now[0] += seconds
        progress.end(group, [Result(trial_key=trial.trial_key, status="completed")])
    assert progress.seconds_left == 3.0


def test_a_command_hears_how_a_sweep_has_ended(
    cli: Cli,
    write: Write,
    tmp_path: Path,
    tiny: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = tmp_path / "it's heard"
    command = f"{sys.executable} -c '{LISTENER}' \"{heard}\""
    spec = write(tiny)
    assert cli("submit", spec, "--runner", "in-process", "--notify", command)[0] == 0
    message = json.loads(heard.read_text())
    assert (message["sweep"], message["state"], message["error"]) == ("tiny", "done", None)
    assert (message["total"], message["done"], message["left"]) == (4, 4, 0)
    assert message["seconds"] > 0
    assert cli("submit", spec, "--notify", "false")[0] == 0
    assert "--notify false: exit code 1" in caplog.text
    assert cli("submit", spec, "--notify", "'")[0] == cli("submit", spec, "--notify", "")[0] == 2


@pytest.mark.parametrize(
    ("error", "state"),
    [(None, "done"), (KeyboardInterrupt(), "interrupted"), (StoreError("full"), "error")],
)
def test_a_command_hears_of_what_ends_a_sweep_early(
    tmp_path: Path, tiny: dict[str, Any], error: BaseException | None, state: str
) -> None:
    heard = tmp_path / "heard"
    command = [sys.executable, "-c", LISTENER, str(heard)]
    progress = Progress.of(plan_of(tiny), 0)
    raised = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with raised, notifying(command, "tiny", progress):
        if error is not None:
            raise error
    message = json.loads(heard.read_text())
    assert (message["state"], message["error"]) == (state, "full" if state == "error" else None)


def test_a_notification_is_no_shell_command() -> None:
    assert notification("env 'a b' ; $HOME") == ["env", "a b", ";", "$HOME"]
    with pytest.raises(SpecError, match="mend its quotes"):
        notification("say 'a")


def test_a_command_that_is_not_there_is_told_before_anything_runs() -> None:
    with pytest.raises(SpecError, match="there is no command `no-such-command` here"):
        notification("no-such-command x")


def test_numbers_that_cannot_be_shown_end_no_sweep(tiny: dict[str, Any], tmp_path: Path) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("nobody listens")

    progress = Progress.of(plan_of(tiny), 0)
    store = Store(tmp_path / "store", create=True)
    submit(plan_of(tiny), store, InProcessRunner(), progress, publish=broken)
    assert progress.completed == store.table("trials").num_rows == 4


def test_numbers_have_meanings_that_ray_takes(tiny: dict[str, Any]) -> None:
    progress = Progress.of(plan_of(tiny), 0)
    progress.best = progress.speed = progress.orthonormality_error = 1.0
    assert all(one.meaning.isascii() for one in readings("tiny", progress.standing(0), 0))


def test_numbers_that_are_not_known_yet_are_left_out(tiny: dict[str, Any]) -> None:
    names = {one.name for one in readings("tiny", Progress.of(plan_of(tiny), 0).standing(0), 0)}
    assert names == {
        "lnets_trials", "lnets_spool_length", "lnets_workers_lost", "lnets_trials_ended",
    }  # fmt: skip
