import json
from pathlib import Path

import pytest

from lnets.errors import NotFoundError, SpecError
from lnets.results.lineage import describe_trial, trial_text, with_ancestors
from lnets.results.records import SweepRecord
from lnets.results.store import Store
from tests.results.test_store import record

FIRST, SECOND, THIRD, DIGEST = (letter * 64 for letter in "abcd")
SPEC = '{"algorithm": {"type": "grid"}}'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three trials, each from the one before; the last needed two attempts."""
    store = Store(tmp_path / "store", create=True)
    configs = {FIRST: {"data": {"sha256": DIGEST}}, SECOND: {"init_from": FIRST}}
    configs[THIRD] = {"attack": {"against": [SECOND]}}
    failed = record(THIRD, status="failed", error="ValueError: no", metrics={}, curve=())
    store.put(failed)
    store.commit()
    for seed, (key, config) in enumerate(configs.items()):
        attempt = 2 if key == THIRD else 1
        store.put(record(key, config=json.dumps(config), seed=seed, attempt=attempt))
    store.commit()
    folder = store.artifacts(THIRD)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"1234")
    store.add_sweep(
        SweepRecord(
            sweep_id="s1", name="demo", spec=SPEC, trial_keys=(THIRD,), skipped="[]",
            submitted_at=record("a").started_at, commit=None, versions="{}", host="h",
        )
    )  # fmt: skip
    return store


def test_everything_known_of_a_trial_is_told(store: Store) -> None:
    found = describe_trial(store, "ccc")
    assert found["trial_key"] == THIRD
    assert (found["status"], found["seed"]) == ("completed", 2)
    assert found["sweeps"] == ["demo (s1)"]
    assert [(one["attempt"], one["status"]) for one in found["attempts"]] == [
        (1, "failed"),
        (2, "completed"),
    ]
    assert [(one["trial_key"], one["by"]) for one in found["starts_from"]] == [
        (SECOND, THIRD),
        (FIRST, SECOND),
    ]
    assert found["curve"][0]["points"] == 1
    assert found["files"][0]["bytes"] == 4
    assert json.loads(json.dumps(found)) == found
    text = trial_text(found)
    for part in ("ValueError: no", SECOND, "model.safetensors (4 bytes)", "tightness: 0.9", "demo"):
        assert part in text


def test_what_uses_a_trial_is_told(store: Store) -> None:
    assert describe_trial(store, FIRST)["used_by"] == [SECOND]
    assert describe_trial(store, FIRST)["starts_from"] == []


def test_a_key_must_say_which_trial(store: Store) -> None:
    with pytest.raises(NotFoundError, match="begins with `zzz`"):
        describe_trial(store, "zzz")
    with pytest.raises(SpecError, match="3 trials have keys"):
        describe_trial(store, "")


def test_ancestors_of_ancestors_are_kept(store: Store) -> None:
    configs = {THIRD: f'{{"x":["{SECOND}"]}}', SECOND: f'{{"y":"{FIRST}"}}'}
    assert with_ancestors(configs, [THIRD]) == {FIRST, SECOND, THIRD}
    circle = {FIRST: f'"{SECOND}"', SECOND: f'"{FIRST}"'}
    assert with_ancestors(circle, [FIRST]) == {FIRST, SECOND}
