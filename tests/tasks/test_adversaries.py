"""A generator and a critic: what changes which of them."""

import copy
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from lnets.specs.gan import GanSpec
from lnets.tasks.adversaries import Adversaries
from tests.tasks.gans import CRITIC, NORMALIZED, TYPES, spec

CPU = torch.device("cpu")
N = 6


def adversaries(experiment: GanSpec) -> Adversaries:
    return Adversaries(experiment, 0, 100, CPU, compiled=False)


def noise(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def real() -> Tensor:
    return torch.rand(N, 1, 8, 8, generator=noise(9))


def generated(gan: Adversaries) -> Tensor:
    """What the generator makes of the noise that an update draws first."""
    with torch.no_grad():
        network = copy.deepcopy(gan.generator.replicas.network)
        return network(torch.rand(N, 4, generator=noise()))


@pytest.mark.parametrize("gan_type", TYPES)
def test_an_update_changes_one_of_them(gan_type: str) -> None:
    gan = adversaries(spec(gan_type))
    trainings = (gan.generator, gan.critic)
    draws = noise()
    for update, changes in (
        (lambda: gan.update_critic(real(), draws), 1),
        (lambda: gan.update_generator(N, draws), 0),
    ):
        before = [training.replicas.rows.clone() for training in trainings]
        update()
        same = [
            torch.equal(old, training.replicas.rows)
            for old, training in zip(before, trainings, strict=True)
        ]
        assert same == [position != changes for position in range(2)]


@pytest.mark.parametrize("gan_type", TYPES)
def test_the_critic_does_not_differentiate_the_generator(gan_type: str) -> None:
    gan = adversaries(spec(gan_type))
    tracked: list[bool] = []
    given: list[Tensor] = []

    def watch(_: Any, inputs: tuple[Tensor, ...], images: Tensor) -> None:
        tracked.append(images.requires_grad)
        given.append(inputs[0])

    gan.generator.replicas.network.register_forward_hook(watch)
    draws = noise()
    for _ in range(2):
        gan.update_critic(real(), draws)
        gan.update_generator(N, draws)
    assert tracked == [False, True, False, True]
    rows = {tuple(row.tolist()) for batch in given for row in batch}
    assert len(rows) == 4 * N, "every update has noise of its own"


@pytest.mark.parametrize("gan_type", ["WGAN", "LWGAN"])
def test_a_critic_lowers_the_generated_minus_the_real_mean(gan_type: str) -> None:
    gan = adversaries(spec(gan_type, optim={"type": "sgd", "lr": 0.05, "momentum": 0.0}))
    made = generated(gan)
    critic = copy.deepcopy(gan.critic.replicas.network)
    expected = critic(made).mean() - critic(real()).mean()
    assert gan.update_critic(real(), noise()).item() == pytest.approx(expected.item(), abs=1e-6)
    network = gan.critic.replicas.network
    if gan_type == "LWGAN":  # the other one has been clipped
        assert network(made).mean() - network(real()).mean() < expected


def test_batch_normalisation_sees_real_and_generated_images_apart() -> None:
    gan = adversaries(spec("WGAN", model=NORMALIZED))
    made, critic = generated(gan), copy.deepcopy(gan.critic.replicas.network)
    expected = critic(made).mean() - critic(real()).mean()
    mixed = copy.deepcopy(critic)(torch.cat((real(), made)))
    mixed = mixed[N:].mean() - mixed[:N].mean()
    assert not torch.isclose(mixed, expected, rtol=0.01)
    assert gan.update_critic(real(), noise()).item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("clip", [None, 0.003])
def test_weights_are_clipped_but_those_of_batch_normalisation(clip: float | None) -> None:
    gan = adversaries(spec("WGAN", model=NORMALIZED, clip=clip))
    gan.update_critic(real(), noise())
    for layer in gan.networks()["critic"]:
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert layer.weight.min() > 0.5
        elif isinstance(layer, (nn.Linear, nn.Conv2d)):
            bound = (clip or 0.01) + 1e-9
            assert max(layer.weight.abs().max(), layer.bias.abs().max()) <= bound


@pytest.mark.parametrize("penalty", [None, 3.0])
def test_a_penalty_is_on_the_norm_of_gradients(penalty: float | None) -> None:
    """Of a linear critic that norm is the same everywhere."""
    linear = {"type": "fully_connected", "layers": [1], "activation": "relu"}
    linear |= {"linear": {"type": "standard"}}
    gan = adversaries(spec("WGAN_GP", model=linear, gradient_penalty=penalty))
    made, critic = generated(gan), copy.deepcopy(gan.critic.replicas.network)
    (weight,) = (p for p in critic.parameters() if p.ndim == 2)
    difference = critic(made).mean() - critic(real()).mean()
    expected = difference + (penalty or 10.0) * (weight.norm() - 1) ** 2
    assert gan.update_critic(real(), noise()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_penalty_draws_slopes_towards_1() -> None:
    optim = {"type": "adam", "lr": 1e-3}
    gan = adversaries(spec("WGAN_GP", model=CRITIC, optim=optim, gradient_penalty=100.0))
    draws = noise()
    for _ in range(200):
        gan.update_critic(real(), draws)
    points = torch.lerp(real(), generated(gan), 0.5).requires_grad_()
    (slopes,) = torch.autograd.grad(gan.networks()["critic"](points).sum(), points)
    assert slopes.flatten(1).norm(dim=1).mean().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("gan_type", TYPES)
def test_a_generator_raises_what_the_critic_says(gan_type: str) -> None:
    optim = {"type": "sgd", "lr": 0.1, "momentum": 0.0}
    gan = adversaries(spec(gan_type, generator_optim=optim))
    losses = [gan.update_generator(N, noise()).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
