from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lnets.functional.jacobian import jacobian_spectra, jacobians, power_step
from lnets.nn import BjorckLinear, GroupSort, OrthogonalLinear, SpectralNormLinear

# Of sums of a few float64 products.
ROUNDING = 1e-12


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def smooth_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


@given(batch=st.integers(1, 4), out=st.integers(1, 5), size=st.integers(1, 5))
@settings(max_examples=20)
def test_a_linear_function_has_its_matrix(batch: int, out: int, size: int) -> None:
    matrix, x = normal(out, size), normal(batch, size, seed=1)
    found = jacobians(lambda z: z @ matrix.mT, x)
    assert torch.equal(found, matrix.expand(batch, out, size))
    spectra = jacobian_spectra(lambda z: z @ matrix.mT, x)
    expected = torch.linalg.svdvals(matrix).expand(batch, min(out, size))
    assert torch.allclose(spectra, expected, rtol=0, atol=ROUNDING)


def test_each_sample_has_its_own() -> None:
    model, x = smooth_network(), normal(5, 4)
    reference = torch.func.vmap(torch.func.jacrev(model))(x)
    assert torch.allclose(jacobians(model, x), reference, rtol=0, atol=ROUNDING)


def test_images_keep_their_shape_and_outputs_are_flattened() -> None:
    torch.manual_seed(0)
    model, x = nn.Conv2d(2, 3, 2).double(), normal(4, 2, 3, 3)
    found = jacobians(model, x)
    assert found.shape == (4, 12, 2, 3, 3)
    pushed = (found * x.unsqueeze(1)).flatten(2).sum(2)
    offset = model(torch.zeros_like(x)).flatten(1)
    assert torch.allclose(pushed + offset, model(x).flatten(1), rtol=0, atol=ROUNDING)
    assert jacobian_spectra(model, x).shape == (4, 12)


def test_orthonormal_layers_have_singular_values_one() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(OrthogonalLinear(6, 6), GroupSort(2), OrthogonalLinear(6, 3)).double()
    model.eval()
    spectra = jacobian_spectra(model, normal(7, 6))
    # Orthonormal in float32, then held in float64.
    assert torch.allclose(spectra, torch.ones(7, 3, dtype=torch.float64), rtol=0, atol=1e-6)


def test_outputs_that_depend_on_no_input_have_zeros() -> None:
    x = normal(2, 3)
    mixed = jacobians(lambda z: torch.stack((z[:, 0], torch.ones(2).double()), dim=1), x)
    assert torch.equal(mixed[:, 1], torch.zeros(2, 3).double())
    assert torch.equal(jacobians(lambda z: torch.ones(2, 1).double(), x), torch.zeros(2, 1, 3))
    weight = normal(1).requires_grad_()
    assert not jacobians(lambda z: weight.expand(2, 1), x).any()


def test_gradients_pass_unless_they_are_off() -> None:
    model, x = smooth_network(), normal(2, 4)
    assert jacobians(model, x).requires_grad
    assert not x.requires_grad
    with torch.no_grad():
        assert not jacobians(model, x).requires_grad
        assert not power_step(model, x, unit(normal(3)))[0].requires_grad
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: jacobians(model, z), x)


def oracle(model: Callable[[Tensor], Tensor], x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The step by whole Jacobians: j, and the directions v."""
    jacobian = jacobians(model, x).flatten(2)
    v = unit(u @ jacobian).detach()
    return torch.einsum("boi,bi->o", jacobian, v) / len(x), v


@given(seed=st.integers(0, 100), batch=st.integers(1, 5))
@settings(max_examples=20)
def test_a_step_is_that_of_the_whole_jacobians(seed: int, batch: int) -> None:
    model, x, u = smooth_network(seed), normal(batch, 4, seed=seed), unit(normal(3, seed=seed))
    size, following = power_step(model, x, u)
    j, _ = oracle(model, x, u)
    assert torch.allclose(size, j.norm(), rtol=ROUNDING, atol=0)
    assert torch.allclose(following, unit(j), rtol=0, atol=ROUNDING)


@given(seed=st.integers(0, 100))
@settings(max_examples=10)
def test_the_norm_does_not_fall_and_stays_below_the_mean(seed: int) -> None:
    model, x, u = smooth_network(seed), normal(4, 4, seed=seed), unit(normal(3, seed=seed))
    mean = jacobian_spectra(model, x)[:, 0].mean()
    before = torch.zeros(()).double()
    for _ in range(10):
        size, u = power_step(model, x, u)
        assert before * (1 - ROUNDING) <= size <= mean * (1 + ROUNDING)
        before = size


def test_one_sample_converges_to_the_largest_singular_value() -> None:
    matrix = torch.diag(torch.tensor([3.0, 1, 0.5], dtype=torch.float64)) @ unit(normal(3, 3))
    u = unit(normal(3))
    for _ in range(100):
        size, u = power_step(lambda z: z @ matrix.mT, normal(1, 3), u)
    assert torch.allclose(size, torch.linalg.matrix_norm(matrix, ord=2), rtol=1e-10, atol=0)


def test_the_gradient_is_that_of_the_norm_with_fixed_directions() -> None:
    model, x, u = smooth_network(), normal(3, 4), unit(normal(3))
    _, v = oracle(model, x, u)

    def norm() -> float:
        jacobian = jacobians(model, x).flatten(2)
        return float((torch.einsum("boi,bi->o", jacobian, v) / len(x)).norm().detach())

    power_step(model, x, u)[0].backward()
    step = 1e-6
    for parameter in model.parameters():
        # The last bias moves no Jacobian, so it has no gradient.
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        flat = parameter.data.view(-1)
        for i, expected in enumerate(gradient.flatten().tolist()):
            kept = float(flat[i])
            flat[i] = kept + step
            above = norm()
            flat[i] = kept - step
            below = norm()
            flat[i] = kept
            # Central differences: step² and 1e-16 / step.
            assert (above - below) / (2 * step) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("linear", [OrthogonalLinear, BjorckLinear, SpectralNormLinear])
def test_lipschitz_layers_are_served(linear: type[nn.Module], training: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(linear(4, 6), GroupSort(2), linear(6, 3)).double().train(training)
    x, u = normal(3, 4), unit(normal(3))
    if linear is SpectralNormLinear:
        for _ in range(1000):
            model(x)  # until its own iteration, which moves in every forward, stands still
    size, _ = power_step(model, x, u)
    assert torch.allclose(size, oracle(model, x, u)[0].norm(), rtol=1e-9, atol=0)
    size.backward()
    for module in model:
        if isinstance(module, linear):
            assert isinstance(module.weight.grad, Tensor)
            assert torch.isfinite(module.weight.grad).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e30])
def test_any_size_of_jacobian_has_a_direction(scale: float) -> None:
    u = torch.tensor([1.0, 0, 0])
    size, following = power_step(lambda z: z * scale, torch.ones(2, 3), u)
    assert float(size) == pytest.approx(scale, rel=1e-6)
    assert torch.equal(following, u)


def test_u_stays_where_the_jacobian_is_zero() -> None:
    u = unit(normal(3))
    size, following = power_step(lambda z: z * 0, normal(2, 3), u)
    assert float(size) == 0
    assert torch.equal(following, u)
    size, following = power_step(lambda z: torch.ones(2, 3).double(), normal(2, 3), u)
    assert float(size) == 0
    assert torch.equal(following, u)
