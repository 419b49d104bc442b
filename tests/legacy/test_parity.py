"""Faithful experiments give the original's numbers."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.original_gan import BATCH, NOISE, OriginalGan
from lnets.build import (
    build_classifier,
    build_critic,
    build_distribution,
    build_loss,
    build_projection,
    build_projections,
)
from lnets.data.optima import known_optimum
from lnets.functional.group_sort import group_sort
from lnets.functional.projections import l1_sphere_rows, project_l1_ball_rows, scale_l1_rows
from lnets.legacy.experiment import import_file
from lnets.nn import SpectralJacobianPenalty
from lnets.nn.original import (
    OriginalBjorckConv2d,
    OriginalBjorckLinear,
    OriginalSpectralNormLinear,
)
from lnets.specs.classification import ClassificationSpec
from lnets.specs.gan import GanSpec
from lnets.specs.layers import BjorckLinearSpec
from lnets.specs.projections import L2ProjectionSpec
from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks.adversaries import Adversaries
from lnets.tasks.training import Training
from tests.legacy.configurations import CLASSIFIERS, DUAL, LENETS, file
from tests.legacy.original import Original, on_l1_sphere

# Steps are compared in float64: the first steps of Adam make much of the roundings of gradients.
PARITY = 1e-5
STEPS = 3
SMALL = "model.layers=[32,24,16,10]"
# Without the two whose masks or second derivatives are drawn or kept by tasks, told apart below.
STEPPED = tuple(name for name in CLASSIFIERS if "dropout" not in name)


def parameters(model: nn.Module, *, max_min: bool) -> list[Tensor]:
    """Weights and biases; columns in the order of the original's MaxMin, if that is between."""
    found = [p.detach().clone() for p in model.parameters()]
    for i in range(2, len(found), 2):
        if max_min:
            width = found[i].shape[1]
            found[i] = found[i][:, [*range(1, width, 2), *range(0, width, 2)]]
    return found


def config_of(name: str, **model: Any) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(file(name).read_text())
    config["model"] |= model
    return config


def training_of(spec: WassersteinSpec | ClassificationSpec, model: nn.Module) -> Training:
    return Training(
        [model.double()],
        [spec.optim],
        projections=build_projections(spec),
        steps=10**6,
        compiled=False,
    )


def states(model: nn.Module) -> list[Tensor]:
    modules = model.modules()
    return [m.u.clone() for m in modules if isinstance(m, OriginalSpectralNormLinear)]


def assert_equal(training: Training, original: Original, *, max_min: bool) -> None:
    ours = parameters(training.model(0), max_min=max_min)
    for mine, its in zip(ours, original.weights, strict=True):
        torch.testing.assert_close(mine, its.detach(), rtol=PARITY, atol=PARITY)


@pytest.mark.parametrize("name", DUAL)
def test_critics_take_the_originals_steps(name: str) -> None:
    config = config_of(name)
    spec = import_file(file(name), faithful=True).main.experiment
    assert isinstance(spec, WassersteinSpec)
    torch.manual_seed(0)
    training = training_of(spec, build_critic(spec.model, spec.distrib1.shape, faithful=True))
    max_min = config["model"]["activation"] == "maxmin"
    original = Original(config, parameters(training.model(0), max_min=max_min), [])
    signs = torch.tensor([-1.0, 1.0]).double().repeat_interleave(32).unsqueeze(1) / 32
    for _ in range(STEPS):
        x, y = torch.randn(2, 32, spec.distrib1.size).double()
        values = training.replicas(torch.cat((x, y)).unsqueeze(0))
        loss = original.separate(x, y)
        assert float((values[0].detach() * signs).sum()) == pytest.approx(float(loss), abs=PARITY)
        training.update(values, signs.expand_as(values))
        assert_equal(training, original, max_min=max_min)


@pytest.mark.parametrize("name", [*STEPPED, *LENETS])
def test_classifiers_take_the_originals_steps(name: str) -> None:
    small = [] if name in LENETS else [SMALL]
    config = config_of(name) if name in LENETS else config_of(name, layers=[32, 24, 16, 10])
    spec = import_file(file(name), small, faithful=True).main.experiment
    assert isinstance(spec, ClassificationSpec)
    torch.manual_seed(0)
    training = training_of(spec, build_classifier(spec.model, None, (1, 28, 28), faithful=True))
    max_min = config["model"]["activation"] == "maxmin"
    model = training.model(0)
    original = Original(config, parameters(model, max_min=max_min), states(model))
    loss = build_loss(spec.loss, spec.lipschitz_constant())
    penalty = SpectralJacobianPenalty(10).double()
    for _ in range(STEPS):
        x, labels = torch.rand(64, 1, 28, 28).double(), torch.randint(10, (64,))
        losses = loss(training.replicas(x.unsqueeze(0)), labels.unsqueeze(0)).mean(dim=1)
        u = penalty.u.clone()
        if spec.spectral_jacobian:
            network = training.replicas.network
            losses = losses + spec.spectral_jacobian * penalty(network, x)
        wanted = float(original.classify(x, labels, u))
        assert float(losses.detach()) == pytest.approx(wanted, rel=PARITY)
        training.update(losses, torch.ones_like(losses))
        assert_equal(training, original, max_min=max_min)


@pytest.fixture
def _float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.slow
@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("name", ["train_GAN", "train_LWGAN"])
def test_gans_take_the_originals_steps(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = import_file(file(name), faithful=True).main.experiment
    assert isinstance(spec, GanSpec)
    if isinstance(linear := getattr(spec.model, "linear", None), BjorckLinearSpec):
        # Twelve iterations of its largest layer take seconds.
        monkeypatch.setattr("benchmarks.original_gan._LINEAR_ITER", 2)
        linear = linear.model_copy(update={"bjorck_iter": 2})
        model = spec.model.model_copy(update={"linear": linear})
        spec = spec.model_copy(update={"model": model})
    monkeypatch.setattr(Training, "__call__", lambda self, batch: self.replicas(batch))
    gan = Adversaries(spec, 0, 100, torch.device("cpu"), compiled=False)
    original = OriginalGan(spec.gan_type, tmp_path)
    own = {"generator": original._generator, "critic": original._critic}
    for part, module in own.items():
        theirs = parameters(gan.networks()[part], max_min=False)
        for target, weight in zip(module.parameters(), theirs, strict=True):
            target.data.copy_(_reordered(spec, part, weight))
    # The generator learns in the fifth step; the critic of an LWGAN takes seconds for each.
    for k in range(5 if spec.gan_type == "WGAN" else 1):
        real = torch.rand(BATCH, 1, 28, 28)
        torch.manual_seed(k)
        original.step(2 * real - 1)
        torch.manual_seed(k)
        z = torch.rand(BATCH, NOISE)
        monkeypatch.setattr(gan, "_noise", lambda *_, z=z: z.unsqueeze(0))
        gan.update_critic(real, torch.Generator())
        if k == 4:
            gan.update_generator(BATCH, torch.Generator())
    for part, module in own.items():
        ours = parameters(gan.networks()[part], max_min=False)
        for target, weight in zip(module.parameters(), ours, strict=True):
            expected = _reordered(spec, part, weight)
            torch.testing.assert_close(target.detach(), expected, rtol=PARITY, atol=PARITY)


def _reordered(spec: GanSpec, part: str, weight: Tensor) -> Tensor:
    """A weight of ours for the order of channels that the original's MaxMin gives."""
    if part == "generator" or spec.gan_type == "WGAN" or weight.ndim == 1 or weight.shape[1] == 1:
        return weight
    channels = 128 if weight.shape[1] == 6272 else weight.shape[1]
    grouped = weight.unflatten(1, (channels, -1))
    order = [*range(1, channels, 2), *range(0, channels, 2)]
    return grouped[:, order].reshape(weight.shape)


class TestOracles:
    """Numbers that the original's own functions have given."""

    @pytest.mark.parametrize(
        ("order", "expected"),
        [
            (1, (0.4365, 0.9855, 0.936)),
            (2, (0.52966125, 0.99768375, 1.02312)),
            (3, (0.60030853125, 0.99961284375, 0.991176)),
            (4, (0.65656142894531, 0.99993355558594, 1.00347444)),
        ],
    )
    def test_one_iteration(self, order: int, expected: tuple[float, ...]) -> None:
        spec = L2ProjectionSpec(type="l_2", bjorck_iter=1, bjorck_order=order)
        project = build_projection(spec, faithful=True)
        start = torch.diag(torch.tensor([0.3, 0.9, 1.2], dtype=torch.float64))
        wanted = torch.diag(torch.tensor(expected, dtype=torch.float64))
        torch.testing.assert_close(project(start), wanted, rtol=0, atol=1e-13)

    def test_rows(self) -> None:
        rows = torch.tensor([[0.1, 0.0, -0.2], [2.0, 0.0, -1.0]])
        for found, wanted in (
            (l1_sphere_rows(rows, zeros_grow=True), [[1 / 3, 7 / 30, -13 / 30], [1, 0, 0]]),
            (l1_sphere_rows(rows, zeros_grow=False), [[1 / 3, 0, -13 / 30], [1, 0, 0]]),
            (scale_l1_rows(rows, scale_all=True), [[1 / 3, 0, -2 / 3], [2 / 3, 0, -1 / 3]]),
            (scale_l1_rows(rows, scale_all=False), [[0.1, 0, -0.2], [2 / 3, 0, -1 / 3]]),
            (project_l1_ball_rows(rows), [[0.1, 0, -0.2], [1, 0, 0]]),
        ):
            torch.testing.assert_close(found, torch.tensor(wanted), rtol=0, atol=PARITY)
        for zeros_grow in (True, False):
            ours = l1_sphere_rows(rows, zeros_grow=zeros_grow)
            torch.testing.assert_close(ours, on_l1_sphere(rows, zeros_grow=zeros_grow))

    def test_groups(self) -> None:
        """What steps are compared with has the original's order; ours is a permutation of it."""
        original = Original(config_of("absolute_value_experiment"), [], [])
        for inputs, size, wanted in (
            ([4.0, 1, 3, 2], 2, [4, 3, 1, 2]),
            ([1.0, 5, 3, 4, 2, 6], 3, [5, 6, 1, 2]),
        ):
            found = original._activation(torch.tensor([inputs]), size)
            assert found.tolist() == [wanted]
        x = torch.randn(3, 8)
        ours = group_sort(x, 2)
        assert torch.equal(ours[:, [1, 3, 5, 7, 0, 2, 4, 6]], original._activation(x, 2))

    @pytest.mark.parametrize("name", DUAL)
    def test_distances_are_1(self, name: str) -> None:
        spec = import_file(file(name)).main.experiment
        assert isinstance(spec, WassersteinSpec)
        shells = [
            build_distribution(d, torch.device("cpu")) for d in (spec.distrib1, spec.distrib2)
        ]
        found = known_optimum(*shells)
        assert found is not None
        assert found.distance == pytest.approx(1, abs=PARITY)

    @pytest.mark.parametrize(("sizes", "wanted"), [((784, 64), 784), ((64, 10), 64)])
    def test_initial_weights(self, sizes: tuple[int, int], wanted: int) -> None:
        layer = OriginalBjorckLinear(*sizes)
        sigma = torch.linalg.svdvals(layer.weight.detach())
        expected = torch.full_like(sigma, 1 / math.sqrt(wanted))
        torch.testing.assert_close(sigma, expected, rtol=PARITY, atol=0)
        assert layer.bias is not None
        assert float(layer.bias.detach().abs().max()) <= 1 / math.sqrt(wanted)

    @pytest.mark.parametrize(
        ("sizes", "iterations", "sigma", "tolerance"),
        [
            ((128, 128), 20, 0.995, 1e-3),
            ((312, 312), 20, 0.550, 1e-3),
            ((256, 256), 20, 0.69, 5e-3),
            pytest.param((3072, 720), 27, 0.61, 5e-3, marks=pytest.mark.slow),
            pytest.param((1568, 1024), 12, 2.5858e-3, 1e-7, marks=pytest.mark.slow),
        ],
    )
    def test_safe_scaling_does_not_converge(
        self, sizes: tuple[int, int], iterations: int, sigma: float, tolerance: float
    ) -> None:
        layer = OriginalBjorckLinear(*sizes, bjorck_iter=iterations, safe_scaling=True)
        with torch.no_grad():
            weight = layer.effective_weight()
        found = float(torch.linalg.matrix_norm(weight, 2))
        assert found == pytest.approx(sigma, abs=tolerance)
        step = 1 / math.sqrt(sizes[0]) / math.sqrt(math.prod(sizes))
        for _ in range(iterations):
            step = 1.5 * step - 0.5 * step**3
        assert found == pytest.approx(step, rel=1e-4)

    def test_convolutions_are_not_divided_by_their_overlap(self) -> None:
        torch.manual_seed(0)
        layer = OriginalBjorckConv2d(1, 10, 5)
        with torch.no_grad():
            kernel = layer.effective_weight()
        assert float(torch.linalg.matrix_norm(kernel.flatten(1), 2)) <= 1 + 1e-6
        frequencies = torch.fft.rfft2(kernel, (64, 64)).abs().square().sum(dim=0).amax().sqrt()
        assert float(frequencies) > 2

    def test_losses_at_the_start(self) -> None:
        torch.manual_seed(0)
        x, labels = torch.rand(128, 1, 28, 28), torch.randint(10, (128,))
        for name, low, high in (
            ("fc_classification", 2.302, 2.316),
            ("fc_classification_l_inf_margin", 269.9, 270.1),
        ):
            spec = import_file(file(name), faithful=True).main.experiment
            assert isinstance(spec, ClassificationSpec)
            model = build_classifier(spec.model, None, (1, 28, 28), faithful=True)
            loss = build_loss(spec.loss, spec.lipschitz_constant())
            with torch.no_grad():
                assert low < float(loss(model(x), labels).mean()) < high
