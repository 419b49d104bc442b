"""Distributions of a spec."""

from typing import assert_never

import torch
from torch import nn

from lnets.build.data import build_gan_images, build_sample_images
from lnets.build.trials import Weights, no_store, refuse_misfit, trained_generator
from lnets.data.distributions import (
    Distribution,
    Gaussian,
    ImageSamples,
    MultiSphericalShell,
    PointCloud,
)
from lnets.data.gan_samples import GanSamples
from lnets.data.min_funnels import MinFunnels
from lnets.specs.distributions import (
    DistributionSpec,
    GanSamplesSpec,
    GaussianSpec,
    ImageSamplesSpec,
    MinFunnelsSpec,
    MultiSphericalShellSpec,
)
from lnets.specs.gan import GanSpec
from lnets.specs.point_cloud import PointCloudSpec
from lnets.specs.points import read_points


def build_distribution(
    spec: DistributionSpec, device: torch.device, weights: Weights = no_store
) -> Distribution:
    """The distribution to sample from.

    Args:
        spec: Which one.
        device: Where samples are drawn.
        weights: Finds the GAN that some are samples of.

    Raises:
        DataError: If its data are not there, or are not what the spec says.
        TrialError: If its GAN is not there, or is not what the spec says.
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
        case GaussianSpec():
            return Gaussian(dim=spec.dim, mean=spec.mean, std=spec.std, device=device)
        case MinFunnelsSpec():
            return MinFunnels(
                side=spec.side,
                dim=spec.dim,
                num_funnels=spec.num_funnels,
                degree=spec.degree,
                funnel_seed=spec.funnel_seed,
                device=device,
            )
        case ImageSamplesSpec():
            images = build_sample_images(
                spec.dataset,
                device,
                image_size=spec.image_size,
                classes=spec.classes,
                max_images=spec.max_images,
            )
            return ImageSamples(*images, flatten=spec.flatten)
        case GanSamplesSpec():
            return _gan_samples(spec, device, weights)
        case PointCloudSpec():
            points = torch.from_numpy(
                read_points(spec.file, dim=spec.dim, support=spec.support, sha256=spec.sha256)
            )
            return PointCloud(points, support=spec.support, device=device)
        case _:
            assert_never(spec)


def build_gan_samples(spec: GanSpec, generator: nn.Module, *, flatten: bool) -> GanSamples:
    """What the generator of a GAN makes of noise.

    Args:
        spec: The GAN.
        generator: Trained, on its device.
        flatten: Whether samples are vectors.
    """
    return GanSamples(
        generator,
        noise_dim=spec.generator.noise_dim,
        image_shape=spec.data.image_shape,
        flatten=flatten,
    )


def _gan_samples(spec: GanSamplesSpec, device: torch.device, weights: Weights) -> Distribution:
    gan, generator = trained_generator(weights(spec.gan))
    refuse_misfit(spec, "gan", gan)
    if spec.side == "real":
        return ImageSamples(*build_gan_images(gan.data, device), flatten=spec.flatten)
    return build_gan_samples(gan, generator.to(device), flatten=spec.flatten)
