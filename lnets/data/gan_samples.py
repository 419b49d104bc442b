"""Images that a generator makes, as a distribution."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

# Images that are made at once, so that what layers make of them fits in memory.
_CHUNK = 512


class GanSamples:
    """Images of a generator in evaluation mode, each of noise of its own.

    Args:
        generator: Maps noise, uniform in [0, 1), to images, pixels in [0, 1]; float32.
        noise_dim: Numbers of noise per image.
        image_shape: Channels, height and width.
        flatten: Whether samples are vectors; else they are images.
    """

    available = math.inf

    def __init__(
        self,
        generator: nn.Module,
        *,
        noise_dim: int,
        image_shape: tuple[int, int, int],
        flatten: bool = True,
    ) -> None:
        self._generator, self._noise_dim, self._flatten = generator.eval(), noise_dim, flatten
        self.diameter = math.prod(image_shape) ** 0.5
        self.deviation = self.diameter / 2

    def sample(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Independent samples, float32."""
        noise = torch.rand(n, self._noise_dim, generator=generator, device=generator.device)
        with torch.no_grad():
            images = torch.cat([self._generator(part) for part in noise.split(_CHUNK)])
        return images.flatten(1) if self._flatten else images

    def held_out(self, n: int, generator: Generator) -> Float[Tensor, "n *shape"]:
        """Independent samples of the same distribution, the same numbers as float64."""
        return self.sample(n, generator).double()
