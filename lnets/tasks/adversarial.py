"""Training on attacked images, and validating on them."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from lnets.data.images import ImageData
from lnets.functional.margins import margins
from lnets.nn import as_constant, to_plain
from lnets.nn.fused import Replicas
from lnets.specs.attacks import AdversarialSpec
from lnets.specs.epsilons import epsilon_value
from lnets.tasks.attacks.pgd import pgd, random_start

_CHUNK = 500


class TrainingAttack:
    """The attack that classifiers are trained against.

    Args:
        spec: Which one; None leaves images as they are.
        lipschitz: Constant that classifiers are designed for. Logits are divided by it, since the
            cross entropy of large ones has no gradient.
    """

    def __init__(self, spec: AdversarialSpec | None, lipschitz: float) -> None:
        self._spec, self._lipschitz = spec, lipschitz

    def starts(self, images: Tensor, generators: Sequence[Generator]) -> Tensor:
        """Where the attack begins.

        Args:
            images: A batch of each of several classifiers.
            generators: Of each of them, on the images' device.
        """
        spec = self._spec
        if spec is None or not spec.random_start:
            return images
        norm, radius = spec.norm, epsilon_value(spec.epsilon)
        drawn = zip(images, generators, strict=True)
        return torch.stack([random_start(x, radius, norm, g) for x, g in drawn]).clamp(0, 1)

    def __call__(
        self, replicas: Replicas, images: Tensor, labels: Tensor, starts: Tensor
    ) -> Tensor:
        """Attacked images.

        Args:
            replicas: The classifiers, in training.
            images: A batch of each.
            labels: One per image.
            starts: Where to begin.
        """
        if self._spec is None:
            return images
        with as_constant(replicas.network):
            return self._attacked(self._spec, replicas, images, labels, starts)

    def accuracy(self, model: nn.Module, images: ImageData) -> float:
        """Share of images that are classified correctly, and stay so under it, in float32.

        Args:
            model: A classifier in evaluation mode.
            images: Not those that it was trained on; where attacks on them begin is always the
                same.
        """
        assert self._spec is not None
        plain = to_plain(model).requires_grad_(False)
        generator = Generator(images.labels.device).manual_seed(0)
        correct = 0
        for first in range(0, len(images), _CHUNK):
            part = slice(first, first + _CHUNK)
            x, labels = images.pixels(part), images.labels[part]
            starts = self.starts(x.unsqueeze(0), [generator]).squeeze(0)
            attacked = self._attacked(self._spec, plain, x, labels, starts)
            right = torch.stack([margins(plain(seen), labels) > 0 for seen in (x, attacked)])
            correct += int(right.all(dim=0).sum())
        return correct / len(images)

    def _attacked(
        self,
        spec: AdversarialSpec,
        logits: nn.Module | Replicas,
        images: Tensor,
        labels: Tensor,
        starts: Tensor,
    ) -> Tensor:
        return pgd(
            lambda x: logits(x) / self._lipschitz,
            images,
            labels,
            epsilon_value(spec.epsilon),
            norm=spec.norm,
            steps=spec.steps,
            step_size=spec.step_size,
            start=starts,
        )
