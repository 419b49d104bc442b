import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lnets.functional.projections import project_l1_ball_rows, scale_l1_rows

# Of a sum of these few float64 numbers, relative to the radius.
ROUNDING = 1e-13
SHAPES = [(1, 1), (3, 1), (2, 5), (4, 17), (2, 3, 6)]
ROWS = torch.tensor([[0.1, 0, -0.2], [2, 0, -1], [0, 0, 0], [3, 3, -3]], dtype=torch.float64)


def random_rows(shape: tuple[int, ...], size: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator) * size


def bisected(row: Tensor, radius: float) -> Tensor:
    """The projection of one row by another way: bisection for the threshold."""
    low, high = 0.0, float(row.abs().max())
    if row.abs().sum() <= radius:
        return row
    for _ in range(200):
        middle = (low + high) / 2
        inside = (row.abs() - middle).clamp_min(0).sum() <= radius
        low, high = (low, middle) if inside else (middle, high)
    return row.sign() * (row.abs() - high).clamp_min(0)


@given(
    shape=st.sampled_from(SHAPES),
    size=st.sampled_from([1e-6, 0.1, 1.0, 100.0]),
    radius=st.sampled_from([0.3, 1.0, 7.0]),
    seed=st.integers(0, 1000),
)
def test_it_is_the_nearest_point_of_the_ball(
    shape: tuple[int, ...], size: float, radius: float, seed: int
) -> None:
    weight = random_rows(shape, size, seed)
    projected = project_l1_ball_rows(weight, radius)
    assert projected.abs().sum(dim=-1).max() <= radius * (1 + ROUNDING)
    for row, mine in zip(weight.flatten(0, -2), projected.flatten(0, -2), strict=True):
        assert torch.allclose(mine, bisected(row, radius), rtol=0, atol=1e-11)


def test_known_rows() -> None:
    expected = torch.tensor(
        [[0.1, 0, -0.2], [1, 0, 0], [0, 0, 0], [1 / 3, 1 / 3, -1 / 3]], dtype=torch.float64
    )
    assert torch.allclose(project_l1_ball_rows(ROWS), expected, rtol=0, atol=1e-15)


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000))
def test_rows_inside_keep_every_bit(shape: tuple[int, ...], seed: int) -> None:
    weight = random_rows(shape, 1, seed).float()
    weight = weight / (weight.abs().sum(dim=-1, keepdim=True) * 1.001)
    weight[..., 0, :] = -0.0
    projected = project_l1_ball_rows(weight)
    assert torch.equal(projected.view(torch.int32), weight.view(torch.int32))


@pytest.mark.parametrize("size", [1e5, 1e12, 1e30])
def test_enormous_rows_keep_their_norm_in_float32(size: float) -> None:
    weight = random_rows((20, 50), size, 0).float()
    norms = project_l1_ball_rows(weight).abs().sum(dim=-1)
    assert torch.allclose(norms, torch.ones(20), rtol=0, atol=1e-5)
    equal = torch.full((2, 40), size)
    assert torch.allclose(project_l1_ball_rows(equal), torch.full((2, 40), 1 / 40))


def test_the_gradient_passes_through_the_threshold() -> None:
    weight = random_rows((6, 5), 1, 3)
    weight[0] *= 0.01
    weight.requires_grad_()
    assert torch.autograd.gradcheck(project_l1_ball_rows, weight)
    # Along the sphere's normal a projected row does not move: Σ sign·∂w = 0 for surviving entries.
    signs = project_l1_ball_rows(weight)[1].detach().sign()
    (gradient,) = torch.autograd.grad(project_l1_ball_rows(weight)[1] @ signs, weight)
    assert gradient.abs().max() < ROUNDING


def test_large_rows_have_gradients_too() -> None:
    weight = (random_rows((3, 8), 0.2, 5) + 50).requires_grad_()
    assert torch.autograd.gradcheck(project_l1_ball_rows, weight)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan")])
def test_an_empty_ball_is_refused(radius: float) -> None:
    with pytest.raises(ValueError, match="`radius` must be above 0, got"):
        project_l1_ball_rows(ROWS, radius)


def test_scaled_rows() -> None:
    scaled = scale_l1_rows(ROWS, scale_all=True)
    assert torch.allclose(
        scaled.abs().sum(dim=-1), torch.tensor([1.0, 1, 0, 1], dtype=torch.float64)
    )
    assert torch.allclose(scaled[0], ROWS[0] / 0.3)
    capped = scale_l1_rows(ROWS, scale_all=False)
    assert torch.equal(capped[0], ROWS[0])
    assert torch.allclose(capped[1], ROWS[1] / 3)
    assert torch.equal(capped[2], ROWS[2])


@pytest.mark.parametrize("scale_all", [True, False])
def test_scaling_has_exact_and_finite_gradients(scale_all: bool) -> None:
    weight = random_rows((2, 3, 4), 0.5, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: scale_l1_rows(w, scale_all=scale_all), weight)
    zero = torch.zeros(2, 3, requires_grad=True)
    scale_l1_rows(zero, scale_all=scale_all).sum().backward()
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()
