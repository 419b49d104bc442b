import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lnets.functional.group_sort import group_sort, maxout


def test_the_published_examples() -> None:
    x = torch.tensor([4.0, 1, 3, 2])
    assert group_sort(x, 2).tolist() == [1, 4, 2, 3]
    assert maxout(x, 2).tolist() == [4, 3]
    descending = torch.arange(9.0, -1, -1)
    assert group_sort(descending, 5).tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    assert maxout(torch.tensor([1.0, 5, 3, 4, 2, 6]), 3).tolist() == [5, 6]


@given(
    groups=st.integers(1, 4),
    size=st.integers(1, 5),
    axis=st.sampled_from([-3, -2, -1, 0, 1, 2]),
    seed=st.integers(0, 100),
)
def test_every_group_is_a_sorted_permutation(groups: int, size: int, axis: int, seed: int) -> None:
    shape = [2, 3, 2]
    shape[axis] = groups * size
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    moved = x.movedim(axis, -1).unflatten(-1, (groups, size))
    result = group_sort(x, size, axis=axis).movedim(axis, -1).unflatten(-1, (groups, size))
    assert torch.equal(result, moved.sort(-1).values)
    assert torch.equal(maxout(x, size, axis=axis).movedim(axis, -1), moved.max(-1).values)


def test_the_gradient_keeps_its_norm() -> None:
    x = torch.randn(5, 12, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(5, 12, dtype=torch.float64)
    group_sort(x, 4).backward(upstream)
    assert x.grad is not None
    assert torch.equal(x.grad.sort(-1).values, upstream.sort(-1).values)


def test_gradients_of_pairs_are_exchanged_bit_by_bit() -> None:
    x = torch.tensor([2.0, 1.0], requires_grad=True)
    upstream = torch.tensor([1e8, 1.0])
    assert torch.autograd.grad(group_sort(x, 2), x, upstream)[0].tolist() == [1.0, 1e8]


def test_half_precision_is_sorted_too() -> None:
    x = torch.tensor([3.0, 1.0, 2.0, 0.0], dtype=torch.bfloat16)
    assert group_sort(x, 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("function", [group_sort, maxout])
def test_a_group_size_that_does_not_divide_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match="got group_size=3 and units=8"):
        function(torch.zeros(2, 8), 3)  # type: ignore[operator]


@pytest.mark.parametrize(("size", "axis"), [(2, -1), (2, 1), (3, -1), (6, 1)])
def test_gradients_of_any_order_are_exact_and_can_be_mapped(size: int, axis: int) -> None:
    x = torch.randn(4, 6, 6, dtype=torch.float64, requires_grad=True)

    def norms(z: torch.Tensor) -> torch.Tensor:
        return group_sort(z.square(), size, axis=axis).tanh()

    assert torch.autograd.gradcheck(norms, x)
    assert torch.autograd.gradgradcheck(norms, x)

    def one(z: torch.Tensor) -> torch.Tensor:
        return norms(z.unsqueeze(0)).square().sum()

    mapped = torch.func.vmap(torch.func.grad(one), in_dims=2, out_dims=2)(
        x.detach().transpose(0, 2).unsqueeze(-1).expand(-1, -1, -1, 6)[..., 0]
    )
    (expected,) = torch.autograd.grad(norms(x).square().sum(), x)
    assert torch.allclose(mapped.transpose(0, 2), expected, atol=1e-12)
