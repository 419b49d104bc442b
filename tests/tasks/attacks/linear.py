"""Linear classifiers of two classes: how far their boundary is, is known."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lnets.functional.margins import margins
from lnets.nn.certificate import Norm


class Example(NamedTuple):
    model: nn.Module
    images: Tensor
    labels: Tensor


def example(count: int = 12, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Example:
    """Grey images of 3 × 3 pixels, from which the boundary is nearer than black or white."""
    generator = torch.Generator().manual_seed(0)
    linear = nn.utils.skip_init(nn.Linear, 9, 2, dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(2, 9, generator=generator))
        linear.bias.copy_(-0.5 * linear.weight.sum(dim=1))
        for parameter in linear.parameters():
            parameter.mul_(scale)
    model = nn.Sequential(nn.Flatten(), linear).eval().requires_grad_(False)
    images = 0.5 + 0.05 * torch.randn(count, 1, 3, 3, generator=generator, dtype=dtype)
    return Example(model, images, model(images).argmax(dim=1))


def boundary(model: nn.Module, images: Tensor, labels: Tensor, norm: Norm) -> Tensor:
    """How far each image is from it."""
    across = model[1].weight[0] - model[1].weight[1]
    return margins(model(images), labels) / across.norm(p=2 if norm == "l2" else 1)
