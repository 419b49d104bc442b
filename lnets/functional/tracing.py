"""What is done to tensor operations from outside: transforms and autocast."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

# A Function of autograd that works under torch.func too costs 20 µs more in each call, as much as
# a small layer. So ours give way to ordinary operations there; where torch no longer says that a
# transform is active, they always do.
_transforming: Callable[[], bool] = getattr(
    torch._C, "_are_functorch_transforms_active", lambda: True
)


def is_tracing() -> bool:
    """Whether compilation, export, a transform of `torch.func` or forward-mode AD is at work."""
    forward = getattr(forward_ad, "_current_level", -1) >= 0
    return torch.compiler.is_compiling() or _transforming() or forward


def without_autocast(weight: Tensor) -> contextlib.AbstractContextManager[object]:
    """Where maps of weights belong: rounded to bfloat16, no matrix would come out orthonormal.

    Args:
        weight: On the device in question.
    """
    device = weight.device.type
    # Asking about a device without autocast, such as meta, is an error.
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()
