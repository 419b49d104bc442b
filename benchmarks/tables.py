"""Tables and queries of a large store, as whole commands, beside what they may cost."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.measurement import Measurement
from benchmarks.workloads import shipped
from lnets.results.records import CURVES, TRIALS, SweepRecord
from lnets.results.store import Store
from lnets.specs.identity import canonical_json

TRIALS_STORED = 100_000
SEEDS = 5
COMMITS = 50
POINTS = 10
ROUNDS = 5
# Seconds, and GiB of memory at most.
LIMITS = {"table": 2.0, "query": 3.0}
MEMORY = 1.0
COMMANDS = {
    "table": ["table", "big", "--rows", "model.activation", "--columns", "batch_size"],
    "query": ["query", 'SELECT "model.activation", avg(tightness) FROM trials GROUP BY 1'],
}
# The kernel's figure of a child also counts the parent that it was forked from.
_RUN = """
import sys, time
from pathlib import Path
from lnets.cli import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    print(time.process_time(), status.split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def measure() -> list[Measurement]:
    """Median seconds and most memory of whole commands, Python's start included.

    Where other processes are at work, processor time, of all threads, is what can be compared.

    The store has 100,000 trials of 20,000 configurations with five seeds each, and a million points
    of learning curves, all compacted. The baselines are the limits.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder))
        for name, arguments in COMMANDS.items():
            rounds = [_run([*arguments, "--store", folder]) for _ in range(ROUNDS)]
            seconds, processor = (
                statistics.median(times) for times in list(zip(*rounds, strict=True))[:2]
            )
            case = f"{name} over {TRIALS_STORED:,} trials, beside the limit"
            found.append(Measurement("tables", case, seconds, LIMITS[name], "s"))
            found.append(
                Measurement("tables", f"processor time of a {case}", processor, LIMITS[name], "s")
            )
            memory = max(memory for _, _, memory in rounds)
            found.append(Measurement("tables", f"memory of a {case}", memory, MEMORY, "GiB"))
    return found


def _run(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of processor time, and GiB of a command.

    Raises:
        RuntimeError: If it fails.
    """
    start = time.perf_counter()
    command = [sys.executable, "-c", _RUN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"`lnets-sweep {' '.join(arguments)}` must work: {done.stderr}")
    processor, memory = done.stderr.split()[-2:]
    return seconds, float(processor), int(memory) / 2**20


def _fill(folder: Path) -> None:
    """Commit trials and curves as drivers do, many at a time, and compact them."""
    store = Store(folder, create=True)
    keys = [f"{i:064x}" for i in range(TRIALS_STORED)]
    base = json.loads(canonical_json(shipped("absolute_value")))
    chance = np.random.default_rng(0)
    for part in np.array_split(np.arange(TRIALS_STORED), COMMITS):
        rows = [_row(int(i), keys[i], base, chance) for i in part]
        write_deltalake(store.root / "trials", pa.Table.from_pylist(rows, TRIALS), mode="append")
        points = len(part) * POINTS
        columns = [
            pa.array([keys[i] for i in part for _ in range(POINTS)]),
            pa.array(np.tile(np.arange(POINTS), len(part))),
            pa.array(chance.random(points)),
            pa.array(["train_dual"] * points),
            pa.array(chance.random(points)),
        ]
        curve = pa.Table.from_arrays(columns, schema=CURVES)
        write_deltalake(store.root / "curves", curve, mode="append")
    store.add_sweep(_sweep(keys, base))
    store.compact()


def _row(
    i: int, key: str, base: dict[str, object], chance: np.random.Generator
) -> dict[str, object]:
    number = i // SEEDS
    activation = ("maxmin", "relu", "group_sort", "absolute")[number % 4]
    config = {
        **base,
        "batch_size": 2 ** (number // 4 % 10),
        "model": {**base["model"], "activation": activation},  # type: ignore[dict-item]
        "optim": {**base["optim"], "lr": 1e-5 * (1 + number)},  # type: ignore[dict-item]
    }
    names = ("wasserstein_estimate", "wasserstein_lower_bound", "tightness", "train_seconds")
    return {
        "trial_key": key,
        "config_key": f"{number:064x}",
        "sweep_id": "0123456789ab",
        "name": "big",
        "task": "wasserstein",
        "seed": i % SEEDS,
        "status": "completed",
        "config": json.dumps(config, sort_keys=True, separators=(",", ":")),
        "metrics": json.dumps(dict(zip(names, chance.random(len(names)), strict=True))),
        "started_at": datetime.now(UTC),
        "train_seconds": 1.0,
        "device": "cpu",
        "attempt": 1,
    }


def _sweep(keys: list[str], base: dict[str, object]) -> SweepRecord:
    table = {"rows": ["model.activation"], "columns": [], "values": ["tightness", "train_seconds"]}
    spec = {"name": "big", "experiment": base, "algorithm": {"type": "grid"}, "table": table}
    return SweepRecord(
        sweep_id="0123456789ab",
        name="big",
        spec=json.dumps(spec),
        trial_keys=tuple(keys),
        skipped="[]",
        submitted_at=datetime.now(UTC),
        commit=None,
        versions="{}",
        host="bench",
    )
