"""A process that is killed while Delta writes loses nothing and doubles nothing."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lnets.results.store import Store
from tests.results.test_store import keys, record

_MILLISECONDS = (0.2, 1, 3, 6, 10, 15)
# A timer whose signal ends the process at once, as SIGKILL does, even inside of Delta's own code.
_CHILD = """
import signal, sys
from pathlib import Path
from deltalake import DeltaTable
from lnets.results import store as module

root, method, at, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
store = module.Store(root)
signal.signal(signal.SIGALRM, signal.SIG_DFL)
write, optimize = module.write_deltalake, DeltaTable.optimize

def timed(folder, *arguments, **named):
    if folder.endswith(at):
        signal.setitimer(signal.ITIMER_REAL, seconds)
    write(folder, *arguments, **named)

def compacted(table):
    if table.table_uri.rstrip("/").endswith(at):
        signal.setitimer(signal.ITIMER_REAL, seconds)
    return optimize.fget(table)

module.write_deltalake = timed
DeltaTable.optimize = property(compacted)
getattr(store, method)()
signal.pause()
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six trials in the tables, by a commit each, and six in the spool."""
    store = Store(tmp_path_factory.mktemp("prepared") / "store", create=True)
    for number in range(12):
        store.put(record(f"{number:02}"))
        if number < 6:
            store.commit()
    return store.root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "at"), [("commit", "curves"), ("commit", "trials"), ("compact", "trials")]
)
@pytest.mark.parametrize("milliseconds", _MILLISECONDS)
def test_a_process_killed_while_delta_writes(
    prepared: Path, tmp_path: Path, method: str, at: str, milliseconds: float
) -> None:
    root = tmp_path / "store"
    shutil.copytree(prepared, root)
    arguments = [sys.executable, "-c", _CHILD, str(root), method, at, str(milliseconds / 1000)]
    killed = subprocess.run(arguments, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGALRM, killed.stderr
    left = Store(root)
    assert {f"{number:02}" for number in range(6)} <= set(keys(left))
    assert left.ended().finished == {f"{number:02}" for number in range(12)}
    left.commit()
    left.compact()
    assert keys(left) == keys(left, "curves") == [f"{number:02}" for number in range(12)]
    assert not list(left.spool.iterdir())
