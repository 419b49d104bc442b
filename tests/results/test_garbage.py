"""Only files that nothing uses go, and never a row."""

import json
import os
import time
from pathlib import Path

import pytest

from lnets.results.garbage import find_garbage, remove
from lnets.results.store import Store
from tests.results.test_store import keys, record

USED, PARENT, UNUSED, SPOOLED, FRESH = (letter * 64 for letter in "abcde")
LONG_AGO = time.time() - 10 * 24 * 3600


def write(file: Path, *, old: bool = True) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"12345")
    for path in (file, file.parent) if old else ():
        os.utime(path, (LONG_AGO, LONG_AGO))
    return file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    store.put(record(USED, config=json.dumps({"init_from": PARENT})))
    for key in (PARENT, UNUSED):
        store.put(record(key))
    store.commit()
    store.put(record(SPOOLED))
    for key in (USED, PARENT, UNUSED, SPOOLED, FRESH):
        write(store.artifacts(key) / "model.safetensors", old=key != FRESH)
    return store


def garbage(store: Store) -> set[Path]:
    return {one.path for one in find_garbage(store, {USED}, {USED})}


def test_only_what_nothing_uses_goes(store: Store) -> None:
    assert garbage(store) == {store.artifacts(UNUSED)}
    before = keys(store)
    found = find_garbage(store, {USED}, {USED})
    assert [one.size for one in found] == [5]
    remove(found)
    assert not store.artifacts(UNUSED).exists()
    assert keys(store) == before
    assert garbage(store) == set()
    remove(found)


def test_what_killed_writers_have_left_goes(store: Store) -> None:
    left = {
        write(store.artifacts(USED) / ".model.123"),
        write(store.artifacts(USED) / "checkpoint.4711"),
        write(store.spool / f".{USED}.json.abcdef"),
        write(store.root / "live" / ".x.json.abc"),
        write(store.root / "live" / "s-host-1.json"),
    }
    kept = [
        write(store.artifacts(USED) / "checkpoint.safetensors"),
        write(store.artifacts(USED) / ".model.124", old=False),
        write(store.root / "live" / "s-host-2.json", old=False),
    ]
    assert garbage(store) == {*left, store.artifacts(UNUSED)}
    remove(find_garbage(store, {USED}, {USED}))
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in kept)
    assert store.spooled(SPOOLED) is not None


def test_checkpoints_of_sweeps_that_are_over_go(store: Store) -> None:
    names = ("checkpoint.safetensors", "snapshot_20.safetensors")
    used, parents = (
        [write(store.artifacts(key) / name) for name in names] for key in (USED, PARENT)
    )
    write(store.artifacts(SPOOLED) / names[0])
    assert {one.path for one in find_garbage(store, {USED}, {USED})} == {
        store.artifacts(UNUSED),
        *parents,
    }
    remove(find_garbage(store, {USED}, set()))
    assert not any(file.exists() for file in (*used, *parents))
    assert (store.artifacts(USED) / "model.safetensors").exists()
    assert (store.artifacts(SPOOLED) / names[0]).exists()


def test_files_that_were_merged_long_ago_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.commit()
    store.compact()
    assert store.superseded() == []
    files = sorted((store.root / "trials").glob("*.parquet"))
    monkeypatch.setattr(Store, "superseded", lambda self: files[:1])
    assert files[0] in garbage(store)
