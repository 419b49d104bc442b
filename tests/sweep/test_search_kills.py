"""A search goes on after its driver was killed, and two drivers share one."""

import json
import wsgiref.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from lnets.results.store import Store
from tests.sweep.killing import kill_again_and_again, places, start
from tests.sweep.searching import proposals, rows

Write = Callable[..., Path]


def tuned(tiny: dict[str, Any]) -> dict[str, Any]:
    tiny["experiment"] |= {"steps": 50, "log_every": 50}
    return {
        **tiny,
        "search": {"optim.lr": {"log_uniform": [1e-3, 1e-1]}},
        "algorithm": {"type": "optuna", "configurations": 12, "parallel": 2},
        "seeds": 3,
        # One by one, so that every result is the same to the last digit.
        "resources": {"fuse": "off"},
    }


@pytest.mark.slow
def test_a_search_whose_driver_is_killed_again_and_again(
    tiny: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    spec = write(tuned(tiny))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_again_and_again(spec, killed, lives=2)
    for store in (killed, whole):
        driver = start(spec, store, "--runner", "in-process")
        _, errors = driver.communicate(timeout=200)
        assert driver.returncode == 0, errors
    assert proposals(Store(killed)) == proposals(Store(whole))
    assert rows(Store(killed)).keys() == rows(Store(whole)).keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["asha", "population"])
def test_a_scheduler_whose_driver_is_killed_again_and_again(
    kind: str, tiny: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    """What it has decided stays decided; what a population becomes does not depend on it."""
    tiny["experiment"] |= {"steps": 200, "log_every": 50}
    search = {"optim.lr": [0.002 * 2**i for i in range(8)]}
    scheduler = {"type": kind, "grace": 0.25}
    one_by_one = {"seeds": 1, "resources": {"fuse": "off"}}
    spec = write({**tiny, **one_by_one, "search": search, "scheduler": scheduler})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_again_and_again(spec, killed, lives=2, kept=places)
    for store in (killed, whole):
        driver = start(spec, store, "--runner", "in-process")
        _, errors = driver.communicate(timeout=200)
        assert driver.returncode == 0, errors
    ends = [status for _, status, _ in places(killed) if status != "paused"]
    assert set(ends) == {"completed", "stopped"}
    if kind == "asha":
        assert len(ends) == 8
    else:
        assert places(killed) == places(whole)


@pytest.mark.slow
def test_two_drivers_at_one_search(tiny: dict[str, Any], write: Write, tmp_path: Path) -> None:
    spec, store = write(tuned(tiny)), tmp_path / "store"
    Store(store, create=True)
    drivers = [start(spec, store, "--runner", "in-process") for _ in range(2)]
    for driver in drivers:
        _, errors = driver.communicate(timeout=250)
        assert driver.returncode == 0, errors
        assert "12 configurations searched" in errors
    assert len({row["config_key"] for row in rows(Store(store)).values()}) == 12
    assert len(proposals(Store(store))) >= 12


def test_the_study_of_a_search_is_written_for_optuna(
    tiny: dict[str, Any], write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lnets.cli import app

    data = tuned(tiny) | {"algorithm": {"type": "optuna", "configurations": 3}}
    spec, out = write(data), tmp_path / "study.db"
    where = ["--store", str(tmp_path / "store")]
    app(["submit", str(spec), "--runner", "in-process", *where], standalone_mode=False)
    for name in ("tiny", str(spec)):
        app(["study", name, "--out", str(out), *where], standalone_mode=False)
        study = optuna.load_study(study_name=None, storage=f"sqlite:///{out}")
        assert study.metric_names == ["wasserstein_estimate"]
        assert len(study.trials) == 3
        for trial in study.trials:
            known = rows(Store(tmp_path / "store"))
            ran = [known[key] for key in trial.user_attrs["trial_keys"] if key in known]
            assert {f'"lr":{trial.params["optim.lr"]}' in row["config"] for row in ran} == {True}
    assert f"wrote {out}" in capsys.readouterr().err


def test_optunas_dashboard_opens_the_study_of_a_search(
    tiny: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    from lnets.cli import app

    dashboard = pytest.importorskip("optuna_dashboard")
    data = tuned(tiny) | {"algorithm": {"type": "optuna", "configurations": 3}}
    spec, out = write(data), tmp_path / "study.db"
    where = ["--store", str(tmp_path / "store")]
    app(["submit", str(spec), "--runner", "in-process", *where], standalone_mode=False)
    app(["study", "tiny", "--out", str(out), *where], standalone_mode=False)
    pages = dashboard.wsgi(optuna.storages.RDBStorage(f"sqlite:///{out}"))
    [study] = answer_of(pages, "/api/studies")["study_summaries"]
    assert study["study_name"] == "tiny"
    shown = answer_of(pages, f"/api/studies/{study['study_id']}")
    assert shown["objective_names"] == ["wasserstein_estimate"]
    assert [trial["params"][0]["name"] for trial in shown["trials"]] == ["optim.lr"] * 3


def answer_of(pages: Callable[..., Any], path: str) -> dict[str, Any]:
    """What an application answers to a request, as data."""
    environment: dict[str, Any] = {"PATH_INFO": path}
    wsgiref.util.setup_testing_defaults(environment)
    body = b"".join(pages(environment, lambda *_: None))
    return dict(json.loads(body))
