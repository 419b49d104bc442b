"""Ray clusters of this machine, for tests and benchmarks."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

_SECONDS_TO_START = 240.0


@contextlib.contextmanager
def started_head(token: str) -> Iterator[str]:
    """What `ray start --head` starts, on loopback with one core; it asks for a token.

    Yields:
        The address of its dashboard, which takes jobs.

    Raises:
        TimeoutError: If it does not start.
    """
    port = _free_port()
    ports = {
        "port": _free_port(),
        "dashboard-port": port,
        "dashboard-agent-listen-port": _free_port(),
        "ray-client-server-port": _free_port(),
        "min-worker-port": 0,
        "max-worker-port": 0,
    }
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # of a short name
        head = subprocess.Popen(
            [
                *(Path(sys.executable).with_name("ray"), "start", "--head", "--block"),
                *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"),
                *(f"--temp-dir={folder}", "--num-cpus=1", "--num-gpus=0"),
                *(f"--{name}={number}" for name, number in ports.items()),
            ],
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": token,
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + _SECONDS_TO_START
            while not _takes_jobs(address, token):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no Ray head at {address} in {_SECONDS_TO_START:g} s")
                time.sleep(0.05)
            yield address
        finally:
            family = _descendants(psutil.Process(head.pid))
            for process in family:
                _kill(process)
            head.wait()
            psutil.wait_procs(family)


def _free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _takes_jobs(address: str, token: str) -> bool:
    from lnets.sweep.dashboard import Dashboard
    from lnets.sweep.jobs import Jobs

    before = os.environ.get("RAY_AUTH_TOKEN")
    os.environ["RAY_AUTH_TOKEN"] = token
    try:
        dashboard = Dashboard(address)
        return bool(dashboard.machines()) and Jobs(dashboard.address, token).all() == []
    except Exception:  # whatever a head answers that has only just begun
        return False
    finally:
        os.environ.pop("RAY_AUTH_TOKEN")
        if before is not None:
            os.environ["RAY_AUTH_TOKEN"] = before


class TwoNodes:
    """Two nodes with a core each on loopback, whose processes may be killed.

    Its files are where `RAY_TMPDIR` says.

    Args:
        sweep: Name of the sweep whose workers may be killed.
    """

    def __init__(self, sweep: str) -> None:
        from ray.cluster_utils import Cluster

        quick = {
            "health_check_initial_delay_ms": 1000,
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 6,
        }
        # The usual port may be another Ray's.
        head = {"num_cpus": 1, "dashboard_port": _free_port()}
        self._cluster = Cluster(
            initialize_head=True, head_node_args={**head, "_system_config": quick}
        )
        self._name = sweep
        self._second: Any = None
        self.address: str = self._cluster.address
        self.complete()

    def complete(self) -> None:
        """Start the second node unless it is there."""
        if self._second is None:
            self._second = self._cluster.add_node(num_cpus=1)

    def kill_node(self) -> None:
        """End every process of the second node, as a loss of power does."""
        if self._second is not None:
            for process in _descendants(self._raylet(self._second)):
                _kill(process)
            self._cluster.remove_node(self._second, allow_graceful=False)
            self._second = None

    def kill_worker(self, chance: random.Random) -> bool:
        """End one of the processes that train trials; False if there is none just now."""
        found = [
            process
            for node in (self._cluster.head_node, self._second)
            if node is not None
            for process in _descendants(self._raylet(node))
            if "ray::" + self._name in _title(process)
        ]
        if found:
            _kill(chance.choice(found))
        return bool(found)

    def shutdown(self) -> None:
        """End it."""
        self._cluster.shutdown()

    def _raylet(self, node: Any) -> psutil.Process:
        (info,) = node.all_processes["raylet"]
        return psutil.Process(info.process.pid)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _title(process: psutil.Process) -> str:
    """Ray writes what a worker does into its command line."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return "".join(process.cmdline())
    return ""


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
