"""Distributions of a spec."""

from typing import assert_never

import torch

from lnets.data.distributions import Distribution, ImageSamples, MultiSphericalShell
from lnets.specs.distributions import (
    DistributionSpec,
    ImageSamplesSpec,
    MultiSphericalShellSpec,
)


def build_distribution(spec: DistributionSpec, device: torch.device) -> Distribution:
    """The distribution to sample from."""
    match spec:
        case MultiSphericalShellSpec():
            return MultiSphericalShell(
                dim=spec.dim,
                radius=spec.radius,
                center_x=spec.center_x,
                empty_dim=spec.empty_dim,
                reshape_to_grid=spec.reshape_to_grid,
            )
        case ImageSamplesSpec():
            return ImageSamples(classes=spec.classes, flatten=spec.flatten, device=device)
        case _:
            assert_never(spec)
