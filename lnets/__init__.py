"""Lipschitz networks whose numbers are proven, and sweeps that compare them."""

__version__ = "0.1.0"
