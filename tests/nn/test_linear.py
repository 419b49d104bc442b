"""What single linear layers do beyond the contract in `test_layers.py`."""

import copy
import math
from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
import torch
from torch import nn

from lnets.functional.polar import polar
from lnets.nn import (
    BjorckLinear,
    EffectiveWeight,
    LInfProjectedLinear,
    LipschitzLinear,
    OrthogonalLinear,
    ParsevalL2Linear,
    SpectralNormLinear,
    project_,
    to_plain,
)
from tests.nn.layers import LINEAR, SHAPES

# Float32 sums of at most 8 products.
FLOAT32 = 1e-5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_retraction_has_the_gradient_of_the_polar_factor(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = OrthogonalLinear(*shape).double()
    project_(layer)
    x = torch.randn(7, shape[0], dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(7, shape[1], dtype=torch.float64)
    got = torch.autograd.grad(layer(x), (x, layer.weight), upstream)
    expected = torch.autograd.grad(
        x @ polar(layer.weight, method="svd").mT + layer.bias, (x, layer.weight), upstream
    )
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_retraction_survives_a_wild_update() -> None:
    torch.manual_seed(0)
    layer = OrthogonalLinear(20, 20)
    with torch.no_grad():
        layer.weight.add_(torch.randn(20, 20))
    for _ in range(20):
        project_(layer)
    sigma = torch.linalg.svdvals(layer.weight.detach().double())
    assert (sigma - 1).abs().max() < FLOAT32


@pytest.mark.parametrize("options", [{"method": "lu"}, {"mode": "sometimes"}], ids=str)
def test_unknown_options_are_refused(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # or they end at the types
    with pytest.raises(ValueError, match=r"must be .*got '(lu|sometimes)'"):
        OrthogonalLinear(2, 2, **options)  # type: ignore[arg-type]


def test_spectral_normalisation_differentiates_its_estimate() -> None:
    torch.manual_seed(0)
    layer = SpectralNormLinear(7, 5).double().eval()
    weight = torch.randn(5, 7, dtype=torch.float64)
    v = nn.functional.normalize(layer.u @ weight, dim=0)  # the state is a constant to the gradient
    got, expected = (
        torch.func.jacrev(f)(weight) for f in (layer.map_weight, lambda w: w / (layer.u @ (w @ v)))
    )
    assert torch.allclose(got, expected, atol=1e-12)


def test_power_iteration_finds_the_norm_and_moves_in_training_only() -> None:
    torch.manual_seed(0)
    layer = SpectralNormLinear(7, 5, power_iters=3)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(5, 7))
    for _ in range(100):
        layer(torch.zeros(1, 7))
    norm = torch.linalg.matrix_norm(layer.map_weight(layer.weight).detach(), ord=2)
    assert norm.item() == pytest.approx(1)
    assert all(name != "u" for name, _ in layer.named_parameters())


def test_parseval_layers_are_drawn_to_orthonormal() -> None:
    layer = ParsevalL2Linear(6, 9)
    with torch.no_grad():
        layer.weight.mul_(0.7)
    for _ in range(10):
        project_(layer)
    assert torch.allclose(torch.linalg.svdvals(layer.weight), torch.ones(6), atol=FLOAT32)


def test_rows_inside_the_ball_are_left_alone() -> None:
    layer = LInfProjectedLinear(3, 2)
    rows = torch.tensor([[0.1, 0.0, -0.2], [2.0, 0.0, -1.0]])
    with torch.no_grad():
        layer.weight.copy_(rows)
    effective = layer.effective_weight()
    assert torch.equal(effective[0], rows[0])
    assert torch.allclose(effective[1], torch.tensor([1.0, 0, 0]))


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize(
    ("sizes", "message"),
    [((0, 2), "`in_features`.*at least 1, got 0"), ((2, -1), "`out_features`.*at least 1, got -1")],
)
def test_sizes_without_a_meaning_are_refused(
    name: str, sizes: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LINEAR[name](*sizes)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        *(
            (make, options, message)
            for make in (BjorckLinear, ParsevalL2Linear)
            for options, message in (
                ({"bjorck_iter": -3}, "`bjorck_iter` must be whole and at least 1, got -3"),
                ({"bjorck_beta": 0.0}, r"`bjorck_beta` must be in \(0, 0.5\].*got 0.0"),
                ({"bjorck_beta": 0.6}, r"`bjorck_beta` must be in \(0, 0.5\].*got 0.6"),
                ({"bjorck_beta": math.nan}, r"`bjorck_beta` must be in \(0, 0.5\].*got nan"),
            )
        ),
        (BjorckLinear, {"bjorck_order": 5}, "`order` must be 1, 2, 3 or 4, got 5"),
        (BjorckLinear, {"bjorck_order": 3, "bjorck_beta": 0.4}, "0.5 for order 3, got 0.4"),
        (SpectralNormLinear, {"power_iters": -1}, "`power_iters` must be whole.*1, got -1"),
        (OrthogonalLinear, {"drift": math.nan}, "`drift` must be in"),
    ],
)
def test_options_without_a_meaning_are_refused(
    make: Callable[..., LipschitzLinear], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(2, 3, **options)


def test_inference_mode_is_for_evaluation_only() -> None:
    layer = BjorckLinear(2, 3).eval()
    with torch.inference_mode():
        with pytest.raises(ValueError, match=r"built outside torch.inference_mode"):
            BjorckLinear(2, 3)
        x = torch.ones(1, 2)
        twin = copy.deepcopy(layer)
        assert torch.equal(twin(x), layer(x))
        twin.weight.mul_(-1)
        assert torch.allclose(twin.effective_weight(), -layer.effective_weight())
        assert torch.equal(to_plain(layer)(x), layer(x))


def test_weights_without_a_meaning_are_refused() -> None:
    layer = OrthogonalLinear(2, 2).eval()
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
        with pytest.raises(ValueError, match="finite"):
            layer(torch.zeros(1, 2))
        layer.weight.fill_(1e30)  # whose square is not finite
        with pytest.raises(ValueError, match="finite"):
            layer(torch.zeros(1, 2))


def test_a_layer_must_say_what_its_weight_is() -> None:
    with pytest.raises(TypeError, match="EffectiveWeight must define `map_weight`"):
        EffectiveWeight().map_weight(torch.zeros(1))


def test_a_layer_without_bias() -> None:
    for make in (BjorckLinear, OrthogonalLinear, SpectralNormLinear):
        assert torch.equal(make(4, 3, bias=False)(torch.zeros(2, 4)), torch.zeros(2, 3))
