"""What a person reads of a worker that has died."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lnets.sweep.deaths import cause_of_death, last_death
from tests.conftest import enlarge
from tests.sweep.killing import rows, start

MEMORY = """1 worker(s) were killed due to the node running low on memory. Memory on the node \
(IP: 127.0.0.1, ID: e2e1) was 6.37GB used / 23.54GB limit (0.270669)
OOM kill reason: Memory usage 6841851904B exceeded threshold of 1263825152B
Object store memory usage: [- objects spillable: 0
"""
KILLED = """The actor died unexpectedly before finishing this task.
\tclass_name: TrialWorker
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: (1) the process was killed by the OOM killer due to high memory usage.
"""
NODE = """The actor died unexpectedly before finishing this task.
The actor died because its node has died. Node Id: 5f02
"""
RAISED = """\x1b[36mray::chaos lr=0.1 seed=0\x1b[39m (pid=1, ip=127.0.0.1)
  File "x.py", line 1, in step
    results = [result for result in execute(self._group, how)]
lnets.errors.StoreError: /store/spool/1.json: cannot be written: No space left on device
"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (MEMORY, "out of memory: Ray killed it, because 6.37GB of 23.54GB of its machine were in"),
        (KILLED, "The actor is dead because its worker process has died."),
        (NODE, "The actor died because its node has died."),
        (RAISED, "lnets.errors.StoreError: /store/spool/1.json: cannot be written: No space left"),
        ("Something else.\nIn detail.", "Something else."),
        ("", "the worker died"),
    ],
)
def test_a_death_is_told_in_a_line(text: str, cause: str) -> None:
    found = cause_of_death(text)
    assert found.startswith(cause)
    assert "\n" not in found


def test_the_latest_of_several_deaths_is_told(tmp_path: Path) -> None:
    file = tmp_path / "error.txt"
    file.write_text(f"Failure # 1 (occurred at 1)\n{MEMORY}\nFailure # 2 (occurred at 2)\n{NODE}\n")
    assert last_death(str(file)) == cause_of_death(NODE)
    assert last_death(None) == last_death(str(tmp_path / "none")) == "the worker died"


@pytest.mark.slow
@pytest.mark.ray
def test_a_worker_that_takes_too_much_memory_ends_no_sweep(
    tiny: dict[str, Any],
    write: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray kills it when 4 GiB more are in use than now; its held-out samples are 12 GiB."""
    memory = psutil.virtual_memory()
    if memory.available < 9 * 2**30:
        pytest.skip("needs 9 GiB of free memory")
    most = (memory.total - memory.available + 4 * 2**30) / memory.total
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{most:.4f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    enlarge(tiny["experiment"])
    spec = write(
        {
            **tiny,
            "search": {"test_sample_size": [4, 12_000]},
            "seeds": 1,
            "resources": {"max_concurrent": 1, "max_failures": 1},
        }
    )
    driver = start(spec, tmp_path / "store")
    output, errors = driver.communicate(timeout=280)
    assert driver.returncode == 1, errors
    assert "Traceback" not in errors
    assert "OOM" not in output + errors
    deaths = (
        "worker lost, tried again: tiny test_sample_size=12000 seed=0: out of memory: Ray killed"
    )
    assert errors.count(deaths) == 1
    [failed] = [row for row in rows(tmp_path / "store").values() if row["status"] == "failed"]
    assert failed["error"].startswith("the worker was lost: out of memory: Ray killed it, because ")
    assert len(rows(tmp_path / "store")) == 2
