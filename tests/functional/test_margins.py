"""What margins certify, by brute force; losses beside torch's own and written-out formulas."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from lnets.functional.margins import (
    certified_radius,
    hinge_kr,
    margin_cross_entropy,
    margins,
    multi_margin,
)
from lnets.functional.operator_norm import linf_norm_upper_bound, spectral_norm_upper_bound
from lnets.nn.certificate import Norm

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": margin_cross_entropy,
    "margin": lambda f, y: margin_cross_entropy(f, y, margin=0.7),
    "offset": lambda f, y: margin_cross_entropy(f, y, margin=0.7, temperature=0.2),
    "multi_margin": lambda f, y: multi_margin(f, y, margin=0.9),
    "hinge_kr": lambda f, y: hinge_kr(f, y, margin=0.9, alpha=0.8),
}


def batch(*shape: int, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*shape, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, shape, generator=generator)


def perturbations(norm: Norm, dim: int) -> Tensor:
    """Of norm 1: those of corners and of many directions."""
    generator = torch.Generator().manual_seed(1)
    found = torch.randn(4000, dim, dtype=torch.float64, generator=generator)
    if norm == "linf":
        return torch.cat((found.sign(), found / found.abs().amax(1, keepdim=True)))
    return found / found.norm(dim=1, keepdim=True)


def test_a_margin_is_the_true_logit_minus_the_largest_other() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [2.0, 2.0, 0.0]])
    assert margins(logits, torch.tensor([0, 2, 1])).tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", range(10))
def test_no_perturbation_inside_the_radius_changes_a_prediction(norm: Norm, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    dim, classes = 2 + seed % 3, 2 + seed % 4
    weight = torch.randn(classes, dim, dtype=torch.float64, generator=generator)
    bound = {"l2": spectral_norm_upper_bound, "linf": linf_norm_upper_bound}[norm]
    x = torch.randn(50, dim, dtype=torch.float64, generator=generator)
    labels = (x @ weight.mT).argmax(dim=1)
    radius = certified_radius(margins(x @ weight.mT, labels), float(bound(weight)), norm)
    assert (radius > 0).all()
    moved = x + radius[:, None] * perturbations(norm, dim)[:, None]
    assert ((moved @ weight.mT).argmax(dim=-1) == labels).all()


@pytest.mark.parametrize(("norm", "lipschitz"), [("l2", math.sqrt(2)), ("linf", 1.0)])
def test_a_radius_is_the_largest_where_two_logits_are_opposite(
    norm: Norm, lipschitz: float
) -> None:
    """f = (x, −x): the prediction changes at a distance of x."""
    x = torch.tensor([1e-9, 0.5, 3e5], dtype=torch.float64)
    margin = margins(torch.stack((x, -x), dim=1), torch.zeros(3, dtype=torch.int64))
    radius = certified_radius(margin, lipschitz, norm)
    assert (radius <= x).all()
    torch.testing.assert_close(radius, x, rtol=1e-14, atol=0)


def test_what_is_wrong_or_tied_has_no_radius() -> None:
    margin = torch.tensor([-1.0, 0.0, math.nan], dtype=torch.float64)
    radius = certified_radius(margin, 1.0, "l2")
    assert radius[:2].tolist() == [0.0, 0.0]
    assert not (radius > 0).any()


def test_cross_entropies_are_torchs() -> None:
    logits, labels = batch(9)
    expected = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(LOSSES["cross_entropy"](logits, labels), expected)
    lowered = logits.clone()
    lowered[range(9), labels] -= 0.7
    expected = F.cross_entropy(lowered, labels, reduction="none")
    torch.testing.assert_close(LOSSES["margin"](logits, labels), expected)
    expected = 0.2 * F.cross_entropy(lowered / 0.2, labels, reduction="none")
    torch.testing.assert_close(LOSSES["offset"](logits, labels), expected)


def test_the_multi_margin_loss_is_torchs() -> None:
    logits, labels = batch(9)
    expected = F.multi_margin_loss(logits, labels, margin=0.9, reduction="none")
    torch.testing.assert_close(LOSSES["multi_margin"](logits, labels), expected)


@pytest.mark.parametrize("seed", range(5))
def test_hinge_kr_is_its_formula(seed: int) -> None:
    """With few samples, so that a batch lacks classes."""
    logits, labels = batch(5, seed=seed)
    total = 0.0
    for j in range(4):
        f, true = logits[:, j], labels == j
        hinge = (0.45 - torch.where(true, f, -f)).clamp_min(0).mean()
        dual = f[true].mean() - f[~true].mean() if 0 < true.sum() < 5 else 0.0
        total += float(0.8 * hinge - 0.2 * dual) / 4
    assert float(LOSSES["hinge_kr"](logits, labels).mean()) == pytest.approx(total, abs=1e-12)


def test_a_batch_of_one_class_has_no_dual_value() -> None:
    logits = torch.randn(6, 3)
    labels = torch.zeros(6, dtype=torch.int64)
    assert torch.equal(hinge_kr(logits, labels, margin=1.0, alpha=0.0), torch.zeros(6))


@pytest.mark.parametrize("name", LOSSES)
def test_stacked_losses_are_those_of_each(name: str) -> None:
    logits, labels = batch(3, 7)
    stacked = LOSSES[name](logits, labels)
    assert stacked.shape == (3, 7)
    looped = torch.stack([LOSSES[name](f, y) for f, y in zip(logits, labels, strict=True)])
    torch.testing.assert_close(stacked, looped)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_their_gradients(name: str) -> None:
    logits, labels = batch(6)
    assert torch.autograd.gradcheck(lambda f: LOSSES[name](f, labels), logits.requires_grad_())
