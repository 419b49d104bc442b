import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian, jvp, vmap

from lnets.functional.polar import polar
from lnets.functional.rotation import rotate, rotation_linear

# Rows by columns: wide, tall, square.
SHAPES = [(3, 6), (6, 3), (5, 5), (1, 4), (4, 1)]
BATCHES = [(7,), (40,), (2, 3), ()]
# Float64 sums of at most 100 products.
ROUNDING = 1e-12
# A few roundings to bfloat16, relative to the norm of all.
BFLOAT16 = 2.0**-6

Product = Callable[[Tensor, Tensor, Tensor], Tensor]


def moved(weight: Tensor, skew: Tensor) -> Tensor:
    return skew @ weight if weight.shape[-2] > weight.shape[-1] else weight @ skew


def exact(x: Tensor, weight: Tensor, rotation: Tensor) -> Tensor:
    return x @ moved(weight, torch.linalg.matrix_exp((rotation - rotation.mT) / 2)).mT


def to_first_order(x: Tensor, weight: Tensor, rotation: Tensor) -> Tensor:
    return x @ (weight + moved(weight, (rotation - rotation.mT) / 2)).mT


def example(
    shape: tuple[int, int], batch: tuple[int, ...] = (7,), dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, an orthonormal weight and a rotation of zero."""
    torch.manual_seed(0)
    weight = polar(torch.randn(shape, dtype=torch.float64), method="svd").to(dtype)
    x = torch.randn(*batch, shape[1], dtype=dtype, requires_grad=True)
    return x, weight, torch.zeros(max(shape), max(shape), dtype=dtype, requires_grad=True)


def agree(got: tuple[Tensor, ...], expected: tuple[Tensor, ...], atol: float = ROUNDING) -> bool:
    return all(torch.allclose(a, b, atol=atol) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradient_is_that_of_a_rotation(shape: tuple[int, int], batch: tuple[int, ...]) -> None:
    x, weight, rotation = example(shape, batch)
    y = rotation_linear(x, weight, rotation)
    assert torch.equal(y, x @ weight.mT)
    upstream = torch.randn_like(y)
    got = torch.autograd.grad(y, (x, rotation), upstream)
    expected = torch.autograd.grad(exact(x, weight, rotation), (x, rotation), upstream)
    assert expected[1].norm() > 0 or max(shape) == 1
    assert agree(got, expected)
    constant = x.detach()
    (alone,) = torch.autograd.grad(rotation_linear(constant, weight, rotation), rotation, upstream)
    assert torch.equal(alone, got[1])
    frozen = rotation.detach()
    (for_x,) = torch.autograd.grad(rotation_linear(x, weight, frozen), x, upstream)
    assert torch.equal(for_x, got[0])


@pytest.mark.parametrize("batch", [(7,), (2, 3)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_gradient_penalty_has_the_gradient_of_a_rotation(
    shape: tuple[int, int], batch: tuple[int, ...]
) -> None:
    x, weight, rotation = example(shape, batch)

    def penalty(product: Product) -> tuple[Tensor, ...]:
        y = product(x, weight, rotation)
        (slope,) = torch.autograd.grad(y.sin().sum(), x, create_graph=True)
        return torch.autograd.grad((slope.norm(dim=-1) - 1).square().sum(), (x, rotation))

    assert agree(penalty(rotation_linear), penalty(exact))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # torch's own
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_second_derivative_along_the_rotation_is_as_documented(shape: tuple[int, int]) -> None:
    x, weight, rotation = example(shape)
    direction = torch.randn_like(rotation)

    def second(product: Product) -> tuple[Tensor, ...]:
        y = product(x, weight, rotation)
        (first,) = torch.autograd.grad(y.sin().sum(), rotation, create_graph=True)
        return torch.autograd.grad((first * direction).sum(), (x, rotation))

    got = second(rotation_linear)
    assert agree(got, second(to_first_order))
    assert torch.allclose(got[0], second(exact)[0], atol=ROUNDING)
    loss = lambda r, f: f(x.detach(), weight, r).sin().sum()  # noqa: E731
    transformed = [
        hessian(functools.partial(loss, f=f))(rotation.detach())
        for f in (rotation_linear, to_first_order)
    ]
    assert torch.allclose(*transformed, atol=ROUNDING)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_from_a_rotation_it_goes_on_from_the_rotated_weight(shape: tuple[int, int]) -> None:
    """Traced or not."""
    x, weight, rotation = example(shape)
    skew = torch.randn_like(rotation)
    skew = (skew - skew.mT).detach().requires_grad_()
    rotated = rotate(weight, skew).detach()
    expected = rotation_linear(x, rotated, rotation)
    y = rotation_linear(x, weight, skew)
    assert torch.allclose(y, expected, atol=ROUNDING)
    upstream = torch.randn_like(y)
    wanted = torch.autograd.grad(expected, (x, rotation), upstream)
    assert agree(torch.autograd.grad(y, (x, skew), upstream, retain_graph=True), wanted)
    assert agree(torch.autograd.grad(y, (x, skew), upstream, create_graph=True), wanted)
    traced = grad(lambda a, s: (rotation_linear(a, weight, s) * upstream).sum(), argnums=(0, 1))
    assert agree(traced(x.detach(), skew.detach()), wanted)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_stack_is_as_each_alone(shape: tuple[int, int]) -> None:
    weights = polar(torch.randn(3, *shape, dtype=torch.float64), method="svd")
    rotations = torch.zeros(3, max(shape), max(shape), dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 7, shape[1], dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 7, shape[0], dtype=torch.float64)
    y = rotation_linear(x, weights, rotations)
    got = torch.autograd.grad(y, (x, rotations), upstream)
    inputs, constants = x.detach(), rotations.detach()

    def one(x: Tensor, weight: Tensor, rotation: Tensor, upstream: Tensor) -> Tensor:
        return (rotation_linear(x, weight, rotation) * upstream).sum()

    batched = vmap(grad(one, argnums=(0, 2)))(inputs, weights, constants, upstream)
    assert agree(batched, got)
    for i in range(3):
        mine = (x[i].detach().requires_grad_(), constants[i].clone().requires_grad_())
        alone = rotation_linear(mine[0], weights[i], mine[1])
        assert torch.allclose(alone, y[i], atol=ROUNDING)
        assert agree(torch.autograd.grad(alone, mine, upstream[i]), (got[0][i], got[1][i]))
    step = 0.01 * (batched[1] - batched[1].mT)
    each = torch.stack([rotate(w, s) for w, s in zip(weights, step, strict=True)])
    assert torch.allclose(rotate(weights, step), each, atol=ROUNDING)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # torch's own
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_mode_agrees(shape: tuple[int, int]) -> None:
    x, weight, rotation = (t.detach() for t in example(shape))
    tangents = (torch.randn_like(x), torch.randn_like(rotation))
    got, expected = (
        jvp(lambda a, r, f=f: f(a, weight, r), (x, rotation), tangents)
        for f in (rotation_linear, to_first_order)
    )
    assert agree(got, expected)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (32, 32)], ids=str)
def test_autocast_rounds_products_only(shape: tuple[int, int]) -> None:
    x, weight, rotation = example(shape, (16,), torch.float32)

    def loss(x: Tensor, rotation: Tensor) -> Tensor:
        return rotation_linear(x, weight, rotation).float().sin().sum()

    def gradients(autocast: bool) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = rotation_linear(x, weight, rotation)
            assert y.dtype == (torch.bfloat16 if autocast else torch.float32)
            (slope,) = torch.autograd.grad(loss(x, rotation), x, create_graph=True)
            twice = torch.autograd.grad(slope.pow(3).sum(), (x, rotation))
            traced = grad(loss, argnums=1)(x.detach(), rotation.detach())
            value = loss(x, rotation)
        return [y.float(), slope, *twice, traced, *torch.autograd.grad(value, (x, rotation))]

    for got, expected in zip(gradients(True), gradients(False), strict=True):
        assert got.dtype == torch.float32
        assert (got - expected).norm() <= BFLOAT16 * expected.norm()


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (32, 32)], ids=str)
def test_gradients_are_skew_symmetric_and_their_diagonal_zero(shape: tuple[int, int]) -> None:
    """The diagonal to the bit: what is left of roundings, Adam would scale to its learning rate."""
    x, weight, rotation = example(shape, (16,), torch.float32)
    y = rotation_linear(x, weight, rotation)
    (gradient,) = torch.autograd.grad(y, rotation, torch.randn_like(y))
    assert (gradient + gradient.mT).norm() <= 1e-6 * gradient.norm()
    assert not gradient.diagonal().any()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_rotation_errs_by_its_square(shape: tuple[int, int]) -> None:
    _, weight, _ = example(shape)
    skew = torch.randn(max(shape), max(shape), dtype=torch.float64)
    skew = (skew - skew.mT) / torch.linalg.matrix_norm(skew - skew.mT, ord=2)
    for size in (1e-1, 1e-2, 1e-3):
        step = size * skew
        result = rotate(weight, step)
        sigma = torch.linalg.svdvals(result)
        assert (sigma.square() - 1).abs().max() <= size**2 + ROUNDING
        expected = moved(weight, torch.linalg.matrix_exp(step))
        assert torch.linalg.matrix_norm(result - expected, ord=2) <= 0.51 * size**2 + ROUNDING
