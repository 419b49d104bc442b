from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lnets.functional.orthogonal import cayley, qr, retract, tangent_linear
from lnets.functional.orthonormalize import bjorck_iteration
from lnets.functional.polar import polar, polar_express, polar_express_coefficients

METHODS: dict[str, Callable[[Tensor], Tensor]] = {
    "eigh": polar,
    "svd": lambda w: polar(w, method="svd"),
    "polar_express": lambda w: polar_express(w, lower=1e-4),
    "qr": qr,
    "cayley": cayley,
}
POLAR = ["eigh", "svd", "polar_express"]
SHAPES = [(4, 4), (3, 6), (6, 3), (1, 4), (2, 3, 5)]
# Float64 on these sizes; condition numbers of random matrices here are below 1e3.
ROUNDING = 1e-9


def random(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_the_result_is_orthonormal_with_the_right_gradient(
    name: str, shape: tuple[int, ...]
) -> None:
    weight = random(shape).requires_grad_()
    sigma = torch.linalg.svdvals(METHODS[name](weight))
    assert (sigma - 1).abs().max() < ROUNDING
    assert torch.autograd.gradcheck(METHODS[name], weight)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", POLAR)
def test_value_and_gradient_are_those_of_the_svd(name: str, shape: tuple[int, ...]) -> None:
    weight, upstream = random(shape).requires_grad_(), random(shape, 1)
    u, _, vh = torch.linalg.svd(weight, full_matrices=False)
    expected = u @ vh
    got = METHODS[name](weight)
    assert torch.allclose(got, expected, atol=ROUNDING)
    gradients = [torch.autograd.grad(q, weight, upstream)[0] for q in (got, expected)]
    assert torch.allclose(*gradients, atol=1e-6)


@given(seed=st.integers(0, 500), condition=st.sampled_from([1.0, 10.0, 1e3]))
@settings(max_examples=30)
def test_ill_conditioned_matrices_come_out_orthonormal(seed: int, condition: float) -> None:
    u, v = (polar(random((5, 5), seed + i)) for i in (0, 1000))
    weight = u @ torch.diag(torch.logspace(0, -np.log10(condition), 5, dtype=torch.float64)) @ v
    for name in POLAR:
        sigma = torch.linalg.svdvals(METHODS[name](weight))
        assert (sigma - 1).abs().max() < 1e-7, name


def test_the_published_coefficients_are_met() -> None:
    published = [
        (8.28721201814563, -23.595886519098837, 17.300387312530933),
        (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
        (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
        (3.3184196573706015, -2.488488024314874, 0.51004894012372),
        (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
        (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
        (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    ]
    # The last published row is the limit already, reached by rounding another way.
    computed = polar_express_coefficients(1e-3)
    assert np.allclose(computed[:6], published[:6], rtol=1e-9)
    assert np.allclose(computed[6], published[6], rtol=1e-6)


@given(lower=st.floats(1e-5, 0.99))
def test_the_composition_is_one_on_the_whole_interval(lower: float) -> None:
    x = np.concatenate([np.geomspace(lower, 1, 500), [lower, 1.0]])
    for a, b, c in polar_express_coefficients(lower):
        x = a * x + b * x**3 + c * x**5
    assert np.abs(x - 1).max() < 1e-8


@pytest.mark.parametrize("lower", [0.0, 1.0, -1.0])
def test_an_interval_must_be_one(lower: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \(0, 1\)"):
        polar_express_coefficients(lower)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'lu'"):
        polar(random((2, 2)), method="lu")


@pytest.mark.parametrize("name", POLAR)
def test_a_zero_matrix_and_its_gradient_stay_finite(name: str) -> None:
    weight = torch.zeros(3, 4, requires_grad=True)
    result = METHODS[name](weight)
    assert torch.equal(result, torch.zeros(3, 4))
    result.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.isnan().any()


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3)], ids=str)
def test_retraction_errs_as_it_says(shape: tuple[int, int]) -> None:
    weight = polar(random(shape))
    for delta in (1e-2, 1e-3):
        moved = weight + delta * polar(random(shape, 1))
        errors = [
            (torch.linalg.svdvals(retract(moved, steps=n)) - 1).abs().max().item() for n in (1, 2)
        ]
        assert errors[0] < 2 * delta**2
        assert errors[1] < 6 * delta**4 + 1e-15


@pytest.mark.parametrize("size", [3.0, 1e3, 1e-3])
def test_retraction_never_diverges(size: float) -> None:
    weight = size * polar(random((6, 6)))
    for _ in range(30):
        weight = retract(weight)
    assert (torch.linalg.svdvals(weight) - 1).abs().max() < ROUNDING


@pytest.mark.parametrize("size", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("shape", [(64, 64), (64, 200), (200, 64)], ids=str)
def test_one_retraction_brings_back_what_a_rotation_moves_far(
    shape: tuple[int, int], size: float
) -> None:
    weight, skew = polar(random(shape)), random((max(shape), max(shape)), 1)
    skew = (skew - skew.mT) * (size / torch.linalg.matrix_norm(skew - skew.mT, ord=2))
    moved = weight + (weight @ skew if shape[0] <= shape[1] else skew @ weight)
    assert (torch.linalg.svdvals(retract(moved)) - 1).abs().max() < ROUNDING


@pytest.mark.parametrize("batch", [(4,), (2, 3), ()], ids=str)
@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (6, 3)], ids=str)
def test_the_tangent_gradient_is_that_of_the_polar_factor(
    shape: tuple[int, int], batch: tuple[int, ...]
) -> None:
    weight = polar(random(shape)).detach().requires_grad_()
    x, upstream = random((*batch, shape[1]), 2).requires_grad_(), random((*batch, shape[0]), 3)
    got = torch.autograd.grad(tangent_linear(x, weight), (x, weight), upstream)
    y = x @ polar(weight, method="svd").mT
    expected = torch.autograd.grad(y, (x, weight), upstream)
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def converged(x: Tensor, weight: Tensor) -> Tensor:
    """The product with the polar factor; of a polar factor, right in the first 124 derivatives."""
    for _ in range(3):
        weight = bjorck_iteration(weight, order=4)
    return x @ weight.mT


def gradient_penalty(function: Callable[..., Tensor], x: Tensor, weight: Tensor) -> Tensor:
    y = function(x, weight)
    for_x, for_weight = torch.autograd.grad(y.pow(3).sum(), (x, weight), create_graph=True)
    return for_x.pow(2).sum() + for_weight.pow(3).sum()


@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (6, 3)], ids=str)
def test_the_tangent_gradient_can_be_differentiated_again(shape: tuple[int, int]) -> None:
    weight = polar(random(shape)).detach().requires_grad_()
    x = random((5, shape[1]), 2).requires_grad_()
    got, expected = (
        torch.autograd.grad(gradient_penalty(function, x, weight), (x, weight))
        for function in (tangent_linear, converged)
    )
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, rtol=ROUNDING)
    frozen = torch.autograd.grad(
        tangent_linear(x.detach(), weight).sum(), weight, create_graph=True
    )
    assert frozen[0].requires_grad


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # torch's own
def test_forward_mode_follows_the_tangent_and_is_refused_elsewhere() -> None:
    weight, direction, x = polar(random((3, 5))), random((3, 5), 1), random((4, 5), 2)
    _, expected = torch.func.jvp(lambda w: converged(x, w), (weight,), (direction,))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(weight, direction)
        y = torch.autograd.forward_ad.unpack_dual(tangent_linear(x, dual))
        with pytest.raises(NotImplementedError, match="forward mode AD"):
            polar(dual)
    assert torch.allclose(y.tangent, expected, atol=1e-12)
    assert torch.allclose(y.primal, x @ weight.mT)


@pytest.mark.parametrize("name", POLAR)
def test_a_second_derivative_of_the_polar_factor_is_refused(name: str) -> None:
    weight = random((3, 4)).requires_grad_()

    def size(w: Tensor) -> Tensor:
        return METHODS[name](w).pow(3).sum()

    (gradient,) = torch.autograd.grad(size(weight), weight, create_graph=True)
    with pytest.raises(NotImplementedError, match="`BjorckLinear`"):
        gradient.sum().backward()
    twice = torch.func.grad(lambda w: torch.func.grad(size)(w).sum())
    with pytest.raises(NotImplementedError, match="cannot be differentiated again"):
        twice(weight.detach())


@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (6, 3)], ids=str)
def test_under_autocast_only_the_products_are_rounded(shape: tuple[int, int]) -> None:
    weight = polar(random(shape)).float().detach().requires_grad_()
    x = random((16, shape[1]), 2).float().requires_grad_()
    upstream = random((16, shape[0]), 3).float()
    expected = torch.autograd.grad(tangent_linear(x, weight), (x, weight), upstream)
    for autocast_too in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            y = tangent_linear(x, weight)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast_too):
            got = torch.autograd.grad(y, (x, weight), upstream.bfloat16(), create_graph=True)
        for a, b in zip(got, expected, strict=True):
            assert a.dtype == torch.float32
            assert (a - b).norm() <= 2.0**-7 * x.norm() * upstream.norm()
