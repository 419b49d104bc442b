"""The baseline: the original's algorithm written plainly, in its own configurations.

Nothing is left out that its training step computes: two forwards, each with its own
orthonormalisation and autograd through all iterations, a check that groups are sorted, a momentum
loop over parameters, and a sampler that factorises an identity covariance for every batch.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BATCH = 32
BJORCK_ITER = 20
# Its radius of the first distribution, where ours has 0.
TINY_RADIUS = 1e-7
# Seed of held-out samples, far from those of training.
HELD_OUT_SEED = 1_000_003


class OriginalBjorckLinear(nn.Linear):
    """20 iterations of order 1, converged or not, in every forward.

    The initial singular values are 1/√in, the Gram matrix is out × out.

    Args:
        in_features: Numbers per input.
        out_features: Numbers per output.
        safe_scaling: Whether the iterations start from W / √(out·in) instead of W.
        iterations: Of Björck's.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        safe_scaling: bool = True,
        iterations: int = BJORCK_ITER,
    ) -> None:
        super().__init__(in_features, out_features)
        self._iterations = iterations
        self.scale = math.sqrt(in_features * out_features) if safe_scaling else 1.0
        nn.init.orthogonal_(self.weight, gain=1 / math.sqrt(in_features))

    def effective_weight(self) -> Tensor:
        """What the iterations have reached."""
        return _orthonormalized(self.weight.mT / self.scale, self._iterations).mT

    def forward(self, x: Tensor) -> Tensor:
        """The affine map."""
        return nn.functional.linear(x, self.effective_weight(), self.bias)


def _orthonormalized(w: Tensor, iterations: int) -> Tensor:
    for _ in range(iterations):
        w = 1.5 * w - 0.5 * (w @ (w.mT @ w))
    return w


class OriginalBjorckConv2d(nn.Conv2d):
    """20 iterations of order 1 on the kernel as a matrix of `out` rows, always from the safe scale.

    The Gram matrix is that of the columns, of which there are more than rows.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The convolution."""
        matrix = self.weight.flatten(1)
        kernel = _orthonormalized(matrix / math.sqrt(matrix.numel()), BJORCK_ITER)
        kernel = kernel.view_as(self.weight)
        return nn.functional.conv2d(x, kernel, self.bias, self.stride, self.padding)


class OriginalMaxMin(nn.Module):
    """The larger of each two neighbouring units or channels, then the smaller ones."""

    def forward(self, x: Tensor) -> Tensor:
        """As wide as the input."""
        pairs = x.unflatten(1, (-1, 2))
        return torch.cat((pairs.max(dim=2).values, pairs.min(dim=2).values), dim=1)


class OriginalFullSort(nn.Module):
    """All units in ascending order."""

    def forward(self, x: Tensor) -> Tensor:
        """The input, sorted, and checked to be."""
        y = x.sort(dim=1).values
        values = y.detach().cpu().numpy()
        assert (np.diff(values, axis=1) >= 0).all()
        return y


class OriginalAggMo:
    """Aggregated momentum, one parameter and one momentum at a time.

    Args:
        params: What to optimize.
        lr: Learning rate.
        betas: Momentum of each buffer.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, betas: Sequence[float] = (0.0, 0.9, 0.99)
    ) -> None:
        self.lr = lr
        self._betas = betas
        self._buffers = [(p, [torch.zeros_like(p) for _ in betas]) for p in params]

    @torch.no_grad()
    def step(self) -> None:
        """From the gradients that the parameters have."""
        for p, buffers in self._buffers:
            assert p.grad is not None
            for beta, buffer in zip(self._betas, buffers, strict=True):
                buffer.mul_(beta).add_(p.grad)
                p.sub_(buffer, alpha=self.lr / len(self._betas))


def network(
    inputs: int,
    layers: Sequence[int],
    activation: Callable[[], nn.Module],
    *,
    safe_scaling: bool = True,
) -> nn.Sequential:
    """Linear layers with activations between them."""
    sizes = (inputs, *layers)
    modules: list[nn.Module] = []
    for in_features, out_features in zip(sizes, layers, strict=False):
        modules += [
            OriginalBjorckLinear(in_features, out_features, safe_scaling=safe_scaling),
            activation(),
        ]
    return nn.Sequential(*modules[:-1])


class OriginalShell:
    """Spheres around centres on the first axis.

    Args:
        dim: Dimension of the space.
        centers: First coordinates of the centres.
        radius: Of every sphere.
    """

    def __init__(self, dim: int, centers: Sequence[float], radius: float) -> None:
        self.dim, self.centers, self.radius = dim, centers, radius

    def sample(self, n: int, random: np.random.RandomState) -> Tensor:
        """Independent samples; a covariance that is the identity is factorised each time."""
        points = self._around_zero(n, random)
        points[:, 0] += random.choice(self.centers, size=n)
        return torch.from_numpy(points).float()

    def held_out(self, n: int, random: np.random.RandomState) -> Tensor:
        """As many around each centre, opposite ones in pairs: means of them vary less."""
        half = self._around_zero(n, random)
        around = np.concatenate((half, -half))
        shift = np.zeros((len(self.centers), 1, self.dim))
        shift[:, 0, 0] = self.centers
        return torch.from_numpy((around + shift).reshape(-1, self.dim)).float()

    def _around_zero(self, n: int, random: np.random.RandomState) -> NDArray[np.float64]:
        if self.dim == 1:
            return self.radius * random.choice([-1.0, 1.0], size=(n, 1))
        points = random.multivariate_normal(np.zeros(self.dim), np.eye(self.dim), n)
        return points * (self.radius / np.linalg.norm(points, axis=1, keepdims=True))


@dataclass(frozen=True)
class OriginalConfig:
    """One of its configuration files, as far as training depends on it."""

    dim: int
    layers: tuple[int, ...]
    activation: Callable[[], nn.Module]
    lr: float
    milestones: tuple[int, ...]
    """Epochs after which the learning rate is multiplied by 0.9."""
    epoch_len: int
    """Steps per epoch."""
    epochs: int
    max_grad_norm: float
    centers: tuple[float, ...] = (0.0,)


class OriginalTraining:
    """Its training of a critic, a step at a time.

    Args:
        config: What to train.
        seed: Of weights and samples.
    """

    def __init__(self, config: OriginalConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.steps = 0
        self.critic = network(config.dim, config.layers, config.activation)
        self._random = np.random.RandomState(seed)
        self._distrib1 = OriginalShell(config.dim, config.centers, TINY_RADIUS)
        self._distrib2 = OriginalShell(config.dim, config.centers, 1.0)
        self._optimizer = OriginalAggMo(self.critic.parameters(), config.lr)

    @property
    def ended(self) -> bool:
        """Whether it has made all its steps."""
        return self.steps >= self.config.epoch_len * self.config.epochs

    def step(self) -> float:
        """One training step; returns its estimate of the distance."""
        x = self._distrib1.sample(BATCH, self._random)
        y = self._distrib2.sample(BATCH, self._random)
        self.critic.zero_grad()
        loss = self.critic(y).mean() - self.critic(x).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.critic.parameters(), self.config.max_grad_norm)
        self._optimizer.step()
        self.steps += 1
        epoch, rest = divmod(self.steps, self.config.epoch_len)
        if rest == 0 and epoch in self.config.milestones:
            self._optimizer.lr *= 0.9
        return -loss.item()

    def held_out_value(self) -> float:
        """Its estimate on samples that are the same at every call, for its nominal constant 1.

        They are balanced, so that no look is lucky: its critic sways.
        """
        random = np.random.RandomState(HELD_OUT_SEED)
        x, y = (shell.held_out(1024, random) for shell in (self._distrib1, self._distrib2))
        with torch.no_grad():
            return float(self.critic(x).mean() - self.critic(y).mean())


class OriginalClassifier:
    """Its training of a classifier, a step at a time: 3 hidden layers of 1,024, MaxMin.

    Args:
        seed: Of weights.
    """

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        layers = (1024, 1024, 1024, 10)
        self.model = network(784, layers, OriginalMaxMin, safe_scaling=False)
        # Its version of torch knew this loop only.
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, foreach=False)

    def step(self, images: Tensor, labels: Tensor) -> float:
        """One training step; returns the cross entropy."""
        self._optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1e8)
        self._optimizer.step()
        return loss.item()


ABSOLUTE_VALUE = OriginalConfig(
    dim=1,
    layers=(128, 128, 1),
    activation=OriginalMaxMin,
    lr=0.01,
    milestones=(32, 64),
    epoch_len=16,
    epochs=225,
    max_grad_norm=10,
)
HIGH_DIMENSIONAL_CONE = OriginalConfig(
    dim=128,
    layers=(256, 256, 256, 256, 256, 256, 1),
    activation=OriginalFullSort,
    lr=0.005,
    milestones=(15, 30, 60, 90),
    epoch_len=128,
    epochs=150,
    max_grad_norm=1000,
)
THREE_CONES = OriginalConfig(
    dim=2,
    layers=(312, 312, 312, 1),
    activation=OriginalMaxMin,
    lr=0.01,
    milestones=(32, 64),
    epoch_len=16,
    epochs=600,
    max_grad_norm=10,
    centers=(-2.0, 0.0, 2.0),
)
