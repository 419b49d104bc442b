from fractions import Fraction

import pytest
import torch
from torch import nn

from lnets.nn import Normalize, certify, empirical_lipschitz, evaluation_error, to_plain
from lnets.nn.certificate import Norm

MEAN, STD = (0.1, 0.5), (0.3, 0.7)


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 2, 3, 3, generator=torch.Generator().manual_seed(0))


def test_every_channel_has_its_own_numbers() -> None:
    x = images()
    y = Normalize(MEAN, STD)(x)
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        torch.testing.assert_close(y[:, channel], (x[:, channel] - mean) / std)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_counts_in_the_certificate(norm: Norm) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Normalize(MEAN, STD), nn.Flatten(), nn.Linear(18, 4)).double().eval()
    alone = certify(model[0], norm=norm).lipschitz_upper_bound
    steepest = 1 / float(torch.tensor(0.3).double())
    assert steepest < alone <= steepest * (1 + 1e-15)
    rest = certify(model[1:].eval(), norm=norm).lipschitz_upper_bound
    whole = certify(model, (2, 3, 3), norm=norm).lipschitz_upper_bound
    assert alone * rest <= whole <= alone * rest * (1 + 1e-14)
    assert rest < empirical_lipschitz(model, images(), norm=norm) <= whole


def test_it_is_in_the_plain_export() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Normalize(MEAN, STD), nn.Flatten(), nn.Linear(18, 4)).eval()
    plain = to_plain(model, images())
    assert isinstance(plain[0], Normalize)
    assert torch.equal(plain[0].mean, model[0].mean)
    assert plain[0].mean.data_ptr() != model[0].mean.data_ptr()
    assert set(model.state_dict()) == {"0.mean", "0.std", "2.weight", "2.bias"}


def test_its_rounding_is_within_the_error_bound() -> None:
    """Beside rational numbers, which have no rounding."""
    layer = Normalize(MEAN, STD).double().eval()
    x = images(40).double()
    computed = layer(x)
    largest = 0.0
    for sample, outputs in zip(x, computed, strict=True):
        squared = Fraction(0)
        for channel in range(2):
            mean, std = (Fraction(float(v.flatten()[channel])) for v in (layer.mean, layer.std))
            pairs = zip(sample[channel].flatten(), outputs[channel].flatten(), strict=True)
            squared += sum(
                (Fraction(float(y)) - (Fraction(float(p)) - mean) / std) ** 2 for p, y in pairs
            )
        largest = max(largest, float(squared) ** 0.5)
    assert 0 < largest <= evaluation_error(layer, x) < 1e-13


@pytest.mark.parametrize(
    ("mean", "std"),
    [([0.0], [1.0, 1.0]), ([0.0], [0.0]), ([0.0], [-1.0]), ([float("nan")], [1.0]),
     ([0.0], [float("inf")]), ([0.0], [1e-60])],
)  # fmt: skip
def test_numbers_without_a_meaning_are_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(ValueError, match="`mean` and `std` must be as many finite numbers"):
        Normalize(mean, std)
