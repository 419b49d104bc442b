"""Kill workers, a node and drivers of a sweep by seeded plans: nothing may be lost or doubled.

Each plan runs the same sweep on a Ray cluster of two nodes into a store of its own. What it
strikes, and after how many finished trials, is drawn from its seed. A killed driver is submitted
again. In the end every trial must have one row, which says the same as that of an undisturbed run.

    python -m benchmarks.chaos --plans 20
"""

import argparse
import contextlib
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.nodes import TwoNodes
from lnets.results.store import Store
from lnets.specs.identity import sweep_id
from lnets.specs.sweep import SweepSpec
from lnets.sweep.handover import ENTRYPOINT, HANDOVER_FILE, Handover, job_environment
from lnets.sweep.local import submit_here
from lnets.sweep.plan import make_plan

TRIALS = 60
_TIMES = ("train_seconds", "steps_per_second", "peak_memory")
_SHELL = {"type": "multi_spherical_shell", "dim": 2}
SWEEP: dict[str, Any] = {
    "name": "chaos",
    "experiment": {
        "task": "wasserstein",
        "distrib1": {**_SHELL, "radius": 0},
        "distrib2": {**_SHELL, "radius": 1},
        "model": {
            "type": "fully_connected",
            "layers": [16, 1],
            "activation": "maxmin",
            "linear": {"type": "bjorck", "bjorck_iter": 3},
        },
        "optim": {"type": "sgd", "lr": 0.1},
        "steps": 150,
        "batch_size": 16,
        "test_sample_size": 64,
        "log_every": 50,
    },
    "search": {"optim.lr": [0.1, 0.05, 0.02]},
    "seeds": TRIALS // 3,
    # One by one: trials that are trained together have other last digits.
    "resources": {"fuse": "off"},
}
_ROOT = Path(__file__).parent.parent
_DEADLINE_SECONDS = 900.0


@dataclass(frozen=True)
class Strike:
    """One thing that a plan does."""

    what: Literal["worker", "node", "driver"]
    after: int
    """Trials that have finished by then."""
    delay: float
    """Seconds from there on."""
    replace: bool
    """Whether another node takes the place of a killed one at once, or for the next plan."""


def plan_of(seed: int) -> list[Strike]:
    """Of each kind one strike, and one or two more, in any order."""
    chance = random.Random(seed)
    kinds: list[Literal["worker", "node", "driver"]] = ["worker", "node", "driver"]
    kinds += chance.choices(["worker", "driver"], k=chance.randint(1, 2))
    chance.shuffle(kinds)
    moments = sorted(chance.sample(range(TRIALS - 5), len(kinds)))
    return [
        Strike(what, after, chance.uniform(0, 0.5), chance.random() < 0.5)
        for what, after in zip(kinds, moments, strict=True)
    ]


class Disturbed:
    """A sweep whose driver may be killed: a process of its own, as it is inside of a Ray Job.

    Args:
        sweep: What it runs.
        folder: The driver's, beside whose name those of its store and its log are.
        cluster: Where it runs.
    """

    def __init__(self, sweep: SweepSpec, folder: Path, cluster: TwoNodes) -> None:
        self._folder, self._cluster = folder, cluster
        self.store = folder.with_suffix(".store")
        self._log = folder.with_suffix(".log")
        handover = Handover(
            action="run",
            sweep_id=sweep_id(sweep),
            name=sweep.name,
            store=str(self.store),
            spec=sweep.model_dump_json(),
            address=cluster.address,
        )
        folder.mkdir()
        (folder / HANDOVER_FILE).write_text(handover.model_dump_json())
        self._deadline = time.monotonic() + _DEADLINE_SECONDS
        self._driver = self._start()

    def run(self, plan: list[Strike], chance: random.Random) -> None:
        """Strike by a plan, and submit until the sweep has ended.

        Raises:
            AssertionError: If a driver ends otherwise than it should.
        """
        for strike in plan:
            self._wait(lambda after=strike.after: _finished(self.store) >= after)
            time.sleep(strike.delay)
            match strike.what:
                case "driver":
                    self._driver.kill()
                    self._driver.wait()
                    self._driver = self._start()
                case "node":
                    self._cluster.kill_node()
                    if strike.replace:
                        self._cluster.complete()
                case "worker":
                    self._wait(lambda: self._cluster.kill_worker(chance))
        self._wait(lambda: False)
        if self._driver.returncode == 1:  # whatever was struck three times has failed
            self._driver = self._start()
            self._wait(lambda: False)
        said = self._log.read_text()
        assert self._driver.returncode == 0, f"exit code {self._driver.returncode}:\n{said}"
        assert "Traceback" not in said, said

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            **job_environment("chaos", None),
            "RAY_ADDRESS": self._cluster.address,
        }
        command = [sys.executable, *ENTRYPOINT.split()[2:]]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self._folder
            )

    def _wait(self, condition: Any) -> None:
        """Until a condition holds, or the driver has ended."""
        while self._driver.poll() is None and not condition():
            assert time.monotonic() < self._deadline, f"stuck:\n{self._log.read_text()}"
            time.sleep(0.05)


def _finished(folder: Path) -> int:
    if not (folder / "lnets-store.json").exists():
        return 0
    return len(Store(folder).ended().finished)


def answer(folder: Path) -> dict[str, Any]:
    """What each trial has found and its curve, by trial key, but for times.

    Raises:
        AssertionError: If a trial has two rows, or a point of a curve is there twice.
    """
    store = Store(folder)
    rows = [row for row in store.table("trials").to_pylist() if row["status"] == "completed"]
    found = {row["trial_key"]: row for row in rows}
    assert len(found) == len(rows) == TRIALS, f"{len(rows)} rows of {len(found)} trials"
    points = store.table("curves").to_pylist()
    curve = {(p["trial_key"], p["step"], p["metric"]): p["value"] for p in points}
    assert len(curve) == len(points), "a point of a curve is there twice"
    left = [file.name for file in store.waiting()]
    assert not left, f"left in the spool: {left}"
    return {
        key: (
            {k: v for k, v in json.loads(row["metrics"]).items() if k not in _TIMES},
            sorted((at[1:], value) for at, value in curve.items() if at[0] == key),
        )
        for key, row in found.items()
    }


@contextlib.contextmanager
def _cluster(folder: Path) -> Iterator[TwoNodes]:
    os.environ |= {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray notes the cluster's address there, too: not where another Ray of this machine has.
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Drivers and workers are in other folders.
        "PYTHONPATH": f"{_ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    cluster = TwoNodes(SWEEP["name"])
    try:
        yield cluster
    finally:
        cluster.shutdown()


def main() -> None:
    """Run plans, and say of each whether it ended as it must; exit code 1 if one did not."""
    parser = argparse.ArgumentParser(prog="benchmarks.chaos", description=__doc__)
    parser.add_argument("--plans", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    chosen = parser.parse_args()
    sweep = SweepSpec.model_validate_json(json.dumps(SWEEP))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="lnets-chaos-") as name:
        folder = Path(name)
        submit_here(make_plan(sweep), folder / "undisturbed", "in-process")
        expected = answer(folder / "undisturbed")
        with _cluster(folder) as cluster:
            for seed in range(chosen.first, chosen.first + chosen.plans):
                failed += not _passes(seed, sweep, folder / f"plan-{seed}", cluster, expected)
    sys.exit(1 if failed else 0)


def _passes(
    seed: int, sweep: SweepSpec, folder: Path, cluster: TwoNodes, expected: dict[str, Any]
) -> bool:
    cluster.complete()
    plan = plan_of(seed)
    strikes = ", ".join(f"{strike.what} after {strike.after}" for strike in plan)
    start = time.monotonic()
    try:
        disturbed = Disturbed(sweep, folder, cluster)
        disturbed.run(plan, random.Random(seed))
        assert answer(disturbed.store) == expected, "other numbers than undisturbed"
    except AssertionError as error:
        print(f"plan {seed} ({strikes}): FAILED: {error}", flush=True)
        return False
    print(f"plan {seed} ({strikes}): as undisturbed, {time.monotonic() - start:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    main()
