import math
from typing import Any

import numpy as np
import ot
import pytest
import torch
from scipy import stats

from lnets.functional.transport import (
    check_memory,
    confidence_width,
    dual_value,
    exact_wasserstein,
)


def test_the_dual_value_is_a_difference_of_means() -> None:
    value = dual_value(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5]]))
    assert value.item() == 1.5


def test_the_exact_value_on_a_line_is_that_of_sorted_samples() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=40), generator.normal(2, 3, size=60)
    exact = exact_wasserstein(torch.tensor(x)[:, None], torch.tensor(y)[:, None])
    assert exact == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-10)


def test_moving_every_point_alike_costs_the_move() -> None:
    x = torch.randn(30, 5, dtype=torch.float64)
    step = torch.tensor([3.0, 0, 4, 0, 0], dtype=torch.float64)
    assert exact_wasserstein(x, x + step) == pytest.approx(5, rel=1e-10)


def test_no_lipschitz_function_exceeds_the_exact_value() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(25, 4, dtype=torch.float64), torch.randn(35, 4, dtype=torch.float64) + 0.5
    exact = exact_wasserstein(x, y)
    for _ in range(50):
        anchors = torch.randn(6, 4, dtype=torch.float64)
        critics = [-torch.cdist(points, anchors).amin(dim=1) for points in (x, y)]
        assert dual_value(*critics).item() <= exact * (1 + 1e-12)


def test_more_points_than_fit_into_memory_are_refused_before_anything_is_allocated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lnets.functional.transport.free_memory", lambda: 48 * 100**2)
    check_memory(100, 100)
    with pytest.raises(MemoryError, match=r"101 and 100 points .* at most 100 of each"):
        check_memory(101, 100)
    monkeypatch.setattr("lnets.functional.transport.cdist", None)
    with pytest.raises(MemoryError, match="ask for fewer"):
        exact_wasserstein(torch.zeros(101, 2), torch.zeros(100, 2))


@pytest.mark.filterwarnings("ignore:numItermax reached")
def test_an_optimum_that_is_not_reached_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lnets.functional.transport._MAX_ITERATIONS", 20)
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(ArithmeticError, match="must agree"):
        exact_wasserstein(x, x.flip(1) + 1)


def test_duals_that_prove_less_than_the_primal_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solve = ot.emd2

    def wrong(*arguments: Any, **options: Any) -> Any:
        distance, log = solve(*arguments, **options)
        return distance, {**log, "v": log["v"] + np.linspace(0, 1e-3, len(log["v"]))}

    monkeypatch.setattr(ot, "emd2", wrong)
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(ArithmeticError, match="must agree"):
        exact_wasserstein(x, x.flip(1) + 1)


def test_images_are_flattened() -> None:
    x, y = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    assert exact_wasserstein(x, y) == pytest.approx(2)


def test_the_width_fails_no_more_often_than_it_may() -> None:
    """δ = 0.2 over 400 draws: more than 110 failures would be a miracle."""
    generator = torch.Generator().manual_seed(0)
    failures = 0
    for _ in range(400):
        f = (torch.rand(50, generator=generator, dtype=torch.float64) < 0.1).double()
        g = torch.rand(50, generator=generator, dtype=torch.float64)
        width = confidence_width(f, g, ranges=(1.0, 1.0), deviations=(0.5, 0.5), delta=0.2)
        failures += dual_value(f, g).item() - width > 0.1 - 0.5
    assert failures < 110


def test_the_width_of_an_unbounded_critic_fails_no_more_often_than_it_may() -> None:
    """Normal values of deviations 1 and 2; δ = 0.2 over 400 draws, as above."""
    generator = torch.Generator().manual_seed(0)
    failures = 0
    for _ in range(400):
        f, g = torch.randn(2, 30, generator=generator, dtype=torch.float64)
        ranges, deviations = (math.inf, math.inf), (1.0, 2.0)
        width = confidence_width(f, 2 * g, ranges=ranges, deviations=deviations, delta=0.2)
        failures += dual_value(f, 2 * g).item() - width > 0
    assert width == pytest.approx(math.sqrt(2 * math.log(2 / 0.2) * (1 + 4) / 30))
    assert failures < 110


def test_nothing_is_certain_where_nothing_is_known() -> None:
    some = torch.zeros(9, dtype=torch.float64)
    both = (1.0, math.inf)
    assert confidence_width(some, some, ranges=both, deviations=both, delta=0.1) == math.inf


def test_the_width_is_hoeffdings_or_bernsteins() -> None:
    varied = torch.tensor([0.0, 1.0] * 50, dtype=torch.float64)
    hoeffding = math.sqrt(math.log(2 / 0.05) / 2 * 2 / 100)
    assert confidence_width(
        varied, varied, ranges=(1.0, 1.0), deviations=(0.5, 0.5), delta=0.05
    ) == pytest.approx(hoeffding)
    constant = torch.zeros(10_000, dtype=torch.float64)
    bernstein = 2 * 7 * math.log(8 / 0.05) / (3 * 9999)
    assert confidence_width(
        constant, constant, ranges=(1.0, 1.0), deviations=(0.5, 0.5), delta=0.05
    ) == pytest.approx(bernstein)
    assert (
        confidence_width(constant, constant, ranges=(0.0, 0.0), deviations=(0.0, 0.0), delta=0.05)
        == 0
    )
