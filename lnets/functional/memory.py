"""How much memory is left."""

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that may still be taken: the least of what the machine and the container leave.

    Where the system does not tell how much is free, all that the machine has.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if _MEMINFO.exists():
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        limits.append(int(lines["MemAvailable"].split()[0]) * 1024)
    limit = _CGROUP / "memory.max"
    if limit.exists() and (bound := limit.read_text().strip()) != "max":
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        # Pages of files that nobody has used for a while are given back before anything fails.
        taken = int((_CGROUP / "memory.current").read_text()) - int(stat["inactive_file"])
        limits.append(int(bound) - taken)
    return max(0, min(limits))
