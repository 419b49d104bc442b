import math

import pytest
import torch
from torch import Generator, nn

from lnets.data.distributions import Distribution, Gaussian, MultiSphericalShell
from lnets.data.min_funnels import MinFunnels
from lnets.functional.transport import exact_wasserstein
from lnets.nn import Abs, Scale
from lnets.tasks.dual_bounds import evaluate

CPU = torch.device("cpu")


def generator() -> Generator:
    return Generator().manual_seed(1)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_critic_there_is_does_not_exceed_the_exact_value(seed: int) -> None:
    """The potentials of the linear program itself, as a network: exact up to rounding."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(40, 1, dtype=torch.float64, generator=generator)
    y = x + 1 + torch.rand(40, 1, dtype=torch.float64, generator=generator)
    critic = nn.Sequential(nn.Linear(1, 1)).double()
    with torch.no_grad():
        critic[0].weight.fill_(-1.0)
        critic[0].bias.fill_(1e6)
    metrics = evaluate(critic, _Given(x), _Given(y), 40, 40, generator)
    assert metrics["wasserstein_exact"] * (1 - 1e-6) < metrics["wasserstein_estimate"]
    assert metrics["wasserstein_estimate"] <= metrics["wasserstein_exact"]


class _Given:
    """A distribution of given samples."""

    diameter = 10.0
    available = 40.0
    deviation = 5.0

    def __init__(self, samples: torch.Tensor) -> None:
        self._samples = samples

    def sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return self._samples[:n].float()

    def held_out(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return self._samples[:n]


def linear(slope: list[float], factor: float = 1.0) -> nn.Module:
    layer = nn.Linear(len(slope), 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([slope]))
    return nn.Sequential(layer, Scale(factor))


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_gradients_are_compared_with_the_known_critics(factor: float) -> None:
    """Of normal distributions, whose optimal critic has the slope (0.6, 0.8)."""
    first = Gaussian(dim=2, mean=(3.0, 4.0), std=(1.0,), device=CPU)
    second = Gaussian(dim=2, mean=(0.0, 0.0), std=(1.0,), device=CPU)
    for slope, cosine in (([0.6, 0.8], 1.0), ([-0.6, -0.8], -1.0), ([0.8, 0.6], 0.96)):
        metrics = evaluate(linear(slope, factor), first, second, 100, 100, generator())
        # The weights are float32.
        assert metrics["gradient_cosine"] == pytest.approx(cosine, abs=1e-6)
        assert metrics["gradient_error"] == pytest.approx(2 - 2 * cosine, abs=1e-6)
        assert metrics["wasserstein_exact"] == 5
        assert metrics["wasserstein_estimate"] == pytest.approx(5 * cosine, abs=0.5)


def test_the_sign_follows_where_the_critic_is_high() -> None:
    inner, outer = (MultiSphericalShell(dim=1, radius=radius) for radius in (1.0, 3.0))
    for first, second, sign in ((outer, inner, 1), (inner, outer, -1)):
        critic = nn.Sequential(linear([1.0]), Abs())
        metrics = evaluate(critic, first, second, 100, 100, generator())
        assert metrics["gradient_cosine"] == pytest.approx(sign, abs=1e-6)
        assert metrics["gradient_error"] == pytest.approx(2 - 2 * sign, abs=1e-6)
        assert metrics["tightness"] == pytest.approx(sign)


def test_distances_of_the_samples_and_of_the_distributions_are_told_apart() -> None:
    first, second = (
        MinFunnels(side=side, dim=4, num_funnels=5, device=CPU) for side in ("source", "target")
    )
    critic = linear([0.5, 0.5, 0.5, 0.5])
    metrics = evaluate(critic, first, second, 80, 80, generator())
    draw = generator()
    x, y = first.held_out(80, draw), second.held_out(80, draw)
    assert metrics["wasserstein_exact_sample"] == exact_wasserstein(x, y)
    assert metrics["wasserstein_exact_sample"] > metrics["wasserstein_exact"] > 0
    assert metrics["wasserstein_exact_error"] < 0.01
    estimate = metrics["wasserstein_estimate"]
    assert metrics["tightness"] == estimate / metrics["wasserstein_exact"]
    fewer = evaluate(critic, first, second, 80, 79, generator())
    assert set(metrics) - set(fewer) == {"wasserstein_exact_sample"}
    assert fewer["tightness"] == metrics["tightness"]
    unknown = MultiSphericalShell(dim=4, radius=1.0)
    assert "wasserstein_exact" not in evaluate(critic, first, unknown, 80, 79, generator())


def test_the_same_samples_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counted(x: torch.Tensor, y: torch.Tensor) -> float:
        nonlocal calls
        calls += 1
        return exact_wasserstein(x, y)

    monkeypatch.setattr("lnets.tasks.dual_bounds.exact_wasserstein", counted)
    first, second = (MultiSphericalShell(dim=3, radius=r) for r in (0.123, 4.56))
    found = [
        evaluate(linear(s), first, second, 30, 30, generator()) for s in ([1.0, 0, 0], [0, 1.0, 0])
    ]
    assert calls == 1
    assert found[0]["wasserstein_exact_sample"] == found[1]["wasserstein_exact_sample"]
    evaluate(linear([1.0, 0, 0]), second, first, 30, 30, generator())
    assert calls == 2


def test_a_distribution_at_distance_0_has_no_optimal_gradient() -> None:
    one: Distribution = Gaussian(dim=2, mean=(0.0,), std=(1.0,), device=CPU)
    metrics = evaluate(linear([1.0, 0.0]), one, one, 50, 50, generator())
    assert metrics["wasserstein_exact"] == 0
    assert not {"tightness", "gradient_cosine", "gradient_error"} & set(metrics)
    assert math.isfinite(metrics["wasserstein_lower_bound"])
