"""What every Lipschitz convolution must do."""

import copy
import pickle
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

from lnets.functional.convolution import (
    conv_linf_norm_upper_bound,
    conv_spectral_norm_upper_bound,
)
from lnets.nn.conv import BCOPConv2d, BjorckConv2d, LInfProjectedConv2d, LipschitzConv2d
from tests.functional.test_convolution import operator

# Of a float32 kernel in evaluation: its proof costs at most this, relative to its norm.
FLOAT32 = 1e-5
# Of converged float64 iterations on these sizes.
ROUNDING = 1e-9
LAYERS: dict[str, tuple[type[LipschitzConv2d], tuple[Any, ...], dict[str, Any]]] = {
    "bjorck": (BjorckConv2d, (2, 5, 3), {"padding": 1}),
    "bjorck tall": (BjorckConv2d, (1, 6, (1, 2)), {}),
    "bjorck strided": (BjorckConv2d, (3, 4, 4), {"stride": 2, "padding": 1}),
    "bjorck circular": (
        BjorckConv2d,
        (2, 3, (3, 2)),
        {"stride": (3, 1), "padding": 1, "padding_mode": "circular", "bjorck_order": 2},
    ),
    "bcop": (BCOPConv2d, (3, 3, 3), {"padding": 1, "padding_mode": "circular"}),
    "bcop even": (BCOPConv2d, (2, 4, 2), {"padding": 1, "bias": False}),
    "bcop narrowing": (BCOPConv2d, (4, 2, (1, 3)), {"bjorck_order": 3}),
    "bcop one channel": (BCOPConv2d, (1, 1, 1), {}),
    "l_inf": (LInfProjectedConv2d, (2, 3, 3), {"padding": 1}),
    "l_inf circular": (
        LInfProjectedConv2d,
        (2, 3, 5),
        {"stride": 2, "padding": 2, "padding_mode": "circular"},
    ),
}
IMAGES = [(5, 6), (7, 4)]


def dense(layer: LipschitzConv2d, input_size: tuple[int, int]) -> Tensor:
    """The layer's operator in evaluation, in float64."""
    layer.eval()
    with torch.no_grad():
        kernel = layer.effective_weight().double()
    layer.train()
    return operator(kernel, input_size=input_size, **geometry(layer))


def geometry(layer: LipschitzConv2d) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in ("stride", "padding", "padding_mode")}


def norm(layer: LipschitzConv2d, matrix: Tensor) -> Tensor:
    order = float("inf") if isinstance(layer, LInfProjectedConv2d) else 2
    return torch.linalg.matrix_norm(matrix, ord=order)


def train(layer: LipschitzConv2d, steps: int) -> None:
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.05, weight_decay=0.1)
    dtype = layer.weight.dtype
    for _ in range(steps):
        optimizer.zero_grad()
        x = torch.randn(4, layer.in_channels, 6, 7, dtype=dtype)
        (-layer(x).square().sum()).backward()
        optimizer.step()


@pytest.fixture(params=LAYERS, ids=str)
def name(request: pytest.FixtureRequest) -> str:
    torch.manual_seed(0)
    return request.param


def make(name: str) -> LipschitzConv2d:
    kind, shape, options = LAYERS[name]
    return kind(*shape, **options)


class TestEveryConvolution:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_its_norm_is_at_most_one_before_and_after_training(
        self, name: str, dtype: torch.dtype
    ) -> None:
        layer = make(name).to(dtype)
        for steps in (0, 50):
            train(layer, steps)
            for size in IMAGES:
                assert norm(layer, dense(layer, size)) <= 1
            layer.eval()
            with torch.no_grad():
                kernel = layer.effective_weight()
            assert kernel.dtype == dtype
            if isinstance(layer, LInfProjectedConv2d):
                assert conv_linf_norm_upper_bound(kernel) <= 1 + ROUNDING
            else:
                bound = conv_spectral_norm_upper_bound(kernel, input_size=(8, 9), **geometry(layer))
                assert bound <= 1 + ROUNDING
            layer.train()

    def test_unusual_weights_keep_the_norm(self, name: str) -> None:
        layer = make(name)
        for value in (torch.zeros(1), torch.ones(1), torch.full((1,), 1e20), torch.tensor([1e-20])):
            with torch.no_grad():
                layer.weight.copy_(value.expand_as(layer.weight))
            assert norm(layer, dense(layer, IMAGES[0])) <= 1

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_training_goes_on_with_weights_that_are_not_finite(self, name: str, bad: float) -> None:
        """Loops detect divergence by what comes out."""
        layer = make(name)
        with torch.no_grad():
            layer.weight.view(-1)[0] = bad
        y = layer(torch.ones(2, layer.in_channels, 5, 6))
        y.sum().backward()
        assert not torch.isfinite(y).all()

    def test_evaluation_gives_the_numbers_of_training_every_time(self, name: str) -> None:
        layer = make(name)
        train(layer, 3)
        x = torch.randn(2, layer.in_channels, 6, 7)
        with torch.no_grad():
            trained = layer(x)
            layer.eval()
            kept = layer.effective_weight()
            first = layer(x)
            assert layer.effective_weight() is kept
            assert torch.equal(layer(x), first)
            assert torch.allclose(first, trained, rtol=FLOAT32, atol=FLOAT32)
            layer.weight.add_(0.1 * torch.randn_like(layer.weight)).mul_(0.5)
            assert layer.effective_weight() is not kept

    @pytest.mark.parametrize("training", [True, False])
    def test_the_effective_kernel_has_an_exact_gradient(self, name: str, training: bool) -> None:
        layer = make(name).double().train(training)
        kind = layer.map_weight if training else layer.prove_weight
        weight = layer.weight.detach() + 0.05 * torch.randn_like(layer.weight)
        assert torch.autograd.gradcheck(kind, weight.requires_grad_())
        layer(torch.randn(1, layer.in_channels, 5, 6, dtype=torch.float64)).sum().backward()
        assert layer.weight.grad is not None

    def test_it_is_the_plain_convolution_with_its_kernel(self, name: str) -> None:
        layer = make(name).eval()
        plain = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            bias=layer.bias is not None,
            dilation=layer.dilation,
            groups=layer.groups,
            **geometry(layer),
        )
        x = torch.randn(2, layer.in_channels, 5, 6)
        with torch.no_grad():
            plain.weight.copy_(layer.effective_weight())
            if plain.bias is not None:
                plain.bias.copy_(layer.bias)
            assert torch.allclose(plain(x), layer(x), atol=1e-6)
            assert torch.allclose(layer(x[0]), layer(x)[0], atol=1e-6)

    def test_it_can_be_copied_and_stored(self, name: str) -> None:
        layer = make(name).eval()
        x = torch.randn(2, layer.in_channels, 5, 6)
        with torch.no_grad():
            expected = layer(x)
            fresh = make(name).eval()
            fresh.load_state_dict(layer.state_dict())
            for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh):
                assert torch.equal(other(x), expected)
            assert layer.double()(x.double()).dtype == torch.float64

    @pytest.mark.parametrize("training", [True, False])
    def test_stacked_layers_equal_looped_ones(self, name: str, training: bool) -> None:
        layers = [make(name).train(training) for _ in range(3)]
        parameters, buffers = torch.func.stack_module_state(layers)  # type: ignore[arg-type]
        base = layers[0]
        x = torch.randn(3, 2, base.in_channels, 5, 6)
        stacked = torch.vmap(
            lambda p, b, inputs: torch.func.functional_call(base, (p, b), (inputs,))
        )(parameters, buffers, x)
        looped = torch.stack([layer(one) for layer, one in zip(layers, x, strict=True)])
        assert torch.allclose(stacked, looped, rtol=FLOAT32, atol=FLOAT32)

    def test_what_is_not_proven_is_refused(self, name: str) -> None:
        kind, shape, _ = LAYERS[name]
        for options in ({"groups": 2}, {"dilation": 2}, {"dilation": (1, 3)}):
            with pytest.raises(ValueError, match=r"`dilation` and `groups` must be 1.*got"):
                kind(*shape, **options)
        for mode in ("reflect", "replicate"):
            with pytest.raises(ValueError, match=rf"`padding_mode` must be.*got {mode}"):
                kind(*shape, padding_mode=mode)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0, 2, 3), "`in_channels` must be whole and at least 1, got 0"),
            ((2, -1, 3), "`out_channels` must be whole and at least 1, got -1"),
            ((2, 2, 0), "`kernel_size` must be whole and at least 1, got 0"),
            ((2, 2, (3, 0)), r"`kernel_size` must be whole and at least 1, got \(3, 0\)"),
        ],
    )
    def test_sizes_without_a_meaning_are_refused(
        self, name: str, arguments: tuple[Any, ...], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            LAYERS[name][0](*arguments)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"stride": 0}, "`stride` must be whole and at least 1, got 0"),
            ({"padding": -1}, "`padding` must be whole and at least 0, got -1"),
            ({"padding": 3}, r"`padding` must be smaller than the kernel.*got padding=\(3, 3\)"),
            ({"padding": (0, 1024)}, r"`padding` must be smaller than the kernel.*\(0, 1024\)"),
            # What annotations forbid, but a caller may do all the same.
            ({"padding": "same"}, "`padding` must be whole and at least 0, got 'same'"),
            ({"stride": (1, 1, 1)}, r"`stride` must be one number, or two.*got \(1, 1, 1\)"),
            ({"dilation": 0}, "`dilation` must be whole and at least 1, got 0"),
        ],
    )
    @pytest.mark.parametrize("mode", ["zeros", "circular"])
    def test_strides_and_padding_without_a_meaning_are_refused(
        self,
        name: str,
        mode: str,
        options: dict[str, Any],
        message: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        with pytest.raises(ValueError, match=message):
            LAYERS[name][0](2, 2, 3, padding_mode=mode, **options)

    def test_it_says_what_it_is(self, name: str) -> None:
        layer = make(name)
        assert f"padding_mode={layer.padding_mode}" in repr(layer)


@pytest.mark.parametrize("name", ["bjorck", "bcop even", "l_inf circular"])
def test_training_compiles_without_a_break(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    layer = make(name)
    x = torch.randn(2, layer.in_channels, 5, 6)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x), layer(x), rtol=FLOAT32, atol=FLOAT32)
    compiled(x).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("channels", [(3, 3), (2, 5), (5, 2), (1, 1), (4, 4)])
@pytest.mark.parametrize("kernel_size", [1, 3, (3, 5)])
def test_bcop_keeps_norms_on_a_circle(channels: tuple[int, int], kernel_size: Any) -> None:
    torch.manual_seed(1)
    padding = (1, 2) if kernel_size == (3, 5) else kernel_size // 2
    layer = BCOPConv2d(*channels, kernel_size, padding=padding, padding_mode="circular")
    train(layer.double(), 3)
    for size in IMAGES:
        sigma = torch.linalg.svdvals(dense(layer, size))
        assert sigma.max() <= 1
        assert sigma.min() >= 1 - ROUNDING


@pytest.mark.parametrize(("kernel_size", "padding"), [(2, 1), (3, 2), ((4, 1), (3, 0))])
def test_widening_bcop_keeps_norms_with_all_the_zeros(kernel_size: Any, padding: Any) -> None:
    layer = BCOPConv2d(2, 3, kernel_size, padding=padding).double()
    sigma = torch.linalg.svdvals(dense(layer, (4, 3)))
    assert sigma.max() <= 1
    assert sigma.min() >= 1 - ROUNDING


def test_the_kernel_of_one_channel_is_centred() -> None:
    kernel = BCOPConv2d(1, 1, 5).effective_weight()[0, 0]
    assert kernel[2, 2].abs() > 0.99
    assert kernel.abs().sum() < 1.01


def test_bcop_refuses_what_loses_or_repeats_outputs() -> None:
    with pytest.raises(ValueError, match=r"`stride`.*got \(2, 2\).*PixelUnshuffle"):
        BCOPConv2d(2, 2, 3, stride=2)
    for kernel_size, padding in ((2, 1), (3, 2), ((3, 2), 1)):
        with pytest.raises(ValueError, match=r"Circular `padding` must be at most"):
            BCOPConv2d(2, 2, kernel_size, padding=padding, padding_mode="circular")


def test_a_circle_smaller_than_the_kernel_is_refused() -> None:
    layer = BjorckConv2d(1, 1, 3, stride=2, padding=1, padding_mode="circular")
    with pytest.raises(ValueError, match=r"at least as large as the kernel, got \(4, 2\)"):
        layer(torch.zeros(1, 1, 4, 2))


def test_bjorck_without_overlap_keeps_norms() -> None:
    layer = BjorckConv2d(1, 4, 2, stride=2).double()
    assert torch.linalg.svdvals(dense(layer, (6, 4))).sub(1).abs().max() < ROUNDING


def test_bjorck_arguments_are_honoured() -> None:
    torch.manual_seed(0)
    few, many = (BjorckConv2d(2, 3, 3, bjorck_iter=n).double() for n in (1, 25))
    with torch.no_grad():
        few.weight.normal_()
        many.weight.copy_(few.weight)
        sigma = [torch.linalg.svdvals(3 * m.effective_weight().flatten(1)) for m in (few, many)]
    assert sigma[0].min() < 0.99
    assert sigma[1].min() > 1 - ROUNDING
    for options, message in (
        ({"bjorck_order": 5}, "`order` must be 1, 2, 3 or 4, got 5"),
        ({"bjorck_iter": -3}, "`bjorck_iter` must be whole and at least 1, got -3"),
        ({"bjorck_beta": 0.7}, "`bjorck_beta` must be in"),
    ):
        with pytest.raises(ValueError, match=message):
            BjorckConv2d(2, 3, 3, **options)
