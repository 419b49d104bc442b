"""What convolutions do beyond the contract in `test_layers.py`."""

from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from lnets.nn.conv import BCOPConv2d, BjorckConv2d, LipschitzConv2d
from tests.functional.test_convolution import operator
from tests.nn.layers import CONV

# Of converged float64 iterations on these sizes.
ROUNDING = 1e-9
IMAGES = [(5, 6), (7, 4)]


def dense(layer: LipschitzConv2d, input_size: tuple[int, int]) -> Tensor:
    """The layer's operator in evaluation, in float64."""
    layer.eval()
    with torch.no_grad():
        kernel = layer.effective_weight().double()
    layer.train()
    geometry = {name: getattr(layer, name) for name in ("stride", "padding", "padding_mode")}
    return operator(kernel, input_size=input_size, **geometry)


def train(layer: LipschitzConv2d, steps: int) -> None:
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.05, weight_decay=0.1)
    dtype = layer.weight.dtype
    for _ in range(steps):
        optimizer.zero_grad()
        x = torch.randn(4, layer.in_channels, 6, 7, dtype=dtype)
        (-layer(x).square().sum()).backward()
        optimizer.step()


@pytest.mark.parametrize("name", CONV)
def test_what_is_not_proven_is_refused(name: str) -> None:
    kind, shape, _ = CONV[name]
    for options in ({"groups": 2}, {"dilation": 2}, {"dilation": (1, 3)}):
        with pytest.raises(ValueError, match=r"`dilation` and `groups` must be 1.*got"):
            kind(*shape, **options)
    for mode in ("reflect", "replicate"):
        with pytest.raises(ValueError, match=rf"`padding_mode` must be.*got {mode}"):
            kind(*shape, padding_mode=mode)


@pytest.mark.parametrize("name", CONV)
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
    name: str, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CONV[name][0](*arguments)


@pytest.mark.parametrize("name", CONV)
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
    name: str, mode: str, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        CONV[name][0](2, 2, 3, padding_mode=mode, **options)


@pytest.mark.parametrize("name", CONV)
def test_an_image_alone_is_a_batch_of_one(name: str) -> None:
    kind, shape, options = CONV[name]
    layer, x = kind(*shape, **options).eval(), torch.randn(2, shape[0], 5, 6)
    assert torch.allclose(layer(x[0]), layer(x)[0], atol=1e-6)
    assert f"padding_mode={layer.padding_mode}" in repr(layer)


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
