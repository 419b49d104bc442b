"""The original's GANs written plainly, at 28 × 28 pixels, an iteration at a time.

Nothing is left out that an iteration of its computes: two forwards of the critic, the first
backward into the generator too, Adam over one parameter at a time, and, of its WGAN, both networks
and the history written to disk.
"""

import functools
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.original import OriginalBjorckConv2d, OriginalBjorckLinear, OriginalMaxMin

BATCH = 64
NOISE = 62
CRITIC_STEPS = 5
_LINEAR_ITER = 12
_CLIP = 0.01
_PENALTY = 10.0


class OriginalGan:
    """A GAN in training.

    Args:
        gan_type: `WGAN`, `WGAN_GP` or `LWGAN`.
        folder: What is saved in every iteration goes there.
    """

    def __init__(self, gan_type: str, folder: Path) -> None:
        torch.manual_seed(0)
        self._type, self._folder = gan_type, folder
        self._generator = _generator()
        self._critic = _lipschitz_critic() if gan_type == "LWGAN" else _critic()
        adam = functools.partial(torch.optim.Adam, betas=(0.5, 0.999), foreach=False)
        self._optimizers = [
            adam(self._generator.parameters(), lr=2e-4),
            adam(self._critic.parameters(), lr=2e-3 if gan_type == "LWGAN" else 2e-4),
        ]
        self._history: dict[str, list[float]] = {"D_loss": [], "G_loss": []}

    def step(self, real: Tensor) -> None:
        """One iteration: an update of the critic, and of the generator at every fifth."""
        z = torch.rand(BATCH, NOISE)
        of_generator, of_critic = self._optimizers
        of_critic.zero_grad()
        generated = self._generator(z)
        loss = self._critic(generated).mean() - self._critic(real).mean()
        if self._type == "WGAN_GP":
            loss = loss + self._penalty(real, generated)
        loss.backward()
        of_critic.step()
        if self._type == "WGAN":
            for parameter in self._critic.parameters():
                parameter.data.clamp_(-_CLIP, _CLIP)
        self._history["D_loss"].append(loss.item())
        if len(self._history["D_loss"]) % CRITIC_STEPS == 0:
            of_generator.zero_grad()
            loss = -self._critic(self._generator(z)).mean()
            loss.backward()
            of_generator.step()
            self._history["G_loss"].append(loss.item())
        if self._type == "WGAN":
            self._save()

    def _penalty(self, real: Tensor, generated: Tensor) -> Tensor:
        shares = torch.rand(BATCH, 1, 1, 1)
        between = (shares * real + (1 - shares) * generated.data).requires_grad_()
        values = self._critic(between)
        (slopes,) = torch.autograd.grad(
            values, between, torch.ones_like(values), create_graph=True, retain_graph=True
        )
        return _PENALTY * ((slopes.view(BATCH, -1).norm(2, dim=1) - 1) ** 2).mean()

    def _save(self) -> None:
        torch.save(self._generator.state_dict(), self._folder / "G.pkl")
        torch.save(self._critic.state_dict(), self._folder / "D.pkl")
        (self._folder / "history.pkl").write_bytes(pickle.dumps(self._history))


def _generator() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(NOISE, 1024), nn.BatchNorm1d(1024), nn.ReLU()),
        *(nn.Linear(1024, 6272), nn.BatchNorm1d(6272), nn.ReLU(), nn.Unflatten(1, (128, 7, 7))),
        *(nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh()),
    )


def _critic() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.LeakyReLU(0.2), nn.Flatten()),
        *(nn.Linear(6272, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1)),
    )


def _lipschitz_critic() -> nn.Module:
    linear = functools.partial(OriginalBjorckLinear, iterations=_LINEAR_ITER)
    return nn.Sequential(
        *(OriginalBjorckConv2d(1, 64, 4, 2, 1), OriginalMaxMin()),
        *(OriginalBjorckConv2d(64, 128, 4, 2, 1), OriginalMaxMin(), nn.Flatten()),
        *(linear(6272, 1024), OriginalMaxMin(), linear(1024, 1)),
    )
