"""How long a sweep that is handed to a cluster takes to begin."""

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measurement import Measurement
from benchmarks.nodes import started_head
from lnets.results.store import Store

SPEC = Path(__file__).parent.parent / "sweeps" / "absolute_value.yaml"
LIMIT = 20.0
ROUNDS = 3


def measure() -> list[Measurement]:
    """Median seconds from `submit --address` until a worker has begun with the first trial.

    The baseline is the limit.
    """
    token = secrets.token_hex(32)
    with tempfile.TemporaryDirectory() as folder, started_head(token) as address:
        rounds = [_seconds(address, token, Path(folder) / f"store-{i}") for i in range(ROUNDS)]
    print(f"  submit: {', '.join(f'{seconds:.1f}' for seconds in rounds)} s", flush=True)
    case = "to the first trial at work on a cluster, beside the limit"
    return [Measurement("submit", case, statistics.median(rounds), LIMIT, "s")]


def _seconds(address: str, token: str, store: Path) -> float:
    program = "from lnets.cli import main; main()"
    arguments = ["submit", str(SPEC), "--address", address, "--store", str(store), "--follow"]
    start = time.time()
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "RAY_AUTH_TOKEN": token},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    rows = Store(store).table("trials", ["started_at"])
    return min(at.timestamp() for at in rows["started_at"].to_pylist()) - start
