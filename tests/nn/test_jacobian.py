import pytest
import torch
from torch import Tensor, nn

from lnets.functional.jacobian import jacobian_spectra, jacobians, power_step
from lnets.nn import Abs, GroupSort, Householder, Maxout, NActivation, OrthogonalLinear
from lnets.nn.jacobian import SpectralJacobianPenalty, dead_unit_rates

THRESHOLDS = torch.linspace(0, 1, 5)


def network(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, classes)).double()


def inputs(batch: int = 5, size: int = 4) -> Tensor:
    return torch.randn(batch, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class TestPenalty:
    @pytest.mark.parametrize("classes", [1, 3, 17])
    def test_it_converges_to_its_oracle(self, classes: int) -> None:
        model, x, penalty = network(classes), inputs(), SpectralJacobianPenalty(classes).double()
        for _ in range(300):
            size = penalty(model, x)
        jacobian = jacobians(model, x)
        v = nn.functional.normalize(penalty.u @ jacobian, dim=1)
        oracle = torch.einsum("boi,bi->bo", jacobian, v).mean(0)
        assert torch.allclose(size, oracle.norm(), rtol=1e-9, atol=0)
        assert torch.allclose(penalty.u, oracle / oracle.norm(), rtol=0, atol=1e-6)
        assert size <= jacobian_spectra(model, x)[:, 0].mean() * (1 + 1e-12)

    def test_its_gradient_is_that_of_the_singular_value_once_converged(self) -> None:
        model, x, penalty = network(), inputs(1), SpectralJacobianPenalty(3).double()
        with torch.no_grad():
            for _ in range(500):
                penalty(model, x)
        penalty(model, x).backward()
        step = 1e-6
        for parameter in list(model.parameters())[:3]:
            assert parameter.grad is not None
            flat = parameter.data.view(-1)
            for i, expected in enumerate(parameter.grad.flatten().tolist()):
                kept, ends = float(flat[i]), []
                for moved in (kept + step, kept - step):
                    flat[i] = moved
                    ends.append(float(jacobian_spectra(model, x)[0, 0].detach()))
                flat[i] = kept
                # Central differences: step² and 1e-16 / step.
                assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, abs=1e-7)

    def test_training_with_it_makes_a_network_flatter(self) -> None:
        model, x, penalty = network(), inputs(), SpectralJacobianPenalty(3).double()
        before = float(jacobian_spectra(model, x)[:, 0].mean().detach())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(30):
            optimizer.zero_grad()
            (penalty(model, x) + model(x).square().mean()).backward()
            optimizer.step()
        assert float(jacobian_spectra(model, x)[:, 0].mean().detach()) < 0.5 * before

    def test_a_lipschitz_network_has_at_most_its_constant(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(OrthogonalLinear(4, 6), GroupSort(2), OrthogonalLinear(6, 3)).eval()
        penalty = SpectralJacobianPenalty(3)
        assert float(penalty(model, inputs().float()).detach()) <= 1 + 1e-6

    def test_u_is_saved_and_restored(self) -> None:
        model, x, penalty = network(), inputs(), SpectralJacobianPenalty(3).double()
        penalty(model, x)
        other = SpectralJacobianPenalty(3).double()
        other.load_state_dict(penalty.state_dict())
        assert torch.equal(other.u, penalty.u)
        assert not list(penalty.parameters())
        assert torch.equal(other(model, x), penalty(model, x))
        assert torch.equal(other.u, penalty.u)

    def test_u_moves_in_training_only(self) -> None:
        model, x, penalty = network(), inputs(), SpectralJacobianPenalty(3).double()
        kept = penalty.u.clone()
        size = penalty.eval()(model, x)
        assert torch.equal(penalty.u, kept)
        assert size.requires_grad
        assert torch.equal(penalty.train()(model, x), size)
        assert torch.equal(penalty.u, power_step(model, x, kept)[1])
        assert not torch.equal(penalty.u, kept)

    def test_nothing_to_penalize_is_refused(self) -> None:
        with pytest.raises(ValueError, match="`output_dim` must be whole and at least 1, got 0"):
            SpectralJacobianPenalty(0)


def identity(size: int) -> nn.Linear:
    linear = nn.Linear(size, size, bias=False)
    nn.init.eye_(linear.weight)
    return linear


# Units positive on 0, 1, 2, 3 and all of 4 samples; the last batch is smaller.
SIGNS = torch.tensor([[-1, 1, 1, 1, 1], [0, -1, 1, 1, 1], [0, 0, -1, 1, 1], [0, 0, 0, 0, 1]])
BATCHES = (SIGNS[:3].float(), SIGNS[3:].float())


class TestDeadUnits:
    def test_known_rates_with_an_uneven_last_batch(self) -> None:
        model = nn.Sequential(identity(5), nn.ReLU(), identity(5), nn.Tanh())
        rates = dead_unit_rates(model, BATCHES, THRESHOLDS)
        assert list(rates) == ["1", "3"]
        for rate in rates.values():
            assert torch.equal(rate, torch.tensor([1, 0.8, 0.6, 0.4, 0.2]))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_share_equal_to_its_threshold_reaches_it(self, dtype: torch.dtype) -> None:
        x = torch.where(torch.arange(10).unsqueeze(1) < torch.arange(11), 1.0, -1.0)
        thresholds = torch.arange(11, dtype=dtype) / 10
        rate = dead_unit_rates(nn.Sequential(nn.ReLU()), [x[:7], x[7:]], thresholds)["0"]
        assert rate.dtype == dtype
        assert torch.allclose(rate, torch.arange(11, 0, -1, dtype=dtype) / 11, rtol=0, atol=1e-6)

    @pytest.mark.parametrize(
        ("activation", "expected"),
        [
            # The fraction of units that are positive on (−1, 1).
            (GroupSort(2), 0.5),
            (Maxout(2), 1.0),
            (Householder(1), 0.5),
            (NActivation(2), 0.0),
            (Abs(), 1.0),
            (nn.ReLU(), 0.5),
            (nn.Tanh(), 0.5),
            (nn.Sigmoid(), 1.0),
        ],
        ids=str,
    )
    def test_every_activation_is_watched(self, activation: nn.Module, expected: float) -> None:
        x = torch.tensor([-1.0, 1.0]).repeat(3, 1)
        rates = dead_unit_rates(nn.Sequential(activation), [x], torch.tensor([1.0]))
        assert rates["0"].tolist() == [expected]

    def test_pixels_are_units(self) -> None:
        x = torch.full((2, 3, 2, 2), -1.0)
        x[:, 0] = 1
        x[0, 1, 0, 0] = 1
        rates = dead_unit_rates(nn.Sequential(nn.ReLU()), [x], torch.tensor([0.5, 1.0]))
        assert torch.allclose(rates["0"], torch.tensor([5 / 12, 4 / 12]))

    def test_a_module_that_runs_twice_has_an_entry_for_each(self) -> None:
        relu = nn.ReLU()
        narrow = nn.Linear(5, 1, bias=False)
        nn.init.constant_(narrow.weight, -1)
        rates = dead_unit_rates(nn.Sequential(relu, narrow, relu), BATCHES, torch.tensor([0.25]))
        assert {name: rate.tolist() for name, rate in rates.items()} == {
            "0": pytest.approx([0.8]),
            "0 (call 2)": [0],
        }

    def test_the_data_are_read_once_in_evaluation_mode(self) -> None:
        drop = nn.Dropout(0.9)
        model = nn.Sequential(drop, nn.ReLU()).train()
        rates = dead_unit_rates(model, iter([torch.ones(50, 4)]), torch.tensor([1.0]))
        assert rates["1"].tolist() == [1]

    def test_modes_and_hooks_are_as_before_even_after_an_error(self) -> None:
        model = nn.Sequential(nn.Dropout(), identity(5), nn.ReLU()).train()
        model[0].eval()
        dead_unit_rates(model, BATCHES, THRESHOLDS)
        with pytest.raises(RuntimeError):
            dead_unit_rates(model, [torch.ones(2, 4)], THRESHOLDS)
        assert [module.training for module in model.modules()] == [True, False, True, True]
        assert not any(module._forward_hooks for module in model.modules())
        dead_unit_rates(model.eval(), BATCHES, THRESHOLDS)
        assert not any(module.training for module in model.modules())

    def test_nothing_to_count_is_refused(self) -> None:
        with pytest.raises(ValueError, match="one of GroupSort, Maxout"):
            dead_unit_rates(identity(5), BATCHES, THRESHOLDS)
        for none in ([], [torch.ones(0, 5)]):
            with pytest.raises(ValueError, match="`batches` must have a sample"):
                dead_unit_rates(nn.Sequential(nn.ReLU()), none, THRESHOLDS)
