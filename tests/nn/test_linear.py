"""What every Lipschitz linear layer must do, present and future."""

import copy
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lnets.functional.operator_norm import linf_norm_upper_bound, spectral_norm_upper_bound
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
from tests.conftest import REPOSITORY

SHAPES = [(8, 5), (5, 8), (6, 6), (6, 1), (1, 6)]
# Float32 sums of at most 8 products.
FLOAT32 = 1e-5
# Products of 8 bits, of inputs that were rounded to them.
BFLOAT16 = 0.1

Make = Callable[[int, int], LipschitzLinear]
LAYERS: dict[str, Make] = {
    "bjorck": lambda i, o: BjorckLinear(i, o, bjorck_iter=15),
    "bjorck order 3": lambda i, o: BjorckLinear(i, o, bjorck_iter=8, bjorck_order=3),
    "bjorck, two iterations": lambda i, o: BjorckLinear(i, o, bjorck_iter=2),
    "retract": lambda i, o: OrthogonalLinear(i, o),
    "polar": lambda i, o: OrthogonalLinear(i, o, mode="forward"),
    "polar_express": lambda i, o: OrthogonalLinear(i, o, mode="forward", method="polar_express"),
    "qr": lambda i, o: OrthogonalLinear(i, o, mode="forward", method="qr"),
    "cayley": lambda i, o: OrthogonalLinear(i, o, mode="forward", method="cayley"),
    "l_inf_projected": LInfProjectedLinear,
    "spectral_normal": SpectralNormLinear,
    "parseval_l2": ParsevalL2Linear,
}
ORTHONORMAL = {"bjorck", "bjorck order 3", "retract", "polar", "polar_express", "qr", "cayley"}
# These reach their constraint in training only in the limit; evaluation divides by a proven bound.
APPROXIMATE = {"spectral_normal", "parseval_l2"}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
class TestEveryLayer:
    @pytest.fixture
    def layer(self, name: str, shape: tuple[int, int]) -> LipschitzLinear:
        torch.manual_seed(0)
        return LAYERS[name](*shape)

    def train(self, layer: LipschitzLinear, steps: int) -> None:
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            layer(torch.randn(16, layer.in_features)).square().sum().backward()
            optimizer.step()
            project_(layer)

    def evaluated(self, layer: LipschitzLinear) -> Tensor:
        with torch.no_grad():
            return layer.eval().effective_weight()

    def test_only_its_product_is_shortened_by_autocast(self, layer: LipschitzLinear) -> None:
        short = copy.deepcopy(layer)  # power iteration moves with every forward
        x, upstream = torch.randn(16, layer.in_features), torch.randn(16, layer.out_features)
        expected = torch.autograd.grad(layer(x), layer.weight, upstream)[0]
        with torch.autocast("cpu", torch.bfloat16):
            y = short(x)
            assert torch.equal(short.effective_weight(), layer.effective_weight())
        assert y.dtype == torch.bfloat16
        found = torch.autograd.grad(y.float(), short.weight, upstream)[0]
        assert found.dtype == torch.float32
        assert (found - expected).norm() <= BFLOAT16 * max(1.0, float(expected.norm()))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("steps", [0, 50])
    def test_its_norm_is_at_most_one(
        self, name: str, layer: LipschitzLinear, dtype: torch.dtype, steps: int
    ) -> None:
        """Proven: the float64 bound of the very numbers that evaluation uses, slack and all."""
        self.train(layer, steps)
        weight = self.evaluated(layer.to(dtype))
        assert weight.dtype == dtype
        if name == "l_inf_projected":
            assert linf_norm_upper_bound(weight) <= 1 + 1e-14
        else:
            assert torch.linalg.svdvals(weight.double()).max() <= 1 + 1e-14
            assert spectral_norm_upper_bound(weight) <= 1 + 1e-12
        if name in ORTHONORMAL:
            assert torch.linalg.svdvals(weight.double()).min() >= 1 - FLOAT32

    def test_evaluation_gives_the_numbers_of_training(
        self, name: str, layer: LipschitzLinear
    ) -> None:
        self.train(layer, 3)
        x = torch.randn(4, layer.in_features)
        layer.train()
        trained = layer(x).detach()
        with torch.no_grad():
            first, second = layer.eval()(x), layer(x)
        assert torch.equal(first, second)
        if name not in APPROXIMATE:
            assert torch.allclose(first, trained, atol=FLOAT32)

    def test_evaluation_changes_nothing(self, name: str, layer: LipschitzLinear) -> None:
        before = copy.deepcopy(layer.state_dict())
        self.evaluated(layer)
        layer(torch.randn(2, layer.in_features))
        assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())

    def test_a_kept_weight_follows_its_raw_one(self, name: str, layer: LipschitzLinear) -> None:
        with torch.no_grad():
            kept = self.evaluated(layer)
            assert layer.effective_weight() is kept
            layer.weight.mul_(-1)
            assert torch.allclose(layer.effective_weight(), -kept, atol=FLOAT32) or name == "cayley"
            assert layer.effective_weight() is not kept
            assert layer.double().effective_weight().dtype == torch.float64

    def test_the_gradient_is_right(self, name: str, layer: LipschitzLinear) -> None:
        if name == "retract":
            return  # along the orthonormal matrices only: tested below
        layer = layer.double().eval()  # power iteration stands still
        weight = layer.weight.detach().clone() * 1.3 + 0.05 * torch.randn_like(layer.weight)
        if name == "spectral_normal":
            u = layer.u  # the state is a constant to the gradient
            assert isinstance(u, Tensor)
            v = nn.functional.normalize(u @ weight, dim=0).detach()
            expected = weight / (u @ (weight @ v))
            assert torch.allclose(layer.map_weight(weight), expected)
            return
        assert torch.autograd.gradcheck(layer.map_weight, weight.requires_grad_())

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_training_goes_on_with_weights_that_are_not_finite(
        self, name: str, layer: LipschitzLinear, bad: float
    ) -> None:
        """Loops detect divergence by what comes out."""
        with torch.no_grad():
            layer.weight[0, 0] = bad
        y = layer(torch.ones(3, layer.in_features))
        y.sum().backward()
        project_(layer)
        assert not torch.isfinite(y).all()

    def test_it_can_be_copied_and_stored(self, name: str, layer: LipschitzLinear) -> None:
        x = torch.randn(3, layer.in_features)
        with torch.no_grad():
            expected = layer.eval()(x)
            fresh = LAYERS[name](layer.in_features, layer.out_features).eval()
            fresh.load_state_dict(layer.state_dict())
            for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh):
                assert torch.equal(other(x), expected)
        plain = nn.Linear(layer.in_features, layer.out_features).state_dict()
        state = layer.state_dict()
        assert {k: state[k].shape for k in plain} == {k: v.shape for k, v in plain.items()}
        assert set(state) - set(plain) <= {"u"}

    def test_many_at_once_equal_one_by_one(self, name: str, layer: LipschitzLinear) -> None:
        torch.manual_seed(1)
        layers = [layer, LAYERS[name](layer.in_features, layer.out_features)]
        params, buffers = torch.func.stack_module_state(layers)
        x = torch.randn(2, 4, layer.in_features)
        gradient = torch.randn(2, 4, layer.out_features)

        def loss(p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, g: Tensor) -> Tensor:
            return (torch.func.functional_call(layer, (p, b), (x,)) * g).sum()

        batched = torch.vmap(torch.func.grad(loss))(params, buffers, x, gradient)
        for i, one in enumerate(layers):
            (one(x[i]) * gradient[i]).sum().backward()
            assert one.weight.grad is not None
            assert torch.allclose(batched["weight"][i], one.weight.grad, atol=1e-4)

    def test_its_plain_twin_agrees(self, name: str, layer: LipschitzLinear) -> None:
        self.train(layer, 2)
        x = torch.randn(5, layer.in_features)
        plain = to_plain(layer.eval(), x)
        assert type(plain) is nn.Linear
        exported = torch.export.export(plain, (x,)).module()
        with torch.no_grad():
            assert torch.allclose(exported(x), layer(x), atol=1e-6)


UNCHECKED = """
import copy, torch
from lnets.nn import OrthogonalLinear
from tests.nn.test_linear import LAYERS
for name, make in LAYERS.items():
    torch.manual_seed(0)
    layer = make(6, 4)
    x = torch.randn(3, 6)
    twin = copy.deepcopy(layer)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x), twin(x), atol=1e-6), name
    compiled(x).sum().backward()
for options in ({"method": "lu"}, {"mode": "sometimes"}):
    try:
        OrthogonalLinear(2, 2, **options)
    except ValueError as error:
        assert "must be" in str(error) and "got" in str(error)
    else:
        raise AssertionError(options)
"""


def test_training_compiles_without_breaks_and_unknown_options_are_refused() -> None:
    """In a process of its own, where annotations are not checked: the checks break the graph."""
    done = subprocess.run(
        [sys.executable, "-c", UNCHECKED], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


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


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("sizes", "message"),
    [((0, 2), "`in_features`.*at least 1, got 0"), ((2, -1), "`out_features`.*at least 1, got -1")],
)
def test_sizes_without_a_meaning_are_refused(
    name: str, sizes: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LAYERS[name](*sizes)


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


def test_a_layer_must_say_what_its_weight_is() -> None:
    with pytest.raises(TypeError, match="EffectiveWeight must define `map_weight`"):
        EffectiveWeight().map_weight(torch.zeros(1))


def test_a_layer_without_bias() -> None:
    for make in (BjorckLinear, OrthogonalLinear, SpectralNormLinear):
        assert torch.equal(make(4, 3, bias=False)(torch.zeros(2, 4)), torch.zeros(2, 3))
