import math

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

from lnets.data.min_funnels import MinFunnels

CPU = torch.device("cpu")
PAIRS = [(1, 3), (2, 4), (2, 16), (8, 64), (32, 5)]


def generator(seed: int = 5) -> Generator:
    return Generator().manual_seed(seed)


def side(dim: int, num_funnels: int, name: str = "target", **changes: float) -> MinFunnels:
    return MinFunnels(side=name, dim=dim, num_funnels=num_funnels, device=CPU, **changes)  # type: ignore[arg-type]


def potential(funnels: MinFunnels, x: Tensor) -> Tensor:
    """u as it is defined."""
    differences = x.unsqueeze(1) - funnels.centers
    return (differences.norm(dim=2) + funnels.offsets).amin(dim=1)


@pytest.mark.parametrize(("dim", "num_funnels"), PAIRS)
def test_every_move_costs_what_the_critic_gains(dim: int, num_funnels: int) -> None:
    """From which u is an optimal critic, and the mean move is the distance."""
    funnels = side(dim, num_funnels)
    rays = funnels.target_rays(2000, generator(), torch.float64)
    x, moved = rays.start + rays.length * rays.direction, funnels.moved(rays)
    gain = potential(funnels, x) - potential(funnels, moved)
    assert torch.allclose(gain, (x - moved).norm(dim=1), atol=1e-12)
    assert gain.min() >= 0
    assert moved.abs().max() <= 2.5 + 1e-12


@pytest.mark.parametrize(("dim", "num_funnels"), PAIRS)
def test_rays_end_where_another_funnel_is_as_low_or_at_the_wall(dim: int, num_funnels: int) -> None:
    funnels = side(dim, num_funnels)
    rays = funnels.target_rays(500, generator(), torch.float64)
    assert (rays.length <= rays.reach).all()
    for share in (0.3, 0.999999):
        inside = rays.start + share * rays.reach * rays.direction
        assert inside.abs().max() <= 2.5
        height = (inside - rays.start).norm(dim=1)
        picked = torch.cdist(rays.start, funnels.centers).argmin(dim=1)
        assert torch.allclose(potential(funnels, inside), height + funnels.offsets[picked])
    beyond = rays.start + 1.000001 * rays.reach * rays.direction
    outside = beyond.abs().amax(dim=1) > 2.5
    height = 1.000001 * rays.reach.squeeze(1) + funnels.offsets[picked]
    assert (outside | (potential(funnels, beyond) < height)).all()


@pytest.mark.parametrize(("dim", "num_funnels"), PAIRS)
def test_shares_of_rays_have_the_law_that_the_known_distance_builds_on(
    dim: int, num_funnels: int
) -> None:
    rays = side(dim, num_funnels).target_rays(5000, generator(1), torch.float64)
    shares = (rays.length / rays.reach).squeeze(1) ** dim
    assert stats.kstest(shares.numpy(), "uniform").pvalue > 1e-3


def test_samples_are_those_of_each_side() -> None:
    target, source = side(3, 4), side(3, 4, "source")
    uniform = target.held_out(5000, generator())
    for column in uniform.T:
        assert stats.kstest(column.numpy() / 5 + 0.5, "uniform").pvalue > 1e-3
    moved = source.held_out(5000, generator())
    rays = target.target_rays(5000, generator(), torch.float64)
    assert torch.equal(moved, target.moved(rays))
    assert target.sample(7, generator()).dtype == torch.float32
    assert source.sample(7, generator()).dtype == torch.float32
    assert torch.cdist(moved, moved).max() <= source.diameter


def test_single_precision_moves_alike() -> None:
    funnels = side(8, 32)
    single = funnels.target_rays(4000, generator(), torch.float32)
    exact = funnels.target_rays(4000, generator(), torch.float64)
    assert single.reach.dtype == torch.float32
    assert torch.isfinite(funnels.moved(single)).all()
    for one, other in zip(single, exact, strict=True):
        assert abs(float(one.double().mean() - other.mean())) < 0.1


def test_many_points_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lnets.data.min_funnels._NUMBERS_AT_ONCE", 40)
    source = side(2, 4, "source")
    assert list(source.chunks(25)) == [10, 10, 5]
    samples = source.sample(25, generator())
    assert samples.shape == (25, 2)
    assert len(samples.unique(dim=0)) == 25


def test_funnels_that_are_nowhere_the_lowest_are_left_out() -> None:
    """On a line, deep funnels hide those beside them."""
    funnels = side(1, 400)
    assert 1 < len(funnels.offsets) < 100
    heights = torch.cdist(funnels.centers, funnels.centers) + funnels.offsets
    assert torch.equal(heights.argmin(dim=1), torch.arange(len(heights)))


def test_the_seed_of_the_funnels_decides_them_and_nothing_else() -> None:
    first, again, other = (side(4, 5, funnel_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.centers, again.centers)
    assert torch.equal(first.offsets, again.offsets)
    assert not torch.equal(first.centers, other.centers)
    assert first.centers.abs().max() <= 2.5


def test_a_centre_itself_stays_where_it_is() -> None:
    funnels = side(2, 1)
    rays = funnels.target_rays(3, generator(), torch.float64)
    still = rays._replace(length=torch.zeros(3, 1, dtype=torch.float64))
    assert torch.equal(funnels.moved(still), rays.start)
    assert math.isfinite(funnels.diameter)
