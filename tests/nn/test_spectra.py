import torch
from torch import nn

from lnets.nn import BCOPConv2d, BjorckLinear, FullyConnected, GroupSort, singular_values

# Of orthonormal weights in float32.
ROUNDING = 1e-5


def test_every_layer_is_there_by_its_name() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.Sequential(nn.ReLU(), BCOPConv2d(4, 6, 3, padding=1)),
        nn.Flatten(),
        BjorckLinear(96, 10),
    ).eval()
    found = singular_values(model)
    assert list(found) == ["0", "1.1", "3"]
    assert [len(values) for values in found.values()] == [64, 4 * 64, 10]
    for values in found.values():
        assert (values[:-1] >= values[1:]).all()
    torch.testing.assert_close(found["1.1"], torch.ones(4 * 64), rtol=0, atol=ROUNDING)
    torch.testing.assert_close(found["3"], torch.ones(10), rtol=0, atol=ROUNDING)


def test_they_are_of_effective_weights() -> None:
    model = FullyConnected(
        3, [8, 1], linear=BjorckLinear, activation=lambda _: GroupSort(2), l_constant=5.0
    ).eval()
    with torch.no_grad():
        model[1].weight.mul_(7)  # type: ignore[union-attr, operator]
    for values in singular_values(model).values():
        torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=ROUNDING)


def test_a_network_of_one_layer_has_a_name_too() -> None:
    assert list(singular_values(nn.Linear(2, 3))) == ["(root)"]
    assert singular_values(nn.Conv2d(4, 4, 3, groups=2)) == {}
