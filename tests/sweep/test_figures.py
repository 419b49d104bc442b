"""Trials are drawn when they end, and again when somebody asks."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import NotFoundError
from lnets.results.store import Store
from lnets.specs.sweep import SweepSpec
from lnets.sweep.driver import submit
from lnets.sweep.figures import draw
from lnets.sweep.plan import Plan, make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner

LINE = {"type": "line", "xrange": [-1, 1], "step": 0.5}
PICTURES = {"landscape_line_step_000003.png", "learning_curves.png"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def run(data: dict[str, Any], store: Store) -> Plan:
    plan = make_plan(SweepSpec.model_validate_json(json.dumps(data)))
    submit(plan, store, InProcessRunner(), Progress.of(plan, 0))
    return plan


def pictures(store: Store, key: str) -> set[str]:
    return {file.name for file in (store.artifacts(key) / "figures").glob("*")}


def test_a_trial_that_left_data_is_drawn_and_no_other(store: Store, tiny: dict[str, Any]) -> None:
    tiny["search"] = {"landscape": [None, LINE]}
    plan = run(tiny, store)
    for trial in plan.trials:
        asked = json.loads(trial.experiment.model_dump_json())["landscape"] is not None
        assert pictures(store, trial.trial_key) == (PICTURES if asked else set())


def test_a_picture_that_fails_fails_no_trial(
    store: Store,
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("no room for pictures")

    monkeypatch.setattr("lnets.results.plots.draw_trial", fail)
    tiny["experiment"]["landscape"] = LINE
    with caplog.at_level(logging.WARNING):
        plan = run(tiny, store)
    assert store.table("trials")["status"].to_pylist() == ["completed"] * 4
    assert caplog.text.count("could not be drawn: no room for pictures") == len(plan.trials) == 4


def test_a_sweep_or_a_trial_is_drawn_again(
    store: Store, tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["experiment"]["landscape"] = LINE
    plan = run(tiny, store)
    keys = [trial.trial_key for trial in plan.trials]
    for file in (store.artifacts(keys[0]) / "figures").glob("*"):
        file.unlink()
    drawn = list(draw(store, "tiny", None))
    assert len(drawn) == len(set(drawn)) == len(keys) * len(PICTURES)
    assert pictures(store, keys[0]) == PICTURES
    (folder,) = {file.parent for file in draw(store, keys[1][:12], tmp_path / "out")}
    assert folder.parent == tmp_path / "out"
    assert folder.name.endswith(f"_{keys[1][:12]}")
    assert {file.name for file in folder.iterdir()} == PICTURES
    assert len(list(draw(store, plan.sweep_id, tmp_path / "all"))) == len(drawn)


def test_what_is_not_there_cannot_be_drawn(store: Store, tiny: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError, match="no sweep `tiny`"):
        list(draw(store, "tiny", None))
    run(tiny, store)
    with pytest.raises(NotFoundError, match=r"no sweep `tinny`; did you mean `tiny`\?"):
        list(draw(store, "tinny", None))
    with pytest.raises(NotFoundError, match="no sweep `aaaa"):
        list(draw(store, "a" * 64, None))


def test_what_failed_cannot_be_drawn(store: Store, tiny: dict[str, Any]) -> None:
    """Half a terabyte of held-out samples cannot be had."""
    for name in ("distrib1", "distrib2"):
        tiny["experiment"][name]["dim"] = 65536
    run({**tiny, "experiment": {**tiny["experiment"], "test_sample_size": 1_000_000}}, store)
    with pytest.raises(NotFoundError, match="no trial of `tiny` has finished; submit it"):
        list(draw(store, "tiny", None))
