"""A generator and a critic, and how each of them changes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn

from lnets.build import below, build_critic, build_generator, build_projections
from lnets.functional.transport import dual_value
from lnets.nn import ProjectionSchedule
from lnets.specs.gan import GanSpec
from lnets.tasks.products import training_precision
from lnets.tasks.training import Training, is_finite

# The original's, for weights that are clipped and for gradients that are penalised.
_CLIP, _GRADIENT_PENALTY = 0.01, 10.0
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)


class Adversaries:
    """A generator and a critic in training.

    Args:
        spec: The GAN.
        seed: Of their weights.
        steps: Updates of the critic in the whole training, for schedules that end with it.
        device: Where they are.
        compiled: Whether they are compiled.
    """

    def __init__(
        self, spec: GanSpec, seed: int, steps: int, device: torch.device, *, compiled: bool
    ) -> None:
        self._spec, self._device = spec, device
        self._precision = training_precision(spec.precision, device)
        torch.manual_seed(seed)
        shape = spec.data.image_shape
        self.generator = Training(
            [build_generator(spec.generator, shape).to(device)],
            [spec.generator_optim],
            projections=ProjectionSchedule(),
            steps=max(1, steps // spec.critic_steps),
            compiled=compiled,
        )
        self.critic = Training(
            [build_critic(spec.model, shape, faithful=spec.faithful).to(device)],
            [spec.optim],
            projections=build_projections(spec),
            steps=steps,
            # What is compiled cannot be differentiated twice.
            compiled=compiled and spec.gan_type != "WGAN_GP",
        )
        self._last_noise = torch.empty(0)
        self._clipped = self._to_clip() if spec.gan_type == "WGAN" else []

    def update_critic(self, real: Tensor, noise: Generator) -> Tensor:
        """Change the critic once; its loss before, the generated minus the real mean.

        The generator makes as many images and learns nothing of it.

        Args:
            real: Images, pixels in [0, 1].
            noise: Draws what else is random.
        """
        n = len(real)
        self._last_noise = self._noise(n, noise)
        with torch.no_grad(), self._precision:
            generated = self.generator(self._last_noise)[0]
        # One pass for both, as effective weights are computed once in each; batch normalisation
        # would mix them.
        apart = self._spec.model.normalizes_batches
        batches = (real, generated) if apart else (torch.cat((real, generated)),)
        with self._precision:
            values = torch.cat([self._judged(x.unsqueeze(0)) for x in batches], dim=1)
        loss = dual_value(values[:, n:], values[:, :n]).view(1)
        if self._spec.gan_type == "WGAN_GP":
            loss = loss + self._penalty(real, generated, noise)
        self.critic.update(loss, torch.ones_like(loss))
        bound = self._spec.clip or _CLIP
        with torch.no_grad():
            for weight in self._clipped:
                weight.clamp_(-bound, bound)
        return loss.detach()

    def update_generator(self, n: int, noise: Generator) -> Tensor:
        """Change the generator once; its loss before, minus the mean of what the critic says.

        Args:
            n: Images that it makes, of noise that the critic has not been trained with; a faithful
                one takes that of the critic's last update.
            noise: Draws it.
        """
        drawn = self._last_noise if self._spec.faithful else self._noise(n, noise)
        with self._precision:
            values = self._judged(self.generator(drawn))
        loss = -values.mean(dim=(1, 2))
        self.generator.update(loss, torch.ones_like(loss))
        return loss.detach()

    def networks(self) -> dict[str, nn.Module]:
        """Copies of both as they are now, in evaluation mode."""
        return {name: training.model(0).eval() for name, training in self._trainings().items()}

    def finite(self) -> bool:
        """Whether all their numbers are finite."""
        return all(is_finite(training.replicas.network) for training in self._trainings().values())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that the rest of the training depends on: tensors, and numbers."""
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, Any] = {}
        for name, training in self._trainings().items():
            state, numbers[name] = training.state()
            tensors |= {f"{name}.{key}": tensor for key, tensor in state.items()}
        return tensors, numbers

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go on from there.

        Args:
            tensors: As from `state` of an equal training.
            numbers: As from there.
        """
        for name, training in self._trainings().items():
            training.load((below(f"{name}.", tensors), numbers[name]))

    def _trainings(self) -> dict[str, Training]:
        return {"generator": self.generator, "critic": self.critic}

    def _to_clip(self) -> list[nn.Parameter]:
        """All weights of the critic but those of batch normalisation, which only rescale.

        A faithful one clips them too.
        """
        modules = list(self.critic.replicas.network.modules())
        return [
            parameter
            for module in modules
            if self._spec.faithful or not isinstance(module, _BATCH_NORM)
            for parameter in module.parameters(recurse=False)
        ]

    def _penalty(self, real: Tensor, generated: Tensor, noise: Generator) -> Tensor:
        """On gradients of another norm than 1, between real and generated images.

        Source:
            Gulrajani et al. (2017), arXiv:1704.00028.
        """
        shares = torch.rand(len(real), 1, 1, 1, generator=noise, device=self._device)
        between = torch.lerp(real, generated, shares).requires_grad_()
        with self._precision:
            values = self._judged(between.unsqueeze(0))
        (slopes,) = torch.autograd.grad(values.sum(), between, create_graph=True)
        norms = slopes.flatten(1).norm(dim=1)
        norms = norms / 2 if self._spec.faithful else norms  # of pixels in [−1, 1]
        weight = self._spec.gradient_penalty or _GRADIENT_PENALTY
        return weight * (norms - 1).square().mean()

    def _judged(self, images: Tensor) -> Tensor:
        """What the critic says of images; that of the original is given pixels in [−1, 1]."""
        return self.critic(2 * images - 1 if self._spec.faithful else images)

    def _noise(self, n: int, noise: Generator) -> Tensor:
        size = self._spec.generator.noise_dim
        return torch.rand(1, n, size, generator=noise, device=self._device)
