"""What a person reads of a worker that has died."""

from pathlib import Path

import pytest

from lnets.sweep.deaths import cause_of_death, last_death

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
