"""Optimizers that torch does not have."""

from lnets.optim.aggmo import AggMo

__all__ = ["AggMo"]
