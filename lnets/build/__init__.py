"""Spec -> object: the only place that imports both sides."""

from lnets.build.data import build_data, build_gan_images, build_sample_images
from lnets.build.distributions import build_distribution, build_gan_samples
from lnets.build.layers import build_activation, build_conv, build_linear
from lnets.build.losses import build_loss
from lnets.build.models import (
    build_classifier,
    build_critic,
    build_generator,
    build_model,
)
from lnets.build.training import (
    build_optimizer,
    build_projection,
    build_projections,
    build_schedule,
)
from lnets.build.trials import (
    below,
    iterate_,
    refuse_misfit,
    trained_classifier,
    trained_critic,
    trained_generator,
)

__all__ = [
    "below",
    "build_activation",
    "build_classifier",
    "build_conv",
    "build_critic",
    "build_data",
    "build_distribution",
    "build_gan_images",
    "build_gan_samples",
    "build_generator",
    "build_linear",
    "build_loss",
    "build_model",
    "build_optimizer",
    "build_projection",
    "build_projections",
    "build_sample_images",
    "build_schedule",
    "iterate_",
    "refuse_misfit",
    "trained_classifier",
    "trained_critic",
    "trained_generator",
]
