"""Torch modules over `lnets.functional`: plain keyword arguments, never a spec."""

from lnets.nn.activations import Abs, GroupSort, Maxout
from lnets.nn.certificate import Certificate, certify
from lnets.nn.linear import BjorckLinear
from lnets.nn.networks.fully_connected import FullyConnected
from lnets.nn.scale import Scale

__all__ = [
    "Abs",
    "BjorckLinear",
    "Certificate",
    "FullyConnected",
    "GroupSort",
    "Maxout",
    "Scale",
    "certify",
]
