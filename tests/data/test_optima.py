import math
from typing import Any

import pytest
import torch
from torch import Generator

from lnets.data.distributions import Distribution, Gaussian, MultiSphericalShell
from lnets.data.min_funnels import MinFunnels
from lnets.data.optima import known_optimum
from lnets.functional.transport import exact_wasserstein

CPU = torch.device("cpu")


def generator(seed: int = 5) -> Generator:
    return Generator().manual_seed(seed)


def shell(**changes: Any) -> MultiSphericalShell:
    return MultiSphericalShell(**{"dim": 2, "radius": 1.0, **changes})


def gaussian(**changes: Any) -> Gaussian:
    return Gaussian(**{"dim": 2, "mean": (0.0,), "std": (1.0,), "device": CPU, **changes})


def funnels(side: str, **changes: Any) -> MinFunnels:
    return MinFunnels(**{"dim": 2, "num_funnels": 4, "device": CPU, "side": side, **changes})


CENTERS = (-4.0, 0.0, 4.0)
KNOWN: list[tuple[Distribution, Distribution]] = [
    (shell(radius=0.25, center_x=CENTERS), shell(center_x=CENTERS[::-1])),
    (shell(dim=1), shell(dim=1, radius=0.0)),
    (
        shell(empty_dim=2, reshape_to_grid=(2, 2)),
        shell(radius=3, empty_dim=2, reshape_to_grid=(2, 2)),
    ),
    (gaussian(mean=(1.0, 2.0), std=(1.0, 0.1)), gaussian(std=(1.0, 0.1))),
    (gaussian(dim=3, mean=(1.0,), std=(2.0,)), gaussian(dim=3, mean=(1.0,))),
    (funnels("source"), funnels("target")),
    (funnels("target", dim=1), funnels("source", dim=1)),
]


@pytest.mark.parametrize(("first", "second"), KNOWN)
def test_the_known_distance_is_that_of_large_samples(
    first: Distribution, second: Distribution
) -> None:
    optimum = known_optimum(first, second)
    assert optimum is not None
    x, y = first.held_out(1500, generator(1)), second.held_out(1500, generator(2))
    # Samples of 1,500 points are further apart than the distributions: by 0.1 in two dimensions.
    excess = exact_wasserstein(x, y) - optimum.distance
    assert -0.1 < excess < 0.3


@pytest.mark.parametrize(("first", "second"), KNOWN)
def test_gradients_are_those_of_a_critic_that_reaches_the_distance(
    first: Distribution, second: Distribution
) -> None:
    """Unit vectors which point to where the first distribution is, from the second."""
    optimum = known_optimum(first, second)
    assert optimum is not None
    points, gradients = optimum.gradients(500, generator())
    assert points.shape == gradients.shape == (500, *first.held_out(2, generator()).shape[1:])
    assert torch.allclose(gradients.flatten(1).norm(dim=1), torch.ones(500, dtype=torch.float64))
    x = points.clone().requires_grad_()
    critic = _critic(first, second, x)
    (slopes,) = torch.autograd.grad(critic.sum(), x)
    wrong = (slopes - gradients).flatten(1).norm(dim=1) > 1e-6
    if isinstance(first, MinFunnels):  # a point 1e-10 from a centre has a direction to 1e-6 only
        nearest = (points.unsqueeze(1) - first.centers).norm(dim=2).amin(dim=1)
        assert (nearest[wrong] < 1e-9).all()
        wrong = wrong[nearest > 1e-9]
    assert not wrong.any()
    dual = [
        _critic(first, second, d.held_out(200_000, generator(3))).mean() for d in (first, second)
    ]
    assert float(dual[0] - dual[1]) == pytest.approx(optimum.distance, abs=0.02)


def _critic(first: Any, second: Any, x: torch.Tensor) -> torch.Tensor:
    """An optimal critic of each pair."""
    x = x.flatten(1)
    match first:
        case MultiSphericalShell():
            centers = torch.zeros(len(first.center_x), x.shape[1], dtype=x.dtype)
            centers[:, 0] = torch.tensor(first.center_x)
            nearest = (x.unsqueeze(1) - centers).norm(dim=2).amin(dim=1)
            return nearest if first.radius > second.radius else -nearest
        case Gaussian() if torch.equal(first.std, second.std):
            move = first.mean - second.mean
            return x @ (move / move.norm())
        case Gaussian():
            return (x - first.mean).norm(dim=1)
        case _:
            u = ((x.unsqueeze(1) - first.centers).norm(dim=2) + first.offsets).amin(dim=1)
            return u if first.side == "target" else -u


def test_means_over_random_points_have_a_standard_error() -> None:
    optimum = known_optimum(funnels("source", num_funnels=16), funnels("target", num_funnels=16))
    assert optimum is not None
    assert optimum.standard_error is not None
    # Published for another draw of the funnels: 0.466.
    assert 0.40 < optimum.distance < 0.53
    assert 0 < optimum.standard_error < 1e-3
    rays = funnels("target", num_funnels=16).target_rays(100_000, generator(9), torch.float64)
    moves = (rays.length - rays.reach * (rays.length / rays.reach) ** 8).squeeze(1)
    error = math.hypot(float(moves.std()) / 100_000**0.5, optimum.standard_error)
    assert abs(float(moves.mean()) - optimum.distance) < 4 * error


@pytest.mark.parametrize(
    ("dim", "num_funnels", "published"),
    [(2, 4, 0.817), (2, 16, 0.466), (8, 16, 1.585), (32, 4, 1.822), (128, 4, 1.142)],
)
def test_distances_are_like_the_published_ones(
    dim: int, num_funnels: int, published: float
) -> None:
    """Of another draw of the funnels: few of them differ by a fifth, many by less."""
    pair = (funnels(side, dim=dim, num_funnels=num_funnels) for side in ("source", "target"))
    optimum = known_optimum(*pair)
    assert optimum is not None
    assert optimum.distance == pytest.approx(published, rel=0.2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (shell(radius=0), shell(center_x=(0, 1))),
        (shell(radius=0, center_x=(0, 1)), shell(center_x=(0, 1))),
        (shell(), shell(dim=3)),
        (shell(), shell(center_x=(1,))),
        (shell(), shell(empty_dim=1)),
        (gaussian(), gaussian(dim=3)),
        (gaussian(), gaussian(std=(2.0,), mean=(1.0,))),
        (gaussian(), gaussian(std=(1.0, 2.0))),
        (gaussian(std=(1.0, 2.0)), gaussian(std=(2.0, 4.0))),
        (funnels("source"), funnels("target", funnel_seed=1)),
        (funnels("source"), funnels("target", degree=4.0)),
        (funnels("source"), gaussian()),
        (shell(), gaussian()),
    ],
)
def test_no_distance_is_claimed_where_none_is_known(
    first: Distribution, second: Distribution
) -> None:
    assert known_optimum(first, second) is None


@pytest.mark.parametrize("one", [shell(), gaussian(), funnels("source")])
def test_a_distribution_is_at_distance_0_from_itself(one: Distribution) -> None:
    optimum = known_optimum(one, one)
    assert optimum is not None
    assert optimum.distance == 0
