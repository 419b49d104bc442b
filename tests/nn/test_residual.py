"""Residual blocks, batch normalisation and means: what a certificate says of them alone."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lnets.nn import (
    LipschitzResidual,
    Residual,
    Scale,
    certify,
    empirical_lipschitz,
    evaluation_error,
    to_plain,
)
from lnets.nn.certificate import Norm


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalisation_has_its_exact_constant(norm: Norm, affine: bool) -> None:
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(3, affine=affine)
    if affine:
        nn.init.normal_(layer.weight)
    layer(torch.randn(9, 3, 2, 2) * torch.tensor([0.1, 1.0, 5.0]).view(3, 1, 1) + 2)
    bound = certify(layer.eval(), norm=norm).lipschitz_upper_bound
    found = empirical_lipschitz(layer, torch.randn(2, 3, 2, 2), norm=norm, steps=0)
    assert bound * (1 - 1e-12) <= found <= bound * (1 + 1e-14)


def test_batch_normalisation_by_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stored statistics.*`\(root\)`"):
        certify(nn.BatchNorm2d(3, track_running_stats=False).eval())
    partly = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    partly[1].train()
    for function in (certify, to_plain):
        with pytest.raises(ValueError, match="evaluation mode"):
            function(partly)
    partly.eval()[1].running_var.fill_(-1.0)
    with pytest.raises(ValueError, match="positive variances"):
        certify(partly)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_sum_of_branches_is_bounded_by_their_sum(norm: Norm) -> None:
    block = nn.Sequential(Scale(3.0), LipschitzResidual(nn.Identity(), 0.3))
    for module, constant in (
        (Residual(block), 4.0),
        (Residual(block, Scale(-2.0)), 5.0),
        (LipschitzResidual(block, 0.25), 1.5),
        (LipschitzResidual(block, 0.0), 1.0),
        (LipschitzResidual(block, 1.0), 3.0),
    ):
        bound = certify(module.eval(), norm=norm).lipschitz_upper_bound
        assert constant <= bound <= constant * (1 + 1e-14)
        found = empirical_lipschitz(module, torch.randn(3, 4), norm=norm, steps=1)
        assert found <= bound
        if not isinstance(module, Residual) or isinstance(module.shortcut, nn.Identity):
            assert found == pytest.approx(constant)  # the branches agree


def test_a_residual_keeps_the_constant_of_its_block() -> None:
    x = torch.tensor([[1.0, -2.0]])
    assert torch.allclose(LipschitzResidual(Scale(3.0), 0.25)(x), 1.5 * x)
    assert "alpha=0.25" in repr(LipschitzResidual(Scale(3.0), 0.25))
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="`alpha` must be from 0 to 1"):
            LipschitzResidual(Scale(3.0), alpha)


@pytest.mark.parametrize("kind", [Residual, LipschitzResidual])
def test_branches_are_not_broadcast(kind: type[nn.Module]) -> None:
    module = kind(nn.AdaptiveAvgPool2d(1)).eval()
    with pytest.raises(ValueError, match="outputs of one shape"):
        certify(module, (2, 3, 3))


def test_a_branch_without_a_proof_is_named() -> None:
    model = nn.Sequential(Residual(nn.Sequential(Scale(2.0), nn.GELU()))).eval()
    for function in (certify, lambda m: evaluation_error(m, torch.ones(1, 2).double())):
        with pytest.raises(ValueError, match=r"`0\.block\.1`, a GELU"):
            function(model)


def test_a_sequential_with_a_forward_of_its_own_is_refused() -> None:
    class Twice(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    with pytest.raises(ValueError, match="a Twice"):
        certify(Twice(nn.ReLU()).eval())


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_mean_of_all_pixels_is_certified(norm: Norm) -> None:
    model = nn.AdaptiveAvgPool2d(1).eval()
    bound = certify(model, (2, 3, 5), norm=norm).lipschitz_upper_bound
    assert bound == pytest.approx(1 if norm == "linf" else 15**-0.5)
    assert certify(model, norm=norm).lipschitz_upper_bound == 1
    assert empirical_lipschitz(model, torch.randn(2, 2, 3, 5), norm=norm, steps=0) <= bound
    with pytest.raises(ValueError, match="more than one pixel"):
        certify(nn.AdaptiveAvgPool2d(2).eval(), (2, 3, 5))


def test_the_error_of_batch_normalisation_counts_its_offsets() -> None:
    layer = nn.BatchNorm2d(1).eval()
    layer.running_mean.fill_(1e6 / 3)
    wide = copy.deepcopy(layer).double()
    x = torch.full((1, 1, 4, 4), 1e6 / 3)
    difference = (layer(x).double() - wide(x.double())).norm().item()
    assert difference <= evaluation_error(wide, x.double()) * 2.0**29
    # A mean alone makes roundings of its size, even where the input is zero.
    assert evaluation_error(wide, torch.zeros(1, 1, 4, 4).double()) > 1e6 / 3 * 2.0**-53
    plain = nn.BatchNorm2d(1, affine=False).double().eval()
    assert 0 < evaluation_error(plain, torch.ones(1, 1, 2, 2).double()) < 1e-13


def test_the_error_of_means_grows_with_the_window() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 2, 32, 32) * 100 + 50
    for pool in (nn.AvgPool2d(32), nn.AdaptiveAvgPool2d(1)):
        difference = (pool.eval()(x).double() - pool(x.double())).flatten(1).norm(dim=1).max()
        assert 0 < difference <= evaluation_error(pool, x.double()) * 2.0**29
