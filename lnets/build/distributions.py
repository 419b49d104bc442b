"""Distributions of a spec."""

from typing import assert_never

import torch
from torch import nn

from lnets.build.data import build_data
from lnets.build.trials import Weights, trained_generator
from lnets.data.distributions import Distribution, ImageSamples, MultiSphericalShell
from lnets.data.gan_samples import GanSamples
from lnets.errors import TrialError
from lnets.specs.data import DataSpec, FractionSplitSpec
from lnets.specs.distributions import (
    DistributionSpec,
    ImageSamplesSpec,
    MultiSphericalShellSpec,
)
from lnets.specs.gan import GanSpec
from lnets.specs.gan_samples import GanSamplesSpec


def build_distribution(
    spec: DistributionSpec, device: torch.device, weights: Weights
) -> Distribution:
    """The distribution to sample from.

    Args:
        spec: Which one.
        device: Where samples are drawn.
        weights: Finds the GAN that some are samples of.

    Raises:
        LnetsError: If data or a GAN are not there, are damaged, or do not fit the spec.
    """
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
            return build_image_samples(spec, device)
        case GanSamplesSpec():
            return _gan_samples(spec, device, weights)
        case _:
            assert_never(spec)


def build_image_samples(spec: ImageSamplesSpec, device: torch.device) -> ImageSamples:
    """Real images."""
    data = DataSpec(
        dataset=spec.dataset,
        image_size=spec.image_size,
        split=FractionSplitSpec(type="fraction", train=1.0, validation=0.0),
    )
    splits = build_data(data, device)
    return ImageSamples(splits.train, splits.test, flatten=spec.flatten)


def _gan_samples(spec: GanSamplesSpec, device: torch.device, weights: Weights) -> Distribution:
    gan, generator = trained_generator(weights(spec.gan))
    data = gan.data
    known, asked = ((d.dataset, list(d.image_shape)) for d in (data, spec))
    if asked != known:
        raise TrialError(
            f"dataset and image_size of gan_samples must be those of its GAN, {known[0]} of shape "
            f"{known[1]}, got {asked[0]} of shape {asked[1]}; change them"
        )
    if spec.side == "real":
        return build_image_samples(data.samples(flatten=spec.flatten), device)
    return build_gan_samples(gan, generator.to(device), flatten=spec.flatten)


def build_gan_samples(spec: GanSpec, generator: nn.Module, *, flatten: bool) -> GanSamples:
    """What a generator makes of noise.

    Args:
        spec: Its GAN.
        generator: On its device.
        flatten: Whether samples are vectors.
    """
    return GanSamples(
        generator,
        noise_dim=spec.generator.noise_dim,
        image_shape=spec.data.image_shape,
        flatten=flatten,
    )
