"""Torch modules over `lnets.functional`: plain keyword arguments, never a spec."""

from lnets.nn.activations import Abs, GroupSort, Householder, Maxout, NActivation
from lnets.nn.certificate import Certificate, certify
from lnets.nn.conv import BCOPConv2d, BjorckConv2d, LInfProjectedConv2d, LipschitzConv2d
from lnets.nn.effective import EffectiveWeight, project_
from lnets.nn.empirical import empirical_lipschitz
from lnets.nn.linear import (
    BjorckLinear,
    LInfProjectedLinear,
    LipschitzLinear,
    OrthogonalLinear,
    ParsevalL2Linear,
    SpectralNormLinear,
)
from lnets.nn.networks.fully_connected import FullyConnected
from lnets.nn.plain import to_plain
from lnets.nn.rounding import evaluation_error
from lnets.nn.scale import Scale

__all__ = [
    "Abs",
    "BCOPConv2d",
    "BjorckConv2d",
    "BjorckLinear",
    "Certificate",
    "EffectiveWeight",
    "FullyConnected",
    "GroupSort",
    "Householder",
    "LInfProjectedConv2d",
    "LInfProjectedLinear",
    "LipschitzConv2d",
    "LipschitzLinear",
    "Maxout",
    "NActivation",
    "OrthogonalLinear",
    "ParsevalL2Linear",
    "Scale",
    "SpectralNormLinear",
    "certify",
    "empirical_lipschitz",
    "evaluation_error",
    "project_",
    "to_plain",
]
