"""Distributions of a spec."""

from typing import assert_never

import torch

from lnets.build.data import build_sample_images
from lnets.data.distributions import (
    Distribution,
    Gaussian,
    ImageSamples,
    MultiSphericalShell,
    PointCloud,
)
from lnets.data.min_funnels import MinFunnels
from lnets.data.point_clouds import read_points
from lnets.specs.distributions import (
    DistributionSpec,
    GaussianSpec,
    ImageSamplesSpec,
    MinFunnelsSpec,
    MultiSphericalShellSpec,
)
from lnets.specs.point_cloud import PointCloudSpec


def build_distribution(spec: DistributionSpec, device: torch.device) -> Distribution:
    """The distribution to sample from.

    Raises:
        DataError: If its data are not there, or are not what the spec says.
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
        case PointCloudSpec():
            points = read_points(spec.file, dim=spec.dim, support=spec.support, sha256=spec.sha256)
            return PointCloud(points, support=spec.support, device=device)
        case _:
            assert_never(spec)
