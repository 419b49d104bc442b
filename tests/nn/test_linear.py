"""What every Lipschitz linear layer must do."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from lnets.nn import BjorckLinear

# Converged float64 iterations on these sizes overshoot by less than this.
ROUNDING = 1e-12
SHAPES = [(5, 8), (8, 5), (1, 6), (6, 1)]


class TestBjorckLinear:
    @pytest.fixture(params=SHAPES, ids=str)
    def layer(self, request: pytest.FixtureRequest) -> BjorckLinear:
        torch.manual_seed(0)
        return BjorckLinear(*request.param, bjorck_iter=15)

    def sigma(self, layer: BjorckLinear) -> Tensor:
        return torch.linalg.svdvals(copy.deepcopy(layer).double().eval().effective_weight())

    def train(self, layer: BjorckLinear, steps: int) -> None:
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.05, weight_decay=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            layer(torch.randn(16, layer.in_features)).square().sum().backward()
            optimizer.step()

    def test_it_is_orthonormal_before_and_after_training(self, layer: BjorckLinear) -> None:
        for steps in (0, 50):
            self.train(layer, steps)
            sigma = self.sigma(layer)
            assert sigma.max() <= 1 + ROUNDING
            assert sigma.min() >= 1 - 1e-6

    def test_evaluation_keeps_the_weight_until_it_changes(self, layer: BjorckLinear) -> None:
        x = torch.randn(3, layer.in_features)
        self.train(layer, 1)
        trained = layer(x)
        layer.eval()
        with torch.no_grad():
            kept = layer.effective_weight()
            assert layer.effective_weight() is kept
            assert torch.equal(layer(x), trained)
            layer.weight.mul_(2).add_(0.1)
            changed = layer.effective_weight()
        assert changed is not kept
        assert not torch.equal(changed, kept)

    def test_evaluation_keeps_no_weight_of_another_dtype(self, layer: BjorckLinear) -> None:
        layer.eval()
        with torch.no_grad():
            layer.effective_weight()
            assert layer.double().effective_weight().dtype == torch.float64

    def test_gradients_flow_in_evaluation_too(self, layer: BjorckLinear) -> None:
        layer.eval()
        with torch.no_grad():
            layer.effective_weight()
        layer(torch.randn(2, layer.in_features)).sum().backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad.abs().sum() > 0

    def test_it_can_be_copied_and_stored(self, layer: BjorckLinear) -> None:
        layer.eval()
        x = torch.randn(3, layer.in_features)
        with torch.no_grad():
            expected = layer(x)
            fresh = BjorckLinear(layer.in_features, layer.out_features, bjorck_iter=15).eval()
            fresh.load_state_dict(layer.state_dict())
            for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh):
                assert torch.equal(other(x), expected)
        plain = nn.Linear(layer.in_features, layer.out_features)
        assert {k: v.shape for k, v in layer.state_dict().items()} == {
            k: v.shape for k, v in plain.state_dict().items()
        }

    def test_a_layer_without_bias(self) -> None:
        layer = BjorckLinear(4, 3, bias=False)
        assert torch.equal(layer(torch.zeros(2, 4)), torch.zeros(2, 3))
