"""Everything that a store knows of one trial, and which trials it comes from."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lnets.errors import NotFoundError, SpecError
from lnets.results.proposals import submissions
from lnets.results.records import SweepTrials, last_exception
from lnets.results.store import Store
from lnets.results.tables import trials_that_count
from lnets.results.views import flatten
from lnets.specs.metrics import find_metric
from lnets.specs.spec import many, show

_KEY = re.compile(r'"([0-9a-f]{64})"')


def keys_in(text: str) -> set[str]:
    """Whatever may be a trial's key in a configuration as JSON; other digests look the same."""
    return set(_KEY.findall(text))


def with_ancestors(configs: Mapping[str, str], keys: Iterable[str]) -> set[str]:
    """Trials, those that they start from, and so on.

    Args:
        configs: Configurations as JSON, by trial key.
        keys: Of the trials.
    """
    found: set[str] = set()
    new = set(keys)
    while new:
        found |= new
        new = {key for one in new for key in keys_in(configs.get(one, ""))} - found
    return found


def describe_trial(store: Store, prefix: str) -> dict[str, Any]:
    """Everything known of a trial, as plain data.

    Args:
        store: Where it is.
        prefix: How its key begins, which no other trial's key does.

    Raises:
        NotFoundError: If there is no such trial.
        SpecError: If there are several.
    """
    rows = store.table("trials")
    key = key_that_begins(rows, prefix)
    if key is None:
        raise NotFoundError(
            f"{store.root}: no trial whose key begins with `{prefix}`; "
            "`lnets-sweep query` lists keys"
        )
    attempts = rows.filter(pc.equal(rows["trial_key"], key)).to_pylist()
    counting = trials_that_count(store, [key])[key]
    row = next(row for row in attempts if row["attempt"] == counting["attempt"]) | counting
    users = rows.filter(pc.match_substring(rows["config"], f'"{key}"'))["trial_key"]
    return {
        **{name: value for name, value in row.items() if name not in ("config", "metrics")},
        "started_at": row["started_at"].isoformat(),
        "metrics": row["metrics"],
        "config": row["config"],
        "attempts": [
            {"attempt": one["attempt"], "status": one["status"], "error": _reason(one["error"])}
            for one in sorted(attempts, key=lambda one: one["attempt"])
        ],
        **_in_sweeps(store, key),
        "starts_from": _starts_from(store, rows, key, json.dumps(row["config"])),
        "used_by": sorted(set(users.to_pylist())),
        "curve": _curve(store, key),
        "files": _files(store, key),
    }


def trial_text(found: dict[str, Any]) -> str:
    """What `describe_trial` has found, for a person."""
    lines = [
        f"{name:<14} {found[name]}"
        for name in (
            *("trial_key", "config_key", "name", "task", "seed", "status", "started_at"),
            *("train_seconds", "device", "commit"),
        )
    ]
    lines += [f"{'sweep':<14} {sweep}" for sweep in found["sweeps"]]
    lines += [f"{'needed by':<14} {sweep}" for sweep in found["needed_by"]]
    lines += [
        " ".join([f"{'attempt':<14} {one['attempt']} {one['status']}", one["error"] or ""]).strip()
        for one in found["attempts"]
    ]
    lines += _section("error", (found["error"] or "").splitlines())
    lines += _section("metrics", [_measured(*item) for item in found["metrics"].items()])
    lines += _section(
        "configuration",
        [f"{path}: {show(value)}" for path, value in flatten(found["config"]).items()],
    )
    curves = [
        f"{one['metric']}: {many(one['points'], 'point')}, {one['last_value']:.6g} after step "
        f"{one['last_step']}"
        for one in found["curve"]
    ]
    lines += _section("learning curve", curves)
    parents = ["{trial_key} (seed {seed}, {status})".format(**one) for one in found["starts_from"]]
    lines += _section("starts from", parents)
    lines += _section("used by", found["used_by"])
    return "\n".join(
        [
            *lines,
            *_section("files", ["{file} ({bytes} bytes)".format(**one) for one in found["files"]]),
        ]
    )


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines)] if lines else []


def _measured(name: str, value: float) -> str:
    known = find_metric(name)
    return f"{name}: {value:.6g}" + (f" ({known.unit}; {known.meaning})" if known else "")


def key_that_begins(rows: pa.Table, prefix: str) -> str | None:
    """The key of a trial among rows of the table `trials`; None if none begins so.

    Raises:
        SpecError: If several do.
    """
    found: list[str] = (
        rows["trial_key"].filter(pc.starts_with(rows["trial_key"], prefix)).unique().to_pylist()
    )
    if len(found) > 1:
        shown = ", ".join(key[:16] for key in found[:5])
        raise SpecError(
            f"{len(found)} trials have keys that begin with `{prefix}`: {shown}…; write more"
        )
    return found[0] if found else None


def _starts_from(store: Store, rows: pa.Table, key: str, config: str) -> list[dict[str, Any]]:
    """The trials that a trial comes from, the nearest first; other digests are no trials."""
    known = set(rows["trial_key"].to_pylist())
    found: dict[str, dict[str, Any]] = {}
    new = [(key, config)]
    while new:
        of, text = new.pop(0)
        keys = sorted((keys_in(text) & known) - {key, *found})
        parents = trials_that_count(store, keys)
        for parent in keys:
            row = parents[parent]
            found[parent] = {
                "trial_key": parent,
                "by": of,
                "status": row["status"],
                "seed": row["seed"],
            }
            new.append((parent, json.dumps(row["config"])))
    return list(found.values())


def _in_sweeps(store: Store, key: str) -> dict[str, list[str]]:
    """The sweeps that a trial is of, and those that need it with what they call it."""
    sweeps = {
        f"{sweep.name} ({sweep.sweep_id})": sweep
        for sweep in map(SweepTrials.of, submissions(store))
    }
    return {
        "sweeps": sorted(label for label, sweep in sweeps.items() if key in sweep.trial_keys),
        "needed_by": sorted(
            f"{label} as {name}"
            for label, sweep in sweeps.items()
            for name, needed in sweep.needs.items()
            if needed == key
        ),
    }


def _curve(store: Store, key: str) -> list[dict[str, Any]]:
    """Of each metric of the learning curve how many points it has, and the last of them."""
    curve = store.dataset("curves").to_table(filter=pc.field("trial_key") == key)
    last: dict[str, dict[str, Any]] = {}
    for row in curve.sort_by("step").to_pylist():
        points = last.get(row["metric"], {"points": 0})["points"] + 1
        last[row["metric"]] = {"metric": row["metric"], "points": points} | {
            f"last_{name}": row[name] for name in ("step", "seconds", "value")
        }
    return list(last.values())


def _files(store: Store, key: str) -> list[dict[str, Any]]:
    folder = store.artifacts(key)
    return [
        {"file": str(file), "bytes": file.stat().st_size}
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]


def _reason(error: str | None) -> str | None:
    return None if error is None else last_exception(error)
