"""Options that several layers and projections of a spec have."""

from typing import Any

from lnets.specs.layers import BjorckFields


def bjorck_options(spec: BjorckFields) -> dict[str, Any]:
    """How Björck's iteration is run, as keyword arguments."""
    return {
        "bjorck_iter": spec.bjorck_iter,
        "bjorck_order": spec.bjorck_order,
        "bjorck_beta": spec.bjorck_beta,
    }
