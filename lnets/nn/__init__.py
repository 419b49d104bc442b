"""Torch modules over `lnets.functional`: plain keyword arguments, never a spec."""

from lnets.nn.activations import Abs, GroupSort, Householder, Maxout, NActivation
from lnets.nn.certificate import Certificate, certify
from lnets.nn.conv import BCOPConv2d, BjorckConv2d, LInfProjectedConv2d, LipschitzConv2d
from lnets.nn.effective import EffectiveWeight, as_constant, project_
from lnets.nn.empirical import empirical_lipschitz
from lnets.nn.jacobian import SpectralJacobianPenalty, dead_unit_rates
from lnets.nn.linear import (
    BjorckLinear,
    LInfProjectedLinear,
    LipschitzLinear,
    ParsevalL2Linear,
    SpectralNormLinear,
)
from lnets.nn.networks.fully_connected import FullyConnected
from lnets.nn.networks.fully_conv import FullyConv
from lnets.nn.networks.generator import ImageGenerator
from lnets.nn.networks.images import ImageShape, max_min
from lnets.nn.networks.infogan import InfoGanDiscriminator
from lnets.nn.networks.lenet import LeNet
from lnets.nn.networks.lipschitz_resnet import LipschitzResNet
from lnets.nn.networks.resnet import ResNet32, WideResNet32
from lnets.nn.normalize import Normalize
from lnets.nn.orthogonal import OrthogonalLinear
from lnets.nn.plain import to_plain
from lnets.nn.projection import ProjectionSchedule, project_weights_
from lnets.nn.residual import LipschitzResidual, Residual
from lnets.nn.rotated import RotatedLinear
from lnets.nn.rounding import evaluate_with_error, evaluation_error
from lnets.nn.scale import Scale
from lnets.nn.spectra import orthonormality_error, singular_values

__all__ = [
    "Abs",
    "BCOPConv2d",
    "BjorckConv2d",
    "BjorckLinear",
    "Certificate",
    "EffectiveWeight",
    "FullyConnected",
    "FullyConv",
    "GroupSort",
    "Householder",
    "ImageGenerator",
    "ImageShape",
    "InfoGanDiscriminator",
    "LInfProjectedConv2d",
    "LInfProjectedLinear",
    "LeNet",
    "LipschitzConv2d",
    "LipschitzLinear",
    "LipschitzResNet",
    "LipschitzResidual",
    "Maxout",
    "NActivation",
    "Normalize",
    "OrthogonalLinear",
    "ParsevalL2Linear",
    "ProjectionSchedule",
    "ResNet32",
    "Residual",
    "RotatedLinear",
    "Scale",
    "SpectralJacobianPenalty",
    "SpectralNormLinear",
    "WideResNet32",
    "as_constant",
    "certify",
    "dead_unit_rates",
    "empirical_lipschitz",
    "evaluate_with_error",
    "evaluation_error",
    "max_min",
    "orthonormality_error",
    "project_",
    "project_weights_",
    "singular_values",
    "to_plain",
]
