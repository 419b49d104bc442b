"""The contract: what every Lipschitz layer must do, present and future."""

import contextlib
import copy
import importlib
import pickle
import pkgutil
import subprocess
import sys
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state

import lnets.nn
from lnets.build.layers import build_conv, build_linear
from lnets.functional.jacobian import jacobians
from lnets.nn import (
    BCOPConv2d,
    EffectiveWeight,
    OrthogonalLinear,
    SpectralNormLinear,
    certify,
    project_,
    to_plain,
)
from lnets.specs.layers import ConvSpec, LinearSpec
from tests.conftest import REPOSITORY
from tests.nn.layers import CASES, KINDS, Case, Layer, norm, trained

# Float32 sums of at most 32 products.
FLOAT32 = 1e-5
# Of batched products and decompositions, whose sums run in another order.
BATCHED = 1e-4
# Two roundings to bfloat16 per product, relative to the largest number.
BFLOAT16 = 2.0**-6


def train(layer: Layer, case: Case, steps: int) -> None:
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.02, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        (-layer(case.inputs(8, layer.weight.dtype)).square().mean()).backward()
        optimizer.step()
        project_(layer)


def evaluated(layer: Layer) -> Tensor:
    with torch.no_grad():
        return layer.eval().effective_weight()


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
class TestEveryLayer:
    @pytest.fixture
    def layer(self, case: Case) -> Layer:
        torch.manual_seed(0)
        return case.make()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("steps", [0, 50])
    def test_its_norm_is_at_most_one(
        self, case: Case, layer: Layer, dtype: torch.dtype, steps: int
    ) -> None:
        """Proven of the very numbers that evaluation uses, slack and all; measured without."""
        train(layer, case, steps)
        layer.to(dtype).eval()
        assert evaluated(layer).dtype == dtype
        bound = certify(layer, case.shape, norm=norm(layer)).lipschitz_upper_bound
        assert bound <= 1 + 1e-11
        operator = jacobians(to_plain(layer).double(), case.inputs(1, torch.float64))[0].flatten(1)
        order = 2 if norm(layer) == "l2" else torch.inf
        assert torch.linalg.matrix_norm(operator, ord=order) <= 1 + 1e-14
        if case.orthonormal:
            assert torch.linalg.svdvals(operator).min() >= 1 - FLOAT32

    @pytest.mark.parametrize("value", [0.0, 1.0, 1e-20, 1e20])
    def test_unusual_weights_keep_the_norm_or_are_refused(
        self, case: Case, layer: Layer, value: float
    ) -> None:
        with torch.no_grad():
            layer.weight.fill_(value)
        overflow = (ValueError, RuntimeError) if value == 1e20 else ()  # of its square in float32
        with contextlib.suppress(*overflow):
            bound = certify(layer.eval(), case.shape, norm=norm(layer)).lipschitz_upper_bound
            assert bound <= 1 + 1e-11

    def test_evaluation_gives_the_numbers_of_training(self, case: Case, layer: Layer) -> None:
        train(layer, case, 3)
        x = case.inputs(4)
        trained = layer.train()(x).detach()
        with torch.no_grad():
            first, second = layer.eval()(x), layer(x)
        assert torch.equal(first, second)
        if not case.approximate:
            assert torch.allclose(first, trained, atol=FLOAT32)

    def test_evaluation_changes_nothing(self, case: Case, layer: Layer) -> None:
        before = copy.deepcopy(layer.state_dict())
        evaluated(layer)
        layer(case.inputs(2))
        assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())

    def test_a_kept_weight_follows_its_raw_one(self, case: Case, layer: Layer) -> None:
        kept = evaluated(layer)
        with torch.no_grad():
            assert layer.effective_weight() is kept
            layer.weight.mul_(0.9).add_(0.1 * torch.randn_like(layer.weight))
            fresh = case.make().eval()
            fresh.load_state_dict(layer.state_dict())
            assert torch.equal(layer.effective_weight(), fresh.effective_weight())
            assert layer.double().effective_weight().dtype == torch.float64

    @pytest.mark.parametrize("training", [True, False])
    def test_the_gradient_is_right(self, case: Case, layer: Layer, training: bool) -> None:
        retracting = isinstance(layer, OrthogonalLinear) and layer.mode == "retract"
        # Of power iteration and of a proof, the gradient takes the estimates to be constant.
        if isinstance(layer, SpectralNormLinear) or (training and retracting):
            pytest.skip("has a gradient of its own, tested in test_linear.py")
        if case.approximate and not training:
            pytest.skip("the divisor is a constant to the gradient")
        layer = layer.double().eval()  # so that nothing moves
        weight = layer.weight.detach().clone()
        if not retracting:
            weight = weight * 1.3 + 0.05 * torch.randn_like(weight)
        kind = layer.map_weight if training else layer.prove_weight
        assert torch.autograd.gradcheck(kind, weight.requires_grad_())

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_training_goes_on_with_weights_that_are_not_finite(
        self, case: Case, layer: Layer, bad: float
    ) -> None:
        """Loops detect divergence by what comes out."""
        with torch.no_grad():
            layer.weight.view(-1)[0] = bad
        y = layer(torch.ones_like(case.inputs(3)))
        y.sum().backward()
        project_(layer)
        assert not torch.isfinite(y).all()

    def test_it_can_be_copied_and_stored(self, case: Case, layer: Layer) -> None:
        x = case.inputs(3)
        with torch.no_grad():
            expected = layer.eval()(x)
            fresh = case.make().eval()
            fresh.load_state_dict(layer.state_dict())
            for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh):
                assert torch.equal(other(x), expected)
        plain, state = to_plain(layer).state_dict(), layer.state_dict()
        assert set(state) - set(plain) <= {"u"}
        if not isinstance(layer, BCOPConv2d):  # its raw weight is no kernel
            assert {k: state[k].shape for k in plain} == {k: v.shape for k, v in plain.items()}

    @pytest.mark.parametrize("training", [True, False])
    def test_many_at_once_equal_one_by_one(self, case: Case, layer: Layer, training: bool) -> None:
        layers = [layer.train(training), case.make().train(training)]
        params, buffers = stack_module_state(layers)  # type: ignore[arg-type]
        x = torch.stack((case.inputs(4), case.inputs(4)))
        upstream = torch.randn_like(torch.stack([copy.deepcopy(layer)(one) for one in x]))

        def loss(p: Any, b: Any, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
            y = functional_call(layer, (p, b), (x,))
            return (y * g).sum(), y

        batched, y = torch.vmap(grad(loss, has_aux=True))(params, buffers, x, upstream)
        for i, one in enumerate(layers):
            alone = one(x[i])
            assert torch.allclose(y[i], alone, atol=FLOAT32)
            (alone * upstream[i]).sum().backward()
            name, moved = trained(one)
            assert moved.grad is not None
            assert torch.allclose(batched[name][i], moved.grad, atol=BATCHED)

    def test_its_plain_twin_agrees(self, case: Case, layer: Layer) -> None:
        train(layer, case, 2)
        x = case.inputs(5)
        plain = to_plain(layer.eval(), x)
        assert type(plain) in (nn.Linear, nn.Conv2d)
        exported = torch.export.export(plain, (x,)).module()
        with torch.no_grad():
            assert torch.allclose(exported(x), layer(x), atol=1e-6)

    def test_autocast_leaves_its_weight_alone(self, case: Case, layer: Layer) -> None:
        train(layer, case, 1)
        twin, x = copy.deepcopy(layer), case.inputs(4)
        with torch.autocast("cpu", torch.bfloat16):
            half = twin(x)
        full = layer(x)
        assert half.dtype == torch.bfloat16
        assert (half.float() - full).abs().max() <= BFLOAT16 * full.abs().max()
        upstream = torch.randn_like(full)
        twin.zero_grad()
        layer.zero_grad()
        (half.float() * upstream).sum().backward()
        (full * upstream).sum().backward()
        for got, expected in zip(twin.parameters(), layer.parameters(), strict=True):
            if not got.requires_grad:
                continue
            assert got.grad is not None
            assert got.grad.dtype == torch.float32
            assert (got.grad - expected.grad).norm() <= BFLOAT16 * x.norm() * upstream.norm()
        for one in (twin, layer):
            with torch.no_grad():
                one.weight.mul_(1.01)
            with torch.autocast("cpu", torch.bfloat16, enabled=one is twin):
                project_(one)
                one.train().effective_weight()
        assert torch.equal(twin.weight, layer.weight)
        with torch.autocast("cpu", torch.bfloat16):
            kept = evaluated(twin)
        assert torch.equal(kept, evaluated(layer))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(twin.train().effective_weight(), layer.train().effective_weight())

    def test_it_says_what_it_is(self, case: Case, layer: Layer) -> None:
        assert type(layer).__name__ in repr(layer)
        assert f"bias={layer.bias is not None}" in repr(layer)


@pytest.mark.parametrize("case", KINDS.values(), ids=list(KINDS))
def test_a_transform_leaves_nothing_of_its_own_behind(case: Case) -> None:
    layer = case.make().eval().requires_grad_(False)
    torch.func.jacrev(layer)(case.inputs(1))
    kept = layer.effective_weight()
    assert layer.effective_weight() is kept
    assert not torch._C._functorch.is_functorch_wrapped_tensor(kept)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # torch's own
@pytest.mark.parametrize("name", KINDS)
def test_forward_mode_agrees_with_backward(name: str) -> None:
    """At (x, W) along (dx, dW): the derivative of ⟨y, upstream⟩ both ways."""
    torch.manual_seed(0)
    case = KINDS[name]
    layer, x = case.make().double(), case.inputs(3, torch.float64).requires_grad_()
    layer.train(name != "spectral_normal")  # which moves its state in training
    y = layer(x)
    which, moved = trained(layer)
    upstream, dx, dw = (torch.randn_like(tensor) for tensor in (y, x, moved))
    pulled = torch.autograd.grad(y, (x, moved), upstream)
    expected = (pulled[0] * dx).sum() + (pulled[1] * dw).sum()

    def forward(inputs: Tensor, parameter: Tensor) -> Tensor:
        return functional_call(layer, {which: parameter}, (inputs,))

    arguments = ((x.detach(), moved.detach()), (dx, dw))
    if name in ("polar", "polar_express"):
        with pytest.raises(NotImplementedError, match="forward mode AD"):
            torch.func.jvp(forward, *arguments)
    else:
        assert torch.allclose((torch.func.jvp(forward, *arguments)[1] * upstream).sum(), expected)


@pytest.mark.slow
def test_tracing_leaves_training_alone_and_evaluation_proven() -> None:
    """In a process of its own, where annotations are not checked: the checks break the graph."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.nn.traced"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_no_layer_is_left_out() -> None:
    """Whoever adds a layer, or a member of a union, has to let it pass the contract."""
    for module in pkgutil.walk_packages(lnets.nn.__path__, "lnets.nn."):
        importlib.import_module(module.name)
    tested = {type(case.make()) for case in KINDS.values()}
    kinds, every = [EffectiveWeight], set()
    for kind in kinds:
        kinds += kind.__subclasses__()
        mapped = kind.map_weight is not EffectiveWeight.map_weight
        # The original's own layers hold nothing of it; `faithful` experiments certify nothing.
        ours = kind.__module__.startswith("lnets.") and kind.__module__ != "lnets.nn.original"
        if ours and mapped:
            every.add(kind)
    assert every == tested
    built = set()
    for union, build in ((LinearSpec, build_linear), (ConvSpec, build_conv)):
        for member in get_args(get_args(union)[0]):
            kind = get_args(member.model_fields["type"].annotation)[0]
            modes = member.model_fields.get("mode")
            for mode in get_args(modes.annotation) if modes else [None]:
                fields = {"type": kind} | ({} if mode is None else {"mode": mode})
                spec: Any = TypeAdapter(union).validate_python(fields)
                sizes = (2, 2) if build is build_linear else (2, 2, 1)
                built.add(type(build(spec, *sizes)))
    assert built == tested | {nn.Linear, nn.Conv2d}
