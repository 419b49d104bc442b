import itertools
import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv1d, conv2d, pad

from lnets.functional import convolution
from lnets.functional.convolution import (
    bcop_kernel,
    bcop_norm_bound,
    circular_overlap_factor,
    conv_linf_norm_upper_bound,
    conv_spectral_norm_upper_bound,
    overlap_factor,
    patch_norm_bound,
)

Pair = tuple[int, int]

# Of float64 arithmetic on these sizes.
ROUNDING = 1e-12
KINDS = ["normal", "constant", "checkerboard", "corner", "ranks one"]


def operator(
    kernel: Tensor, *, stride: Pair, padding: Pair, padding_mode: str, input_size: Pair
) -> Tensor:
    """The convolution as a dense matrix: what it does to each unit vector."""
    count = kernel.shape[1] * math.prod(input_size)
    units = torch.eye(count, dtype=kernel.dtype).view(count, kernel.shape[1], *input_size)
    mode = "constant" if padding_mode == "zeros" else "circular"
    padded = pad(units, (padding[1], padding[1], padding[0], padding[0]), mode=mode)
    return conv2d(padded, kernel, stride=stride).flatten(1).mT


def make_kernel(kind: str, shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(shape, dtype=torch.float64, generator=generator)
    signs = (-1.0) ** torch.arange(shape[2])[:, None] * (-1.0) ** torch.arange(shape[3])
    match kind:
        case "constant":
            return torch.full_like(kernel, 1 / math.sqrt(kernel[0].numel()))
        case "checkerboard":
            return signs.double().expand(shape).clone()
        case "corner":
            corner = torch.zeros_like(kernel)
            corner[..., -1, -1] = kernel[..., -1, -1]
            return corner
        case "ranks one":
            return kernel[:1] * kernel[:, :1] * kernel[..., :1, :1]
        case _:
            return kernel


images = st.fixed_dictionaries(
    {
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(st.integers(0, 3), st.integers(0, 3)),
        "padding_mode": st.sampled_from(["zeros", "circular"]),
        "input_size": st.tuples(st.integers(1, 7), st.integers(1, 7)),
    }
)
kernel_sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))


def fits(kernel_size: Pair, image: dict[str, Any]) -> bool:
    circular = image["padding_mode"] == "circular"
    axes = zip(kernel_size, image["padding"], image["input_size"], strict=True)
    return all(n + 2 * p >= k and not (circular and p > n) for k, p, n in axes)


@given(
    kind=st.sampled_from(KINDS),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel_size=kernel_sizes,
    image=images,
    seed=st.integers(0, 1000),
)
@settings(max_examples=250)
def test_no_operator_has_a_larger_norm_than_its_bounds(
    kind: str, channels: Pair, kernel_size: Pair, image: dict[str, Any], seed: int
) -> None:
    assume(fits(kernel_size, image))
    kernel = make_kernel(kind, (*channels, *kernel_size), seed)
    matrix = operator(kernel, **image)
    spectral = conv_spectral_norm_upper_bound(kernel, **image)
    assert torch.linalg.matrix_norm(matrix, ord=2) <= spectral
    assert matrix.abs().sum(dim=1).max() <= conv_linf_norm_upper_bound(kernel)
    stride, padding = image["stride"], image["padding"]
    overlap = overlap_factor(kernel_size, stride)
    if image["padding_mode"] == "circular":
        overlap = circular_overlap_factor(kernel_size, stride, padding)
        assume(all(n >= k for n, k in zip(image["input_size"], kernel_size, strict=True)))
    assert torch.linalg.matrix_norm(matrix, ord=2) <= patch_norm_bound(kernel, overlap)


@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3), (3, 5)])
@pytest.mark.parametrize("input_size", [(2, 3), (5, 6), (7, 7)])
def test_full_circular_convolutions_get_their_exact_norm(
    kernel_size: Pair, input_size: Pair
) -> None:
    kernel = make_kernel("normal", (3, 2, *kernel_size), 0)
    padding = (kernel_size[0] // 2, kernel_size[1] // 2)
    image = {"stride": (1, 1), "padding": padding, "input_size": input_size}
    exact = torch.linalg.matrix_norm(operator(kernel, padding_mode="circular", **image), ord=2)
    bound = conv_spectral_norm_upper_bound(kernel, padding_mode="circular", **image)
    assert exact <= bound <= exact * (1 + ROUNDING)


def test_the_constant_kernel_that_broke_the_unscaled_original() -> None:
    kernel = make_kernel("constant", (1, 1, 5, 5), 0)
    for mode, padding, low in (("zeros", (0, 0), 4.5), ("circular", (2, 2), 5.0)):
        bound = conv_spectral_norm_upper_bound(
            kernel, stride=(1, 1), padding=padding, padding_mode=mode, input_size=(40, 40)
        )
        assert low <= bound <= 5 * (1 + ROUNDING)


@pytest.mark.parametrize("exponent", [-1060, -700, 0, 700, 1000])
def test_tiny_and_enormous_kernels_keep_a_bound(exponent: int) -> None:
    kernel = torch.full((1, 1, 3, 3), math.ldexp(1.0, exponent), dtype=torch.float64)
    bound = conv_spectral_norm_upper_bound(
        kernel, stride=(1, 1), padding=(1, 1), padding_mode="circular", input_size=(4, 4)
    )
    exact = 9 * Fraction(2) ** exponent
    assert exact <= Fraction(bound) <= exact * Fraction(1 + 1e-3)


def test_frequencies_come_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = make_kernel("normal", (2, 3, 3, 2), 1)

    def bound() -> float:
        return conv_spectral_norm_upper_bound(
            kernel, stride=(1, 1), padding=(1, 1), padding_mode="zeros", input_size=(6, 5)
        )

    whole = bound()
    monkeypatch.setattr(convolution, "_CHUNK", 20)
    assert bound() == pytest.approx(whole, rel=ROUNDING)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "factor"),
    [((5, 5), (1, 1), 25), ((4, 4), (2, 2), 4), ((3, 5), (2, 3), 4), ((2, 2), (3, 3), 1)],
)
def test_overlap_of_patches(kernel_size: Pair, stride: Pair, factor: int) -> None:
    assert overlap_factor(kernel_size, stride) == factor
    image = torch.zeros(1, 1, 30, 30, requires_grad=True)
    conv2d(image, torch.ones(1, 1, *kernel_size), stride=stride).sum().backward()
    assert image.grad is not None
    assert image.grad.max() == factor


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_circular_overlap_is_the_worst_over_images(stride: int) -> None:
    for k, p in itertools.product([1, 2, 3, 4, 5], [0, 1, 2, 3]):
        worst = -(-k // stride)
        for n in range(max(k, p), 20):
            image = torch.zeros(1, 1, n, requires_grad=True)
            padded = pad(image, (p, p), mode="circular")
            conv1d(padded, torch.ones(1, 1, k), stride=stride).sum().backward()
            assert image.grad is not None
            worst = max(worst, int(image.grad.max()))
        assert circular_overlap_factor((k, 1), (stride, 1), (p, 0)) == worst


def test_a_stride_across_the_seam_needs_more_than_the_overlap() -> None:
    """Disjoint patches of a 4 × 4 image: yet the padding makes both read the same column."""
    assert overlap_factor((3, 3), (3, 3)) == 1
    assert circular_overlap_factor((3, 3), (3, 3), (1, 1)) == 4
    kernel = torch.eye(9, dtype=torch.float64).view(9, 1, 3, 3)
    image = {"stride": (3, 3), "padding": (1, 1), "input_size": (4, 4)}
    norm = torch.linalg.matrix_norm(operator(kernel, padding_mode="circular", **image), ord=2)
    assert norm == pytest.approx(2)


def orthonormal(shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(shape, dtype=torch.float64, generator=generator)).Q


@given(
    kernel_size=kernel_sizes,
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    turns=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 1000),
)
def test_bcop_is_orthonormal_at_every_frequency(
    kernel_size: Pair, channels: Pair, turns: tuple[float, float], seed: int
) -> None:
    side, other = max(channels), min(channels)
    bases = orthonormal((sum(kernel_size) - 2, side, max(1, side // 2)), seed)
    kernel = bcop_kernel(orthonormal((side, other), seed + 1), bases, kernel_size)
    assert kernel.shape == (side, other, *kernel_size)
    rows, columns = (torch.arange(k, dtype=torch.float64) for k in kernel_size)
    angle = 2 * math.pi * (turns[0] * rows[:, None] + turns[1] * columns)
    block = (kernel * torch.polar(torch.ones_like(angle), angle)).sum(dim=(2, 3))
    assert torch.linalg.svdvals(block).sub(1).abs().max() < ROUNDING


@given(scales=st.tuples(st.floats(0.1, 1.4), st.floats(0.1, 1.4)), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_bcop_of_what_is_not_orthonormal_has_a_bound(
    scales: tuple[float, float], seed: int
) -> None:
    matrix = orthonormal((4, 3), seed) * scales[0]
    bases = orthonormal((3, 4, 2), seed + 1) * scales[1]
    image = {"stride": (1, 1), "padding": (2, 1), "padding_mode": "zeros", "input_size": (5, 4)}
    norm = torch.linalg.matrix_norm(operator(bcop_kernel(matrix, bases, (3, 2)), **image), ord=2)
    bound = bcop_norm_bound(matrix, bases, (3, 2))
    assert norm <= bound
    if scales[1] <= 1:
        assert bound <= scales[0] * (1 + ROUNDING)


def test_bcop_of_a_batch_and_its_gradient() -> None:
    matrix, bases = orthonormal((2, 3, 2), 0), orthonormal((2, 4, 3, 1), 1)
    batched = bcop_kernel(matrix, bases, (2, 4))
    for i in range(2):
        assert torch.allclose(batched[i], bcop_kernel(matrix[i], bases[i], (2, 4)), atol=1e-14)
    inputs = (matrix[0].requires_grad_(), bases[0].requires_grad_())
    assert torch.autograd.gradcheck(lambda m, b: bcop_kernel(m, b, (2, 4)), inputs)


def test_what_has_no_bound_is_refused() -> None:
    image = {"stride": (1, 1), "padding": (0, 0), "input_size": (4, 4)}
    kernel = torch.ones(1, 1, 3, 3)
    with pytest.raises(ValueError, match="zeros or circular, got reflect"):
        conv_spectral_norm_upper_bound(kernel, padding_mode="reflect", **image)
    with pytest.raises(ValueError, match=r"must hold the kernel.*got 4 pixels"):
        conv_spectral_norm_upper_bound(torch.ones(1, 1, 5, 1), padding_mode="zeros", **image)
    kernel[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        conv_spectral_norm_upper_bound(kernel, padding_mode="zeros", **image)
    with pytest.raises(ValueError, match="finite"):
        conv_linf_norm_upper_bound(kernel)
    with pytest.raises(ValueError, match=r"must hold kh \+ kw − 2 matrices, got 1"):
        bcop_kernel(torch.eye(2), torch.ones(1, 2, 1), (2, 2))
