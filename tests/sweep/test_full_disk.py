"""A disk that is full, or fills up in mid-sweep: nothing is lost that could be written."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import StoreError
from lnets.results import store as store_module
from lnets.results.live import heartbeats
from lnets.results.store import Store
from lnets.specs.sweep import SweepSpec
from lnets.sweep import runner as runner_module
from lnets.sweep.driver import submit
from lnets.sweep.messages import Group
from lnets.sweep.plan import Plan, make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner
from lnets.sweep.schedule import Schedule
from tests.sweep.killing import rows


def plan_of(data: dict[str, Any]) -> Plan:
    return make_plan(SweepSpec.model_validate_json(json.dumps({**data, "seeds": 4})))


def run(plan: Plan, store: Store) -> Progress:
    progress = Progress.of(plan, 0)
    submit(plan, store, InProcessRunner(), progress)
    return progress


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_results_wait_in_the_spool_while_the_tables_cannot_be_written(
    tiny: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tiny)
    write_table = Store.append

    def full(self: Store, name: str, found: list[dict[str, Any]]) -> None:
        if name != "sweeps":
            raise StoreError("no space left")
        write_table(self, name, found)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "append", full)
        with pytest.raises(StoreError, match="no space left; results wait in the spool: mend"):
            run(plan, store)
    assert len(list(store.spool.iterdir())) == 8
    assert heartbeats(store.root) == []
    assert run(plan, store).ended == 0
    assert len(rows(store.root)) == 8


@pytest.mark.parametrize("module", [store_module, runner_module], ids=["spool", "artifacts"])
def test_no_more_is_run_once_the_disk_is_full(
    tiny: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    """The third trial cannot be spooled any more, or its files not be written."""
    plan = plan_of({**tiny, "resources": {"fuse": "off"}})
    write: Callable[[Path, str], None] = store_module.write_atomically
    written: list[str] = []

    def full_after_two(file: Path, text: str) -> None:
        if file.parent.name == "spool" or module is runner_module:
            if len(written) == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written.append(file.name)
        write(file, text)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomically", full_after_two)
        with pytest.raises(
            StoreError, match=r"No space left.*; no further trial was started.*room"
        ):
            run(plan, store)
    assert len(rows(store.root)) == 2
    assert {row["status"] for row in rows(store.root).values()} == {"completed"}
    assert run(plan, store).completed == 6
    assert len(rows(store.root)) == 8


def test_a_lost_worker_is_told_although_it_cannot_be_noted(
    tiny: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of({**tiny, "resources": {"max_failures": 0}})
    progress = Progress.of(plan, 0)
    schedule = Schedule(
        plan, [(trial,) for trial in plan.trials], store, None, progress, lambda: None
    )
    group = next(schedule)
    assert isinstance(group, Group)

    def full(self: Store, record: Any) -> None:
        raise StoreError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", full)
        schedule.lost(group, "it died")
    assert (progress.failed, schedule.not_kept) == (1, "no space left")
    assert next(schedule, None) is None
