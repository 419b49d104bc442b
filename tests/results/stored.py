"""A store that several tests of results use."""

import json
import re
from pathlib import Path
from typing import Any

from lnets.results.query import connect
from lnets.results.records import SweepTrials
from lnets.results.selected import Selected
from lnets.results.store import Store
from lnets.results.tables import Table, make_table
from lnets.specs.sweep import TableSpec
from tests.results.test_store import record


def config(activation: str, width: int) -> dict[str, Any]:
    """A configuration that begins like any of a task."""
    return {"model": {"activation": activation, "layers": [width, 1]}, "optim": {"lr": 0.1}}


def demo_store(folder: Path, seeds: int = 3) -> Store:
    """Two activations × two widths; one trial failed and then worked, another diverged."""
    store = Store(folder, create=True)
    for i, activation in enumerate(("maxmin", "relu")):
        for width in (8, 16):
            for seed in range(seeds):
                key = f"{activation}-{width}-{seed}"
                fields: dict[str, Any] = {
                    "config": json.dumps(config(activation, width)),
                    "config_key": f"{activation}-{width}",
                    "seed": seed,
                    "train_seconds": float(width),
                    "metrics": {
                        "tightness": 0.9 - 0.4 * i + 0.01 * seed,
                        "train_seconds": float(width),
                        "steps_per_second": 4.0,
                    },
                }
                if key == "relu-8-0":
                    failed = {"status": "failed", "metrics": {}, "error": "x", "attempt": 1}
                    store.put(record(key, **{**fields, **failed}))
                    store.commit()
                    fields["attempt"] = 2
                store.put(record(key, **fields))
    store.put(record("bad", status="diverged", metrics={}, config="{}"))
    store.commit()
    return store


def demo_sweep(*extra: str, seeds: int = 3) -> SweepTrials:
    """The trials of `demo_store`, and others."""
    keys = [f"{a}-{w}-{s}" for a in ("maxmin", "relu") for w in (8, 16) for s in range(seeds)]
    return SweepTrials("id", "demo", (*keys, *extra))


def layout(**parts: tuple[str, ...]) -> TableSpec:
    """Rows are activations, values tightness, unless said otherwise."""
    return TableSpec(**{"rows": ("model.activation",), "values": ("tightness",), **parts})


def put_values(store: Store, name: str, values: dict[int, float], **changes: Any) -> SweepTrials:
    """Trials of one configuration with a tightness for each seed."""
    key = re.sub(r"\W", "_", name)
    for seed, value in values.items():
        fields = {
            "config": json.dumps({"name": name}),
            "config_key": name,
            "seed": seed,
            "metrics": {"tightness": value},
        }
        store.put(record(f"{key}-{seed}", **{**fields, **changes}))
    store.commit()
    return SweepTrials("id", name, tuple(f"{key}-{seed}" for seed in values))


def tabulate(store: Store, *sweeps: SweepTrials, **options: Any) -> Table:
    """The table of some sweeps."""
    asked = options.pop("layout", layout())
    return make_table(selected(store, *sweeps), asked, **options)


def selected(store: Store, *sweeps: SweepTrials) -> Selected:
    """The trials of some sweeps; those of `demo_sweep` if none is given."""
    return Selected.of(connect(store), sweeps or [demo_sweep()])
