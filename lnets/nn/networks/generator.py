"""The generator of the GANs."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from lnets.nn.arguments import refuse_below
from lnets.nn.networks.images import refuse_indivisible


class ImageGenerator(nn.Sequential):
    """Noise to images: two linear layers and two transposed convolutions, each normalised.

    The weights of a new one are normal with standard deviation 0.02, its biases 0.

    Args:
        noise_dim: Numbers that an image is made of.
        channels: Channels of an image.
        image_size: Height and width, a multiple of 4.
        widths: Units of the hidden linear layer, then channels at a quarter and at half the size.

    Raises:
        ValueError: If `image_size` is not a positive multiple of 4, another size not positive, or
            there are not three `widths`.

    Source:
        Chen et al. (2016), arXiv:1606.03657, appendix C.
    """

    def __init__(
        self,
        noise_dim: int,
        channels: int,
        image_size: int,
        *,
        widths: Sequence[int] = (1024, 128, 64),
    ) -> None:
        refuse_indivisible(image_size)
        refuse_below(1, noise_dim=noise_dim, channels=channels, widths=widths)
        if len(widths) != 3:
            raise ValueError(f"`widths` must have three entries, got {list(widths)}.")
        hidden, first, second = widths
        side = image_size // 4
        super().__init__(
            nn.Linear(noise_dim, hidden),
            *(nn.BatchNorm1d(hidden), nn.ReLU()),
            nn.Linear(hidden, first * side**2),
            *(nn.BatchNorm1d(first * side**2), nn.ReLU(), nn.Unflatten(1, (first, side, side))),
            nn.ConvTranspose2d(first, second, 4, stride=2, padding=1),
            *(nn.BatchNorm2d(second), nn.ReLU()),
            nn.ConvTranspose2d(second, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        for layer in self:
            if isinstance(layer, (nn.Linear, nn.ConvTranspose2d)):
                nn.init.normal_(layer.weight, std=0.02)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(
        self, z: Float[Tensor, "batch noise"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Images, pixels in [0, 1], of noise uniform in [0, 1)."""
        return (super().forward(z) + 1) / 2
