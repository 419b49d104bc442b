import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lnets.functional.spectra import conv_singular_values
from tests.functional.test_convolution import operator

# Of singular values in float64, of matrices that are at most this large here.
ROUNDING = 1e-10


@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel_size=st.tuples(st.integers(1, 9), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=20)
def test_they_are_those_of_the_operator(
    channels: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    seed: int,
) -> None:
    """Of the dense matrix on the same torus."""
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(*channels, *kernel_size, dtype=torch.float64, generator=generator)
    size = [s * max(8, -(-k // s)) for k, s in zip(kernel_size, stride, strict=True)]
    # Periodic by hand: an image of that many pixels is continued by what the kernel reads beyond.
    count = channels[1] * size[0] * size[1]
    units = torch.eye(count, dtype=torch.float64).view(count, channels[1], *size)
    for axis, k in ((2, kernel_size[0]), (3, kernel_size[1])):
        units = torch.cat((units, units.narrow(axis, 0, k - 1)), dim=axis)
    matrix = torch.nn.functional.conv2d(units, kernel, stride=stride).flatten(1).mT
    expected = torch.linalg.svdvals(matrix)
    found = conv_singular_values(kernel, stride).sort(descending=True).values
    # A matrix has as many values as its smaller side, of which some may be 0.
    assert len(found) <= len(expected)
    torch.testing.assert_close(found, expected[: len(found)], rtol=0, atol=ROUNDING)
    assert float(expected[len(found) :].abs().sum()) <= ROUNDING


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
def test_they_bound_small_images_with_zeros_around_them(stride: tuple[int, int]) -> None:
    kernel = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    matrix = operator(kernel, stride=stride, padding=(0, 0), padding_mode="zeros",
                      input_size=(6, 6))  # fmt: skip
    largest = float(conv_singular_values(kernel, stride).max())
    assert float(torch.linalg.svdvals(matrix)[0]) <= largest + ROUNDING
