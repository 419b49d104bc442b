"""In what matrix products are computed while training."""

import contextlib
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

from lnets.errors import TrialError

# Multiplications in a product from which oneDNN's kernels win over their longer way.
_LARGE = 4_000_000


@contextlib.contextmanager
def fast_products(size: int) -> Iterator[None]:
    """Let oneDNN compute float32 products on the CPU where that is exact, and faster.

    torch leaves them to MKL, whose kernels on other makers' processors reach half of what oneDNN
    does. oneDNN is asked only for products that it may shorten to bfloat16; whether it does on
    this processor is tried, and then nothing is changed.

    Args:
        size: Multiplications in the largest product.
    """
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    if size >= _LARGE and _exact_by_onednn():
        settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def training_precision(
    precision: Literal["float32", "bf16"], device: torch.device
) -> AbstractContextManager[object]:
    """Within it, networks compute in this precision; enter it once per forward.

    Args:
        precision: `bf16` shortens the inputs of large products; weights stay in float32.
        device: Where networks train.

    Raises:
        TrialError: If the device has no arithmetic in bfloat16.
    """
    if precision == "float32":
        return contextlib.nullcontext()
    if not _has_bf16(device):
        raise TrialError(
            f"precision must be float32 on this {device.type}, which has no arithmetic in "
            "bfloat16; leave it out"
        )
    return torch.autocast(device.type, torch.bfloat16)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(has for name, has in capabilities.items() if name.endswith("bf16"))


@functools.cache
def _exact_by_onednn() -> bool:
    """Whether products that may be shortened to bfloat16 are not."""
    if not torch.backends.mkldnn.is_available():
        return False
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        return all(_relative_error(shape) < 1e-5 for shape in ((64, 64, 64), (96, 512, 257)))
    finally:
        settings.fp32_precision = before


def _relative_error(shape: tuple[int, int, int]) -> float:
    rows, inner, columns = shape
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(2, rows, inner, generator=generator)
    b = torch.randn(2, columns, inner, generator=generator)
    exact = a.double() @ b.double().mT
    errors = [a @ b.mT - exact, a[0] @ b[0].mT - exact[0]]
    return max(float(error.norm() / exact.norm()) for error in errors)
