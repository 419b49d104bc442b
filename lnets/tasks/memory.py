"""How much memory a trial takes."""

from pathlib import Path

import torch

_PROCESS = Path("/proc/self")
_GIB = 2**30


class PeakMemory:
    """The most memory at any moment since this was made.

    On a CPU that of the whole process, libraries included, where the kernel can tell; on a GPU what
    torch has allocated.

    Args:
        device: Where the trials run.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known = True
        if device.type == "cuda":
            if torch.cuda.is_initialized():
                torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            # Forget what earlier trials of this process took.
            (_PROCESS / "clear_refs").write_text("5")
        except OSError:
            self._known = False

    def gib(self) -> float | None:
        """In GiB; None where the kernel does not tell."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / _GIB
        if not self._known:
            return None
        lines = (_PROCESS / "status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmHWM"].split()[0]) * 1024 / _GIB
