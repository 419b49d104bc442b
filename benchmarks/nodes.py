"""A Ray cluster whose processes may be killed."""

import contextlib
import random
import socket
from pathlib import Path
from typing import Any

import psutil


class TwoNodes:
    """A Ray cluster of two nodes with a core each, on this machine's loopback interface.

    Args:
        folder: Where it keeps its files.
        sweep: Name of the sweep whose workers may be killed.
    """

    def __init__(self, folder: Path, sweep: str) -> None:
        from ray.cluster_utils import Cluster

        quick = {
            "health_check_initial_delay_ms": 1000,
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 6,
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]  # the usual one may be another Ray's
        head = {"num_cpus": 1, "dashboard_port": port, "temp_dir": str(folder)}
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
