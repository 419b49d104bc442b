"""What the image networks share."""

from jaxtyping import Float
from torch import Tensor, nn

from lnets.nn.activations import GroupSort
from lnets.nn.arguments import refuse_below


class ImageShape(nn.Module):
    """Passes batches of images of the right shape on as they are, and refuses others.

    Args:
        channels: Channels of an image.
        size: Height and width; None for any.
        least: Smallest height and width.

    Raises:
        ValueError: If one of them is not positive.
    """

    def __init__(self, channels: int, size: int | None = None, *, least: int = 1) -> None:
        super().__init__()
        refuse_below(1, channels=channels, size=1 if size is None else size, least=least)
        self.channels = channels
        self.size = size
        self.least = least

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The input.

        Raises:
            ValueError: If it has another shape.
        """
        fits = x.ndim == 4 and x.shape[1] == self.channels
        if fits and self.size is not None:
            fits = x.shape[2] == self.size and x.shape[3] == self.size
        if not fits or x.shape[2] < self.least or x.shape[3] < self.least:
            raise ValueError(f"Images must be {self._wording()}, got {tuple(x.shape)}.")
        return x

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{self.channels}, size={self.size}, least={self.least}"

    def _wording(self) -> str:
        if self.size is not None:
            return f"a batch × {self.channels} × {self.size} × {self.size}"
        smallest = f", height and width at least {self.least}"
        return f"a batch × {self.channels} × height × width{smallest}"


def max_min(width: int) -> nn.Module:
    """MaxMin over the channels of images or the units of vectors.

    Args:
        width: Channels or units, an even number.

    Raises:
        ValueError: If the width is odd.
    """
    if width % 2:
        raise ValueError(f"MaxMin needs an even number of channels, got {width}.")
    return GroupSort(2, axis=1)


def refuse_indivisible(image_size: int) -> None:
    """Two halvings need an image size divisible by 4.

    Args:
        image_size: Height and width.

    Raises:
        ValueError: If it is not divisible, or not positive.
    """
    if image_size < 4 or image_size % 4:
        raise ValueError(f"`image_size` must be a positive multiple of 4, got {image_size}.")
