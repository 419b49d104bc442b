"""Pictures of what a generator makes while it is trained."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Generator, nn

from lnets.tasks.streams import stream_seed

_SIDE = 8
_MILLISECONDS = 200


class Pictures:
    """Grids of 8 × 8 images, always of the same noise, and an animation of them.

    Args:
        folders: Of the trial, as one entry: `samples/epoch_0001.png`, … and `animation.gif` go
            there. Empty draws nothing.
        noise_dim: Numbers of noise per image.
        seed: Of the trial.
        device: Where the generator is.
    """

    def __init__(
        self, folders: Sequence[Path], noise_dim: int, seed: int, device: torch.device
    ) -> None:
        self._folder = folders[0] if folders else None
        generator = Generator(device).manual_seed(stream_seed(seed, "pictures"))
        self._noise = torch.rand(_SIDE**2, noise_dim, generator=generator, device=device)

    def draw(self, epoch: int, generator: nn.Module) -> None:
        """Write the grid of an epoch.

        Args:
            epoch: Epochs so far.
            generator: In evaluation mode.
        """
        if self._folder is None:
            return
        from torchvision.utils import save_image  # a second of imports

        file = self._folder / "samples" / f"epoch_{epoch:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            save_image(generator(self._noise), file, nrow=_SIDE)

    def animate(self) -> None:
        """Write the animation of all grids in the folder."""
        files = [] if self._folder is None else sorted((self._folder / "samples").glob("*.png"))
        if self._folder is None or not files:
            return
        from PIL import Image

        frames = []
        for file in files:
            with Image.open(file) as image:
                frames.append(image.copy())
        frames[0].save(
            self._folder / "animation.gif",
            save_all=True,
            append_images=frames[1:],
            duration=_MILLISECONDS,
            loop=0,
        )
