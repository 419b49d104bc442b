import pytest
import torch

from lnets.errors import TrialError
from lnets.tasks import products
from lnets.tasks.products import fast_products, training_precision

LARGE = 1 << 40
CPU = torch.device("cpu")


def setting() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


def test_fast_products_are_exact_and_end_with_their_block() -> None:
    before = setting()
    a, b = torch.randn(200, 300), torch.randn(300, 250)
    with fast_products(LARGE):
        fast = a @ b
    assert setting() == before
    exact = a.double() @ b.double()
    assert (fast - exact).norm() <= 1e-5 * exact.norm()


def test_small_products_and_processors_that_would_shorten_them_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = setting()
    with fast_products(1000):
        assert setting() == before
    monkeypatch.setattr(products, "_exact_by_onednn", lambda: False)
    with fast_products(LARGE):
        assert setting() == before


def test_an_error_inside_restores_what_was_set() -> None:
    before = setting()
    with pytest.raises(ZeroDivisionError), fast_products(LARGE):
        raise ZeroDivisionError
    assert setting() == before


def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    with pytest.raises(TrialError, match="precision must be float32 on this cpu"):
        training_precision("bf16", CPU)


def test_bf16_shortens_products_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    a = torch.ones(2, 2)
    context = training_precision("bf16", CPU)
    for _ in range(2):
        with context:
            assert (a @ a).dtype == torch.bfloat16
        assert (a @ a).dtype == torch.float32
