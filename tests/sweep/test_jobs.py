"""Sweeps on a Ray cluster that others have started, with one real head for all tests."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.nodes import started_head
from lnets.results.store import Store
from lnets.sweep.code import code_commit
from lnets.sweep.handover import job_environment
from tests.conftest import TINY
from tests.sweep.test_gans import sweep
from tests.tasks.gans import data_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TOKEN = "0123456789abcdef" * 2
PROGRAM = "from lnets.cli import main; main()"
QUESTION = {
    **TINY,
    "experiment": {**TINY["experiment"], "steps": 3000},
    "seeds": 10,
    "resources": {"fuse": "off"},
}
"""Trials of a second or more, one after the other."""
TRIALS = 20
Call = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with started_head(TOKEN) as started:
        yield started


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)


def job_of(cli: Call, address: str, name: str) -> dict[str, Any]:
    code, out, err = cli("list", "--address", address, "--json")
    assert code == 0, err
    [job] = [job for job in json.loads(out) if job["name"] == name]
    return dict(job)


def rows(store: Path) -> list[str]:
    return [row["trial_key"] for row in Store(store).table("trials").to_pylist()]


@contextlib.contextmanager
def watched(address: str, name: str) -> Iterator[Iterator[dict[str, Any]]]:
    """What a program that watches a sweep reads, as it comes."""
    command = ["watch", name, "--address", address, "--json"]
    watcher = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command], stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout is not None
    try:
        yield map(json.loads, watcher.stdout)
        assert watcher.wait() == 0
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdout.close()


def first_line(address: str, name: str, what: str) -> str:
    """The first line of `logs -f` that has something, read while the job is at work."""
    command = ["logs", "-f", name, "--address", address]
    follower = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command], stdout=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    try:
        return next(line for line in follower.stdout if what in line)
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()


def test_a_sweep_is_handed_over_stopped_resumed_cancelled_and_finished(
    address: str, cli: Call, write: Write, tmp_path: Path
) -> None:
    spec, store = write({**QUESTION, "name": "handed"}), tmp_path / "store"
    on = ("--address", address)
    code, first, err = cli("submit", spec, *on)
    assert (code, "lnets-sweep logs -f handed" in err) == (0, True), err
    assert cli("submit", spec, *on)[1] == first
    assert job_of(cli, address, "handed")["job"] == first.strip()
    assert "handed lr=" in first_line(address, "handed", "begins: ")

    code, _, err = cli("stop", "handed", *on)
    assert (code, "to stop once what runs has ended" in err) == (0, True), err
    code, out, _ = cli("logs", "-f", "handed", *on)
    assert code == 130, out
    assert f"lnets-sweep resume handed --store {store} --address {address}" in out
    assert job_of(cli, address, "handed")["state"] == "stopped"
    stopped = rows(store)
    assert 0 < len(stopped) < TRIALS
    assert list((store / "spool").iterdir()) == list((store / "live").iterdir()) == []
    code, out, _ = cli("status", "handed", *on)
    assert f"{len(stopped)} of {TRIALS} trials completed" in out
    code, _, err = cli("status", "handed", *on, "--store", tmp_path / "other")
    assert (code, f"not with the store {tmp_path / 'other'}, but with {store}" in err) == (4, True)

    code, second, err = cli("resume", "handed", *on)
    assert (code, second.strip()) == (0, first.strip()[:-1] + "2"), err
    assert "handed lr=" in first_line(address, "handed", "begins: ")
    with watched(address, "handed") as looks:
        told = (look["standing"] for look in looks)
        standing = next(one for one in told if one and one["done"] > len(stopped))
        assert standing["total"] == TRIALS
        code, _, err = cli("cancel", "handed", *on)
        assert (code, "to end now" in err) == (0, True), err
        assert list(looks)[-1]["state"] == "stopped"
    assert job_of(cli, address, "handed")["state"] == "stopped"
    assert list((store / "live").iterdir()) == []
    assert len(rows(store)) > len(stopped)

    code, out, err = cli("resume", "handed", *on, "--follow")
    assert (code, f"{TRIALS} of {TRIALS} trials are there" in out) == (0, True), err
    assert job_of(cli, address, "handed")["state"] == "succeeded"
    assert len(rows(store)) == len(set(rows(store))) == TRIALS
    commits = {row["commit"] for row in Store(store).table("trials").to_pylist()}
    assert commits == {code_commit()}


def test_what_a_sweep_needs_is_trained_on_the_cluster_and_once(
    address: str, cli: Call, write: Write, tmp_path: Path
) -> None:
    """Although it is a configuration of another sweep, whose file the cluster does not have."""
    gans = {"experiment": data_of("WGAN", epochs=1, quality=None)}
    write({"name": "gans", **gans, "search": {"generator.noise_dim": [2, 3]}}, "gans.yaml")
    needs = {"generator": {"sweep": "gans.yaml", "where": {"generator.noise_dim": 3}}}
    for changes, trials in (({}, 3), ({"name": "more", "search": {"steps": [11]}}, 4)):
        spec = write(sweep(needs=needs, **changes))
        code, out, err = cli("submit", spec, "--address", address, "--follow")
        assert code == 0, out + err
        found = Store(tmp_path / "store").table("trials").to_pylist()
        assert [row["status"] for row in found] == ["completed"] * trials
        assert [row["task"] for row in found].count("gan") == 1


def test_a_cluster_without_a_gpu_says_what_it_has_or_is_waited_for(
    address: str, cli: Call, write: Write
) -> None:
    spec = write({**TINY, "name": "accelerated", "resources": {"gpu": 1}})
    here = ("--address", address)
    code, out, err = cli("submit", spec, *here)
    assert (code, out) == (3, "")
    assert "One trial takes 1 GPU, but the cluster has 0 GPU; lower `resources.gpu`" in err
    assert "--wait-for-resources" in err
    assert cli("submit", spec, *here, "--wait-for-resources")[0] == 0
    assert "takes 1 GPU" in first_line(address, "accelerated", "waiting for it")
    assert cli("cancel", "accelerated", *here)[0] == 0
    assert cli("logs", "-f", "accelerated", *here)[0] == 130


def test_a_store_that_the_cluster_cannot_make_is_named(
    address: str, cli: Call, write: Write
) -> None:
    spec = write({**TINY, "name": "nowhere"})
    code, out, _ = cli("submit", spec, "--address", address, "--store", "/proc/none", "--follow")
    assert code == 1
    assert "error: /proc/none: the store cannot be used" in out
    assert "Traceback" not in out


@pytest.mark.parametrize("token", ["wrong" * 8, None])
@pytest.mark.parametrize("command", [["list"], ["logs", "handed"], ["cancel", "handed"]])
def test_nobody_without_the_token_learns_anything(
    token: str | None,
    command: list[str],
    address: str,
    cli: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if token is None:
        monkeypatch.delenv("RAY_AUTH_TOKEN")
    else:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    code, out, err = cli(*command, "--address", address)
    assert (code, out) == (3, "")
    expected = "asks for a token" if token is None else "refuses the token"
    assert expected in err
    assert err.count("\n") == 1
    assert not any(known in err for known in ("handed", "2.60", TOKEN))


def test_workers_of_a_job_know_that_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNETS_DATA", "/shared/data")
    variables = job_environment("lnets-1", None)
    assert variables["LNETS_JOB"] == "lnets-1"
    assert variables["LNETS_DATA"] == "/shared/data"
    monkeypatch.setenv("LNETS_DATA", "data")
    assert "LNETS_DATA" not in job_environment("lnets-1", None)
