"""The history of a store: its sweeps with their best and their cost, and what it may forget."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lnets.errors import SpecError
from lnets.results import proposals
from lnets.results.garbage import Garbage, find_garbage, remove
from lnets.results.lineage import keys_in
from lnets.results.live import heartbeats
from lnets.results.query import connect
from lnets.results.records import Ended, SweepTrials
from lnets.results.rendering import short_text
from lnets.results.selected import Counts, Selected, names_of_needs, with_names
from lnets.results.store import Store
from lnets.results.views import at_path
from lnets.sweep.answers import objectives_of
from lnets.sweep.overview import find_submission, submissions, when
from lnets.sweep.search import still_to_ask


def sweep_rows(store: Store) -> list[dict[str, Any]]:
    """One row per sweep, the latest submission first.

    `best` is the objective's metric, its best mean over seeds, and the configuration's values in
    the sweep's table; `train_seconds` is what all its trials took; `age_seconds` is since it was
    submitted.
    """
    alive = {heartbeat.sweep_id for heartbeat in heartbeats(store.root)}
    stored = submissions(store)
    selected = Selected.of(connect(store), [SweepTrials.of(one) for one in stored])
    seconds = selected.train_seconds()
    every = [
        replace(counts, trials=counts.trials + still_to_ask(one, store))
        for one, counts in zip(stored, selected.counts(), strict=True)
    ]
    return [
        {
            "name": counts.name,
            "sweep_id": counts.sweep_id,
            "submitted": when(one),
            "commit": one["commit"],
            "state": "running" if counts.sweep_id in alive else _state(counts),
            "trials": counts.trials,
            "completed": counts.completed,
            "diverged": counts.diverged,
            "failed": counts.failed,
            "blocked": counts.blocked,
            "stopped": counts.stopped,
            "missing": counts.missing,
            "best": _best(selected, i, json.loads(one["spec"])),
            "train_seconds": seconds.get(i, 0.0),
            # Another machine's clock may be ahead of this one's.
            "age_seconds": max(0.0, (datetime.now(UTC) - one["submitted_at"]).total_seconds()),
        }
        for i, (one, counts) in enumerate(zip(stored, every, strict=True))
    ]


def brief(row: dict[str, Any]) -> dict[str, str]:
    """A row of `sweep_rows` as it fits on a terminal."""
    best = row["best"]
    values = (
        ", ".join(short_text(value) for value in best["configuration"].values()) if best else ""
    )
    states = ("diverged", "failed", "blocked", "stopped", "missing")
    others = [f"{row[state]} {state}" for state in states if row[state]]
    return {
        "name": row["name"],
        "sweep_id": row["sweep_id"],
        "state": row["state"],
        "trials": ", ".join([f"{row['completed']} of {row['trials']}", *others]),
        "best": f"{best['metric']} {best['mean']:.4g} ({values})" if best else "–",
        "training": duration(row["train_seconds"]),
        "age": duration(row["age_seconds"], units=1),
    }


def duration(seconds: float, *, units: int = 2) -> str:
    """A time in its largest units: `3 d 4 h`."""
    left = round(seconds)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or unit == "s":
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts[:units])


def collect_garbage(store: Store, drop: Sequence[str], *, really: bool) -> list[Garbage]:
    """Files that no kept sweep uses; every sweep is kept but those that are dropped.

    Args:
        store: Whose files; its rows stay, those of dropped sweeps too.
        drop: Names or ids of sweeps whose trials' files may go.
        really: Whether to remove them.

    Raises:
        NotFoundError: If a sweep to drop does not exist.
        SpecError: If it is running.
    """
    alive = {heartbeat.sweep_id for heartbeat in heartbeats(store.root)}
    dropped = {name: find_submission(store, name)["sweep_id"] for name in drop}
    for name, sweep_id in dropped.items():
        if sweep_id in alive:
            raise SpecError(f"--drop {name}: it is running; stop it first")
    with store.locked():
        every = proposals.submissions(store)
        kept = [row for row in every if row["sweep_id"] not in dropped.values()]
        ended = store.ended()
        left = [row for row in kept if not _is_over(row, ended)]
        garbage = find_garbage(store, _keys_of(kept), _keys_of(left))
        if really:
            remove(garbage)
    return garbage


def _best(selected: Selected, sweep: int, spec: dict[str, Any]) -> dict[str, Any] | None:
    for objective in objectives_of(spec)[:1]:
        sign = 1 if objective.maximize else -1
        found = selected.best_configuration(sweep, objective.metric, sign)
        if found is not None:
            mean, config = found
            paths = [*spec["table"]["rows"], *spec["table"]["columns"]]
            names = names_of_needs(selected.sweeps)
            named = {path: with_names(at_path(config, path), names) for path in paths}
            return {"metric": objective.metric, "mean": mean, "configuration": named}
    return None


def _keys_of(rows: Sequence[dict[str, Any]]) -> set[str]:
    """Keys of the trials of some submissions, and of those that they need."""
    return {key for row in rows for key in (*row["trial_keys"], *keys_in(row["spec"]))}


def _is_over(row: dict[str, Any], ended: Ended) -> bool:
    """Whether submitting a sweep again would run nothing."""
    spec = json.loads(row["spec"])
    judged = spec["algorithm"]["type"] == "optuna" or spec.get("scheduler") is not None
    over = ended.finished | ended.stopped if judged else ended.finished
    return over.issuperset(row["trial_keys"])


def _state(counts: Counts) -> str:
    if counts.missing:
        return "incomplete"
    if counts.failed:
        return "failed"
    return "blocked" if counts.blocked else "done"
