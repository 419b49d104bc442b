"""Drivers as processes of their own, which may be killed, and what they leave in a store."""

import contextlib
import ipaddress
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lnets.results.store import Store
from tests.conftest import wait_for

COMMAND = [sys.executable, "-c", "from lnets.cli import main; main()"]


def start(spec: Path, store: Path, *flags: str, command: str = "submit") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, command, str(spec), "--store", str(store), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(store: Path) -> frozenset[str]:
    return Store(store).ended().finished if (store / "lnets-store.json").exists() else frozenset()


def rows(store: Path) -> dict[str, dict[str, Any]]:
    found = Store(store).table("trials").to_pylist()
    assert len({row["trial_key"] for row in found}) == len(found), "a trial is there twice"
    return {row["trial_key"]: row for row in found}


def places(store: Path) -> frozenset[tuple[str, str, float | None]]:
    """How trials have ended, and where they have paused."""
    if not (store / "lnets-store.json").exists():
        return frozenset()
    Store(store).commit()
    found = [
        (row["trial_key"], row["status"], json.loads(row["metrics"]).get("paused_at"))
        for row in Store(store).table("trials").to_pylist()
    ]
    assert len(set(found)) == len(found), "a trial is there twice"
    return frozenset(found)


def kill_again_and_again(
    spec: Path,
    store: Path,
    *,
    lives: int,
    seed: int = 0,
    kept: Callable[[Path], frozenset[Any]] = ended,
) -> None:
    """Each life ends some milliseconds after its first new trial, at another point of the work.

    What `kept` finds in the store grows with each, and is never lost.
    """
    chance = random.Random(seed)
    for _ in range(lives):
        before = kept(store)
        driver = start(spec, store, "--runner", "in-process")
        wait_for(lambda b=before: len(kept(store)) > len(b))
        with pytest.raises(subprocess.TimeoutExpired):
            driver.wait(timeout=chance.uniform(0, 0.25))
        finished = kept(store)
        driver.kill()
        driver.communicate()
        assert finished <= kept(store)


def kill_with_ray(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """Kill a driver; what its Ray leaves, whose agents outlive it by minutes."""
    descendants = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.communicate()
    return descendants


def listening() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Addresses at which this process and its descendants can be reached, one per socket."""
    mine = psutil.Process()
    found = []
    for process in (mine, *mine.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker that ends just now
            found += [
                ipaddress.ip_address(connection.laddr.ip)
                for connection in process.net_connections(kind="inet")
                if connection.status == psutil.CONN_LISTEN
            ]
    return [getattr(address, "ipv4_mapped", None) or address for address in found]
