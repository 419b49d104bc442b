"""The search of the benchmark `certificate` that tries to break proofs, from fewer starts."""

import pytest
import torch
from torch import nn

import lnets.nn
from benchmarks.certificate import CASES, NORMS, Case, objections, search, train
from lnets.nn import (
    EffectiveWeight,
    ImageGenerator,
    LipschitzConv2d,
    LipschitzLinear,
    SpectralJacobianPenalty,
)

# What the layers have in common, what is no part of a network, and what has no bound to break.
EXEMPT = {
    EffectiveWeight,
    LipschitzLinear,
    LipschitzConv2d,
    SpectralJacobianPenalty,
    ImageGenerator,
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_search_breaks_a_certificate(case: Case) -> None:
    torch.manual_seed(0)
    model = case.build()
    train(case, model, steps=10)
    for norm in NORMS:
        found = search(case, model, norm, starts=16, steps=10)
        assert not objections(found, case.orthonormal and norm == "l2")
        assert found.ours > 0


def test_every_module_is_searched() -> None:
    public = {getattr(lnets.nn, name) for name in lnets.nn.__all__}
    modules = {kind for kind in public if isinstance(kind, type) and issubclass(kind, nn.Module)}
    searched = {type(module) for case in CASES for module in case.build().modules()}
    assert modules - EXEMPT <= searched
