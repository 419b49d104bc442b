import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lnets.functional.orthonormalize import bjorck, bjorck_iteration, spectral_scale

ORDERS = [1, 2, 3, 4]
SHAPES = [(1, 1), (1, 7), (7, 1), (5, 5), (4, 9), (9, 4)]
# Of float64 arithmetic on these sizes; measured errors are below 1e-14.
ROUNDING = 1e-12


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (1, [0.4365, 0.9855, 0.936]),
        (2, [0.52966125, 0.99768375, 1.02312]),
        (3, [0.60030853125, 0.99961284375, 0.991176]),
        (4, [0.65656142894531, 0.99993355558594, 1.00347444]),
    ],
)
def test_one_iteration_has_the_published_values(order: int, expected: list[float]) -> None:
    weight = torch.diag(torch.tensor([0.3, 0.9, 1.2], dtype=torch.float64))
    values = bjorck_iteration(weight, order=order).diag()
    assert torch.allclose(values, torch.tensor(expected, dtype=torch.float64), atol=1e-13)


@pytest.mark.parametrize(("order", "needed"), [(1, 14), (2, 9), (3, 8), (4, 7)])
def test_an_order_needs_its_iterations_from_a_hundredth(order: int, needed: int) -> None:
    """Iterations until σ ≥ 0.999 from 0.01, as computed from the scalar recursion."""
    sigma = torch.tensor([[0.01]], dtype=torch.float64)
    steps = 0
    while sigma < 0.999:
        sigma = bjorck_iteration(sigma, order=order)
        steps += 1
    assert steps == needed


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_enough_iterations_give_the_polar_factor(order: int, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(*shape, dtype=torch.float64)
    u, _, vh = torch.linalg.svd(weight, full_matrices=False)
    assert torch.allclose(bjorck(weight, iterations=40, order=order), u @ vh, atol=1e-9)


@given(
    order=st.sampled_from(ORDERS),
    iterations=st.integers(0, 6),
    shape=st.sampled_from(SHAPES),
    size=st.floats(1e-20, 1e20),
    seed=st.integers(0, 1000),
)
def test_no_singular_value_ever_exceeds_one(
    order: int, iterations: int, shape: tuple[int, int], size: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, dtype=torch.float64, generator=generator) * size
    sigma = torch.linalg.svdvals(bjorck(weight, iterations=iterations, order=order))
    assert sigma.max() <= 1 + ROUNDING
    assert sigma.min() >= 0


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000))
def test_the_scale_is_a_close_upper_bound(shape: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, dtype=torch.float64, generator=generator)
    norm = torch.linalg.matrix_norm(weight, ord=2)
    scale = spectral_scale(weight).squeeze()
    assert norm * (1 - ROUNDING) <= scale <= 2 * norm


def test_the_scale_of_an_orthonormal_matrix_is_one() -> None:
    weight = torch.nn.init.orthogonal_(torch.empty(6, 9, dtype=torch.float64))
    assert abs(spectral_scale(weight).item() - 1) < ROUNDING


@pytest.mark.parametrize("order", ORDERS)
def test_the_gradient_is_that_of_the_iterations_taken(order: int) -> None:
    torch.manual_seed(1)
    for shape in ((3, 4), (4, 3)):
        weight = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for iterations in (1, 3):
            assert torch.autograd.gradcheck(
                lambda w, i=iterations: bjorck(w, iterations=i, order=order), weight
            )


def test_leading_dimensions_are_a_batch() -> None:
    weights = torch.randn(2, 3, 4, 6)
    batched = bjorck(weights, iterations=5, order=2)
    for i in range(2):
        for j in range(3):
            single = bjorck(weights[i, j], iterations=5, order=2)
            assert torch.allclose(batched[i, j], single, atol=1e-6)


def test_a_zero_matrix_stays_zero() -> None:
    assert torch.equal(bjorck(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.parametrize(("order", "beta"), [(0, 0.5), (5, 0.5), (2, 0.4)])
def test_what_is_not_defined_is_refused(order: int, beta: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        bjorck(torch.eye(2), order=order, beta=beta)
