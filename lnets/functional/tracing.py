"""Whether tensor operations are being transformed instead of done."""

from collections.abc import Callable

import torch

# A Function of autograd that works under torch.func too costs 20 µs more in each call, as much as
# a small layer. So ours give way to ordinary operations there; where torch no longer says that a
# transform is active, they always do.
_transforming: Callable[[], bool] = getattr(
    torch._C, "_are_functorch_transforms_active", lambda: True
)


def is_tracing() -> bool:
    """Whether `torch.compile`, `torch.export` or a transform of `torch.func` is at work."""
    return torch.compiler.is_compiling() or _transforming()
