import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from lnets.results.artifacts import CHECKPOINT
from lnets.results.store import Store
from lnets.sweep.history import brief, collect_garbage, duration
from tests.sweep.searching import FormulaRunner, run
from tests.sweep.test_schedulers import scheduled, slope


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min 0 s"),
        (3725, "1 h 2 min"),
        (3 * 86400 + 5 * 3600 + 59, "3 d 5 h"),
        (86400, "1 d 0 s"),
    ],
)
def test_times_are_told_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_sweep_without_results_has_no_best() -> None:
    row = {
        "name": "a", "sweep_id": "s", "state": "incomplete", "trials": 3, "completed": 1,
        "diverged": 0, "failed": 1, "blocked": 0, "stopped": 0, "missing": 1, "best": None,
        "train_seconds": 2.0, "age_seconds": 1.0,
    }  # fmt: skip
    shown = brief(row)
    assert shown["trials"] == "1 of 3, 1 failed, 1 missing"
    assert shown["best"] == "–"


def test_checkpoints_stay_while_their_sweep_has_anything_left_to_run(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store", create=True)
    sweep = scheduled(tiny, {"type": "asha"})

    def garbage() -> set[Path]:
        return {one.path for one in collect_garbage(store, [], really=False)}

    with contextlib.suppress(KeyboardInterrupt):
        run(sweep, store, FormulaRunner(slope, limit=60))
    store.commit()
    checkpoints = {store.artifacts(key) / CHECKPOINT for key in store.seen.stopped}
    assert checkpoints
    for file in checkpoints:
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (0, 0))
    assert garbage() == set()
    assert run(sweep, store, FormulaRunner(slope)).left == 0
    assert garbage() == checkpoints
