import math

import pytest
import torch
from torch import Generator, Tensor

from lnets.functional.features import frechet_distance, kernel_distance


def normal(n: int, mean: float = 0.0, std: float = 1.0, *, seed: int = 0, dim: int = 3) -> Tensor:
    generator = Generator().manual_seed(seed)
    return mean + std * torch.randn(n, dim, generator=generator, dtype=torch.float64)


def test_the_kernel_distance_is_its_definition() -> None:
    x, y = normal(5), normal(4, 1.0, seed=1)

    def kernel(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    expected = sum(kernel(x[i], x[j]) for i, j in pairs) / len(pairs)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    expected += sum(kernel(y[i], y[j]) for i, j in pairs) / len(pairs)
    expected -= 2 * sum(kernel(a, b) for a in x for b in y) / 20
    assert kernel_distance(x, y).item() == pytest.approx(expected)
    assert kernel_distance(y, x).item() == pytest.approx(expected)


def test_many_rows_make_no_difference() -> None:
    x, y = normal(3000), normal(2500, 0.1, seed=1)
    kernel = (x @ y.mT / 3 + 1) ** 3
    whole = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (
        (x @ x.mT / 3 + 1) ** 3, (y @ y.mT / 3 + 1) ** 3)]  # fmt: skip
    expected = whole[0] + whole[1] - 2 * kernel.mean()
    torch.testing.assert_close(kernel_distance(x, y), expected)


def test_the_kernel_distance_is_unbiased() -> None:
    """Of equal distributions it is 0 on average, within four standard errors."""
    found = [
        kernel_distance(normal(20, seed=2 * s), normal(20, seed=2 * s + 1)).item()
        for s in range(400)
    ]
    values = torch.tensor(found)
    assert values.mean().abs() < 4 * values.std() / math.sqrt(len(values))
    assert values.min() < 0


def test_the_frechet_distance_of_normal_distributions_is_known() -> None:
    """Of independent coordinates: (Δmean)² + (Δstd)² for each, up to a percent of sampling."""
    x, y = normal(100_000, 0.0, 1.0), normal(100_000, 2.0, 1.5, seed=1)
    assert frechet_distance(x, y).item() == pytest.approx(3 * (4 + 0.25), rel=0.02)
    scale = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
    a, b = x[:50], y[:70] @ scale
    first, second = torch.cov(a.mT), torch.cov(b.mT)
    cross = torch.linalg.eigvals(first @ second).real.clamp_min(0).sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + (first + second).trace() - 2 * cross
    assert frechet_distance(a, b).item() == pytest.approx(expected.item())
    assert frechet_distance(b, a).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("dim", [1, 4])
def test_the_same_samples_have_no_frechet_distance(dim: int) -> None:
    x = normal(6, dim=dim)
    assert frechet_distance(x, x).item() == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x.flip(0)).item() == pytest.approx(0, abs=1e-6)
    shifted = x + 1
    assert frechet_distance(x, shifted).item() == pytest.approx(dim)
