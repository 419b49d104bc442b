"""Every finished trial lands exactly once, wherever a process is killed."""

import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from lnets.errors import NotFoundError, StoreError
from lnets.results.live import Live, heartbeats
from lnets.results.records import CurvePoint, SweepRecord, TrialRecord
from lnets.results.store import Store


def record(key: str, **changes: Any) -> TrialRecord:
    point = CurvePoint(step=1, seconds=0.1, metric="train_dual", value=0.5)
    fields: dict[str, Any] = {
        "trial_key": key,
        "config_key": "c",
        "sweep_id": "s",
        "name": "n",
        "task": "wasserstein",
        "seed": 0,
        "status": "completed",
        "config": "{}",
        "metrics": {"tightness": 0.9},
        "started_at": datetime.now(UTC),
        "train_seconds": 1.0,
        "device": "cpu",
        "attempt": 1,
        "commit": None,
        "curve": (point,),
    }
    return TrialRecord(**{**fields, **changes})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def keys(store: Store, table: str = "trials") -> list[str]:
    return sorted(store.table(table)["trial_key"].to_pylist())


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the store may catch it."""


def test_two_processes_may_make_a_store_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is as far as it can be whenever this one looks for the marker."""
    exists = Path.exists
    makers = iter([lambda: Store(tmp_path / "store", create=True)])

    def exists_then_made(self: Path) -> bool:
        found = exists(self)
        if self.name == "lnets-store.json" and (make := next(makers, None)):
            make()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", exists_then_made)
        store = Store(tmp_path / "store", create=True)
    assert next(makers, None) is None, "the other one has made nothing"
    store.put(record("a"))
    assert [r.trial_key for r in store.commit()] == ["a"]
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / ".lnets-store.json.0123").write_text("{")
    Store(tmp_path / "half", create=True)


def test_what_is_spooled_is_committed_once(store: Store) -> None:
    store.put(record("a"))
    assert [r.trial_key for r in store.commit()] == ["a"]
    assert store.commit() == []
    store.put(record("a"))
    store.put(record("b"))
    assert [r.trial_key for r in store.commit()] == ["b"]
    assert keys(store) == keys(store, "curves") == ["a", "b"]
    assert not list(store.spool.iterdir())


def test_a_worker_that_is_asked_to_end_leaves_no_half_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_to_end(*_: object) -> None:
        raise SystemExit("the process receives a SIGTERM")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", asked_to_end)
        with pytest.raises(SystemExit):
            store.put(record("a"))
    assert not list(store.spool.iterdir())


def test_a_row_says_what_the_record_said(store: Store) -> None:
    original = record("a", metrics={"tightness": 0.1, "train_seconds": 2.5})
    store.put(original)
    store.commit()
    [row] = store.table("trials").to_pylist()
    assert json.loads(row.pop("metrics")) == original.metrics
    assert row == original.model_dump(exclude={"metrics", "curve"})
    [point] = store.table("curves").to_pylist()
    assert point == {"trial_key": "a", **original.curve[0].model_dump()}


@pytest.mark.parametrize("when", ["before curves", "before trials", "before unlink"])
def test_a_commit_killed_anywhere_is_finished_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    store.put(record("a"))
    store.commit()
    for key in ("b", "c"):
        store.put(record(key))
    write = Store.append

    def killed_write(self: Store, name: str, rows: list[dict[str, Any]]) -> None:
        if when == f"before {name}":
            raise Killed
        write(self, name, rows)

    def killed_unlink(self: Path, missing_ok: bool = False) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Store, "append", killed_write)
        if when == "before unlink":
            patch.setattr(Path, "unlink", killed_unlink)
        with pytest.raises(Killed):
            store.commit()
    store.put(record("d"))
    Store(store.root).commit()
    assert keys(store) == keys(store, "curves") == ["a", "b", "c", "d"]
    assert not list(store.spool.iterdir())


def test_a_result_spooled_during_a_commit_is_not_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One driver has read a failure when another driver's worker spools the same trial's result."""
    store.put(record("a", status="failed", error="x", metrics={}, curve=()))
    append = Store._append

    def interrupted(self: Store, records: list[TrialRecord]) -> None:
        append(self, records)
        self.put(record("a"))

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_append", interrupted)
        store.commit()
    assert "a" in store.ended().finished
    assert [r.status for r in store.commit()] == ["completed"]


def test_two_stores_may_commit_at_the_same_time(store: Store) -> None:
    for i in range(40):
        store.put(record(f"{i:02}"))
    others = [Store(store.root) for _ in range(4)]
    threads = [threading.Thread(target=other.commit) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(40):
        store.put(record(f"{i:02}"))
    others[0].commit()
    assert keys(store) == keys(store, "curves") == [f"{i:02}" for i in range(40)]


def test_failures_are_kept_and_tried_again(store: Store) -> None:
    failed = record("a", status="failed", error="boom", metrics={}, curve=())
    store.put(failed)
    store.commit()
    assert "a" not in store.ended().finished
    assert store.ended().attempts == {"a": 1}
    store.put(failed)
    assert store.commit() == []
    store.put(record("a", attempt=2))
    store.commit()
    assert "a" in store.ended().finished
    store.put(record("a", status="failed", attempt=3))
    assert store.commit() == []
    assert sorted(store.table("trials")["status"].to_pylist()) == ["completed", "failed"]


def test_a_failure_does_not_replace_a_spooled_result(store: Store) -> None:
    store.put(record("a"))
    store.put(record("a", status="failed"))
    assert [r.status for r in store.commit()] == ["completed"]


def test_what_is_spooled_counts_as_ended(store: Store) -> None:
    store.put(record("a"))
    store.put(record("b", status="diverged"))
    store.put(record("c", status="failed"))
    assert store.ended().finished == {"a", "b"}


def test_what_a_killed_worker_has_not_put_in_place_has_not_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its trial, which no commit finds, would never run again."""

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(Path, "replace", kill)
    monkeypatch.setattr(Path, "unlink", kill)
    with pytest.raises(Killed):
        store.put(record("a"))
    monkeypatch.undo()
    assert list(store.spool.iterdir())
    assert not list(store.waiting())
    assert store.commit() == []
    assert not store.ended().finished


def test_a_damaged_spool_file_is_set_aside(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.put(record("a"))
    (store.spool / "b.json").write_text("{")
    assert [r.trial_key for r in store.commit()] == ["a"]
    assert "is damaged and set aside" in caplog.text
    [aside] = store.spool.iterdir()
    assert (aside.name[:2], aside.suffix) == ("b.", ".damaged")
    assert not list(store.waiting())


def test_compaction_merges_files_and_keeps_rows(store: Store) -> None:
    for i in range(5):
        store.put(record(str(i)))
        store.commit()
    store.compact()
    assert len(DeltaTable(str(store.root / "trials")).file_uris()) == 1
    assert keys(store) == list("01234")
    store.put(record("5"))
    store.put(record("3"))
    assert [r.trial_key for r in store.commit()] == ["5"]


def test_a_result_that_is_not_finite_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="finite"):
        record("a", metrics={"tightness": float("nan")})


def test_submissions_are_kept(store: Store) -> None:
    assert not store.has_sweep("s")
    store.add_sweep(
        SweepRecord(
            sweep_id="s",
            name="n",
            spec="{}",
            trial_keys=("a", "b"),
            skipped="[]",
            submitted_at=datetime.now(UTC),
            commit=None,
            versions="{}",
            host="h",
        )
    )
    assert store.has_sweep("s")
    assert store.table("sweeps").to_pylist()[0]["trial_keys"] == ["a", "b"]


def test_the_order_of_submissions_depends_on_no_clock(store: Store) -> None:
    """The first machine's is an hour ahead."""
    now = datetime.now(UTC)
    fields = {"sweep_id": "s", "name": "n", "spec": "{}", "trial_keys": (), "skipped": "[]"}
    for host, at in (("first", now + timedelta(hours=1)), ("second", now), ("third", now)):
        more = {"submitted_at": at, "commit": None, "versions": "{}", "host": host}
        store.add_sweep(SweepRecord(**fields, **more))
    rows = sorted(store.table("sweeps").to_pylist(), key=lambda row: row["submitted_at"])
    assert [row["host"] for row in rows] == ["first", "second", "third"]


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(StoreError, match="No space left"):
            Store(tmp_path / "store", create=True)
    Store(tmp_path / "store", create=True)


@pytest.mark.parametrize("damage", ["parquet", "log"])
def test_a_damaged_table_is_an_error_of_the_store(store: Store, damage: str) -> None:
    store.put(record("a"))
    store.commit()
    pattern = "*.parquet" if damage == "parquet" else "_delta_log/*.json"
    for file in (store.root / "trials").glob(pattern):
        file.write_bytes(b"garbage")
    with pytest.raises(StoreError, match="cannot be read"):
        Store(store.root).table("trials")
    with pytest.raises(StoreError, match="cannot be read"):
        Store(store.root).ended()


def test_reading_renames_nothing(store: Store) -> None:
    (store.spool / "b.json").write_text("{")
    assert store.ended().finished == frozenset()
    assert [file.name for file in store.spool.iterdir()] == ["b.json"]


class TestWhatIsNotAStore:
    def untouched(self, folder: Path, act: Callable[[], object], match: str) -> None:
        before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        with pytest.raises(StoreError, match=match) as caught:
            act()
        assert caught.value.exit_code == (4 if isinstance(caught.value, NotFoundError) else 1)
        assert before == {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    def test_a_folder_of_other_things(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("x")
        self.untouched(tmp_path, lambda: Store(tmp_path, create=True), "not a results store")
        self.untouched(tmp_path, lambda: Store(tmp_path), "no results store here")

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        self.untouched(tmp_path, lambda: Store(tmp_path / "file", create=True), "not a results")

    def test_a_newer_schema(self, store: Store) -> None:
        (store.root / "lnets-store.json").write_text('{"schema_version": 99}')
        self.untouched(store.root, lambda: Store(store.root, create=True), "newer lnets")

    @pytest.mark.parametrize("marker", ["[]", "{", '{"schema_version": true}'])
    def test_a_damaged_marker(self, store: Store, marker: str) -> None:
        (store.root / "lnets-store.json").write_text(marker)
        self.untouched(store.root, lambda: Store(store.root), "damaged")

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        self.untouched(tmp_path, lambda: Store(Path("/proc/lnets"), create=True), "cannot be used")

    def test_nothing_there(self, tmp_path: Path) -> None:
        self.untouched(tmp_path, lambda: Store(tmp_path / "none"), "no results store here")
        assert not (tmp_path / "none").exists()

    def test_an_address(self, tmp_path: Path) -> None:
        self.untouched(tmp_path, lambda: Store(Path("s3://bucket/x"), create=True), "a folder")


def test_a_driver_is_alive_while_it_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live(store.root, "s", "n", "http://127.0.0.1:8265")
    live.beat(("one",))
    [heartbeat] = heartbeats(store.root)
    assert (heartbeat.sweep_id, heartbeat.running) == ("s", ("one",))
    with monkeypatch.context() as patch:  # of this machine, not of the shared drive
        patch.setattr(time, "time", lambda: 0.0)
        assert heartbeats(store.root)
        patch.setattr(time, "time", lambda: 1e12)
        assert heartbeats(store.root)
    file = next((store.root / "live").iterdir())
    os.utime(file, (file.stat().st_mtime - 60, file.stat().st_mtime - 60))
    assert heartbeats(store.root) == []
    live.beat(())
    live.stop()
    assert heartbeats(store.root) == []
