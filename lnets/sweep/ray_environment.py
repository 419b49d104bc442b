"""What Ray reads from its environment, here set before it is imported."""

import contextlib
import os
import sys
from collections.abc import Iterator

from lnets.sweep.handover import JOB

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
# Groups that Tune stages ahead: with one, its default for a searcher, workers wait for each other.
_STAGED_GROUPS = "64"
# No usage reports; no files per trial, since the store has our own; no snapshots, since the store
# is what a sweep resumes from; Ctrl-C as an ordinary KeyboardInterrupt; workers in the driver's
# folder, so that relative paths of data mean the same to them; nothing of Ray's on stdout when a
# worker dies, and no traceback of its own, since the listener hears of it.
os.environ.update(
    {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
    }
)
# A Ray of this machine stays on the loopback interface; a cluster's machines talk to each other.
if JOB not in os.environ:
    os.environ |= {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "GLOO_SOCKET_IFNAME": _LOOPBACK,
        "NCCL_SOCKET_IFNAME": _LOOPBACK,
    }


@contextlib.contextmanager
def staging() -> Iterator[None]:
    """Tune stages several groups ahead while the block runs."""
    before = os.environ.get("TUNE_MAX_PENDING_TRIALS_PG")
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = before or _STAGED_GROUPS
    try:
        yield
    finally:
        if before is None:
            del os.environ["TUNE_MAX_PENDING_TRIALS_PG"]
