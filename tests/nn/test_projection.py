from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lnets.functional.orthonormalize import bjorck_iteration, spectral_scale
from lnets.functional.polar import polar
from lnets.nn import BCOPConv2d, BjorckConv2d, BjorckLinear, LInfProjectedConv2d, OrthogonalLinear
from lnets.nn.projection import (
    ProjectionSchedule,
    l_2,
    l_inf_projected,
    l_inf_scaled,
    project_weights_,
    projection,
)
from lnets.optim.aggmo import AggMo

SHAPES = [(1, 1), (3, 5), (5, 3), (4, 4), (1, 6), (6, 1)]
# Sums of a few float64 products, some iterations long.
ROUNDING = 1e-12


def normal(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def bits(weight: Tensor) -> Tensor:
    return weight.detach().contiguous().view(torch.int64)


class TestL2:
    @given(
        shape=st.sampled_from(SHAPES),
        size=st.sampled_from([1e-3, 0.3, 1.0, 2.0, 1e6, 1e30]),
        order=st.integers(1, 4),
        seed=st.integers(0, 100),
    )
    @settings(max_examples=40)
    def test_it_converges_to_the_polar_factor_from_anywhere(
        self, shape: tuple[int, int], size: float, order: int, seed: int
    ) -> None:
        weight = normal(shape, seed) * size
        singular = torch.linalg.svdvals(weight)
        assume(singular[-1] > 1e-6 * max(1, singular[0]))  # not too far from 1 for the iterations
        found = l_2(weight, bjorck_iter=80, bjorck_order=order)
        assert torch.allclose(found, polar(weight), rtol=0, atol=1e-6)

    @given(
        shape=st.sampled_from(SHAPES),
        size=st.sampled_from([0.1, 1.0, 100.0]),
        iterations=st.integers(0, 5),
        beta=st.sampled_from([0.1, 0.5, 0.7, 0.99]),
        seed=st.integers(0, 100),
    )
    @settings(max_examples=40)
    def test_norms_stay_bounded(
        self, shape: tuple[int, int], size: float, iterations: int, beta: float, seed: int
    ) -> None:
        found = l_2(normal(shape, seed) * size, bjorck_iter=iterations, bjorck_beta=beta)
        bound = 1.09 if beta > 0.5 else 1 + ROUNDING
        assert torch.linalg.matrix_norm(found, ord=2) <= bound

    def test_a_matrix_inside_is_drawn_outwards_without_any_scale(self) -> None:
        weight = normal((3, 5)) * 0.1
        assert spectral_scale(weight) < 1
        assert torch.equal(l_2(weight, bjorck_iter=1), bjorck_iteration(weight))
        assert (
            torch.linalg.svdvals(l_2(weight, bjorck_iter=1))[-1] > torch.linalg.svdvals(weight)[-1]
        )

    def test_only_a_bound_above_one_is_divided_out(self) -> None:
        weight = normal((5, 3)) * 10
        scale = spectral_scale(weight.mT)
        expected = bjorck_iteration(weight.mT / scale).mT
        assert torch.allclose(l_2(weight, bjorck_iter=1), expected, rtol=0, atol=ROUNDING)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_an_orthonormal_matrix_stays(self, shape: tuple[int, int]) -> None:
        weight = polar(normal(shape))
        assert torch.allclose(l_2(weight), weight, rtol=0, atol=ROUNDING)

    def test_a_zero_matrix_stays(self) -> None:
        assert not l_2(torch.zeros(2, 3)).any()

    @pytest.mark.parametrize("beta", [0.0, 1.0, -0.5, float("nan")])
    def test_a_diverging_step_is_refused(self, beta: float) -> None:
        with pytest.raises(ValueError, match=r"`bjorck_beta` must be in \(0, 1\)"):
            l_2(torch.eye(2), bjorck_beta=beta)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"bjorck_iter": -1}, "`bjorck_iter` must be whole and at least 0, got -1"),
            ({"bjorck_order": 5}, "`order` must be 1, 2, 3 or 4, got 5"),
            ({"bjorck_order": 2, "bjorck_beta": 0.4}, "must be 0.5 for order 2"),
        ],
    )
    def test_other_options_are_refused_before_any_update(
        self, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            projection("l_2", **options)


class TestRows:
    @given(shape=st.sampled_from(SHAPES), scale_all=st.booleans(), seed=st.integers(0, 100))
    @settings(max_examples=20)
    def test_twice_is_once(self, shape: tuple[int, int], scale_all: bool, seed: int) -> None:
        weight = normal(shape, seed)
        once = l_inf_projected(weight)
        assert torch.allclose(l_inf_projected(once), once, rtol=0, atol=ROUNDING)
        once = l_inf_scaled(weight, scale_all=scale_all)
        assert torch.allclose(l_inf_scaled(once, scale_all=scale_all), once, rtol=0, atol=ROUNDING)

    @pytest.mark.parametrize("type_", ["l_inf_projected", "l_inf_scaled"])
    def test_rows_inside_keep_every_bit(self, type_: str) -> None:
        layer = nn.Linear(4, 3, dtype=torch.float64)
        layer.weight.data = torch.tensor(
            [[0.1, -0.0, -0.2, 0.3], [3, -1, 0, 2], [0, 0, 0, 0]], dtype=torch.float64
        )
        before = layer.weight.detach().clone()
        project_weights_(layer, type_)
        assert torch.equal(bits(layer.weight[::2]), bits(before[::2]))
        assert float(layer.weight[1].abs().sum().detach()) == pytest.approx(1, abs=ROUNDING)

    def test_scale_all_lets_rows_grow(self) -> None:
        layer = nn.Linear(2, 1)
        layer.weight.data = torch.tensor([[0.25, -0.25]])
        project_weights_(layer, "l_inf_scaled", scale_all=True)
        assert layer.weight.tolist() == [[0.5, -0.5]]


def everything() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        BjorckConv2d(4, 4, 2),
        LInfProjectedConv2d(4, 4, 2),
        nn.Sequential(nn.Flatten(), nn.Linear(16, 5)),
        BjorckLinear(5, 5),
        nn.LayerNorm(5),
    ).double()
    for parameter in model.parameters():
        parameter.data.mul_(3)
    return model


OPTIONS: dict[str, dict[str, Any]] = {
    "l_2": {"bjorck_iter": 4, "bjorck_order": 2},
    "l_inf_projected": {},
    "l_inf_scaled": {"scale_all": True},
}


class TestModels:
    @pytest.mark.parametrize("type_", OPTIONS)
    def test_linear_layers_and_convolutions_are_projected_and_nothing_else(
        self, type_: str
    ) -> None:
        model, untouched = everything(), everything()
        identities = [id(p) for p in model.parameters()]
        project_weights_(model, type_, **OPTIONS[type_])
        project = projection(type_, **OPTIONS[type_])
        assert [id(p) for p in model.parameters()] == identities
        before = dict(untouched.named_parameters())
        changed = 0
        for name, after in model.named_parameters():
            expected: Tensor = before[name]
            if expected.ndim > 1:
                expected = project(expected.flatten(1)).view_as(expected)
                changed += 1
            assert torch.equal(after, expected)
        assert changed == 5

    def test_convolutions_are_orthonormal_as_matrices(self) -> None:
        model = everything()
        project_weights_(model, bjorck_iter=60)
        for module in (model[0], model[1]):
            weight = module.weight
            assert isinstance(weight, Tensor)
            matrix = weight.detach().flatten(1)
            eye = torch.eye(len(matrix), dtype=torch.float64)
            assert torch.allclose(matrix @ matrix.mT, eye, rtol=0, atol=1e-9)

    @pytest.mark.parametrize(
        "layer", [OrthogonalLinear(4, 4), BCOPConv2d(4, 4, 2)], ids=["retract", "bcop"]
    )
    def test_layers_whose_weight_is_no_free_matrix_are_left_alone(self, layer: nn.Module) -> None:
        before = [p.detach().clone() for p in layer.parameters()]
        project_weights_(layer, "l_inf_projected")
        assert all(map(torch.equal, before, layer.parameters()))

    def test_a_shared_weight_is_projected_once(self) -> None:
        torch.manual_seed(0)
        first, second = nn.Linear(3, 3), nn.Linear(3, 3)
        second.weight = first.weight
        expected = l_2(first.weight.detach(), bjorck_iter=1)
        project_weights_(nn.Sequential(first, second), bjorck_iter=1)
        assert torch.equal(first.weight, expected)

    def test_a_parametrized_weight_is_left_alone(self) -> None:
        layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
        before = [p.detach().clone() for p in layer.parameters()]
        project_weights_(layer)
        assert all(map(torch.equal, before, layer.parameters()))

    def test_evaluation_sees_the_projected_weight(self) -> None:
        layer = LInfProjectedConv2d(2, 2, 2).eval()
        layer.weight.data.mul_(100)
        with torch.no_grad():
            layer.effective_weight()
            project_weights_(layer, "l_inf_scaled")
            # The projection of a row on the ball's surface is that row, up to rounding.
            assert torch.allclose(layer.effective_weight(), layer.weight, rtol=0, atol=1e-6)

    def test_unknown_words_are_refused(self) -> None:
        with pytest.raises(
            ValueError, match="one of l_2, l_inf_projected, l_inf_scaled, got 'l_1'"
        ):
            project_weights_(nn.ReLU(), "l_1")
        with pytest.raises(TypeError, match="bjorck_iters"):
            project_weights_(nn.ReLU(), "l_2", bjorck_iters=3)


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, weight: Tensor) -> Tensor:
        self.count += 1
        return weight


class TestSchedule:
    def test_each_projection_has_its_times(self) -> None:
        update, epoch_ = Counter(), Counter()
        schedule = ProjectionSchedule(per_update=update, per_epoch=epoch_, every_n_epochs=3)
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        counts = []
        for epoch in range(8):
            schedule.start_epoch(epoch, model, optimizer)
            counts.append(epoch_.count)
            for _ in range(2):
                schedule.after_update(model)
        assert counts == [0, 0, 0, 1, 1, 1, 2, 2]
        assert update.count == 16

    def test_nothing_asked_for_is_nothing_done(self) -> None:
        model = nn.Linear(2, 2)
        before = model.weight.detach().clone()
        optimizer = self.trained(model, torch.optim.Adam(model.parameters(), lr=0))
        schedule = ProjectionSchedule(reset_optimizer=True)
        schedule.after_update(model)
        schedule.start_epoch(1, model, optimizer)
        assert torch.equal(model.weight, before)
        assert optimizer.state

    def trained(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        optimizer.zero_grad()
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
        return optimizer

    @pytest.mark.parametrize("name", ["adam", "sgd", "aggmo"])
    @pytest.mark.parametrize("reset", [True, False])
    def test_state_is_reset_and_the_learning_rate_stays(self, name: str, reset: bool) -> None:
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        optimizer: torch.optim.Optimizer = {
            "adam": lambda: torch.optim.Adam(model.parameters(), lr=0.1),
            "sgd": lambda: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
            "aggmo": lambda: AggMo(model.parameters(), lr=0.1),
        }[name]()
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        self.trained(model, optimizer)
        scheduler.step()
        assert optimizer.state
        schedule = ProjectionSchedule(per_epoch=projection("l_2"), reset_optimizer=reset)
        schedule.start_epoch(0, model, optimizer)
        assert optimizer.state
        schedule.start_epoch(1, model, optimizer)
        assert bool(optimizer.state) is not reset
        assert optimizer.param_groups[0]["lr"] == 0.05
        assert optimizer.param_groups[0]["params"] == list(model.parameters())
        # The same optimizer goes on, and its scheduler with it.
        self.trained(model, optimizer)
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == 0.025
        assert optimizer.state

    def test_adagrad_is_not_left_without_the_state_it_needs(self) -> None:
        model = nn.Linear(2, 2)
        optimizer = torch.optim.Adagrad(model.parameters())
        schedule = ProjectionSchedule(per_epoch=projection(), reset_optimizer=True)
        with pytest.raises(TypeError, match="Adagrad cannot step without its state"):
            schedule.start_epoch(1, model, optimizer)

    def test_no_interval_is_refused(self) -> None:
        with pytest.raises(
            ValueError, match="`every_n_epochs` must be whole and at least 1, got 0"
        ):
            ProjectionSchedule(every_n_epochs=0)
