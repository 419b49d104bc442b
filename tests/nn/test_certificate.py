import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lnets.nn import (
    Abs,
    BCOPConv2d,
    BjorckConv2d,
    BjorckLinear,
    EffectiveWeight,
    FullyConnected,
    GroupSort,
    Householder,
    LInfProjectedConv2d,
    LInfProjectedLinear,
    Maxout,
    NActivation,
    OrthogonalLinear,
    ParsevalL2Linear,
    Residual,
    Scale,
    SpectralNormLinear,
    certify,
    empirical_lipschitz,
    evaluation_error,
    to_plain,
)
from lnets.nn.certificate import Norm

ACTIVATIONS = {
    "maxmin": lambda: GroupSort(2),
    "full sort": lambda: GroupSort(6),
    "maxout": lambda: Maxout(3),
    "abs": Abs,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
    "householder": lambda: Householder(3),
    "n_activation": lambda: NActivation(6),
}
LINEAR = {
    "standard": nn.Linear,
    "bjorck": BjorckLinear,
    "orthogonal": OrthogonalLinear,
    "l_inf_projected": LInfProjectedLinear,
    "spectral_normal": SpectralNormLinear,
    "parseval_l2": ParsevalL2Linear,
}


def network(linear: type[nn.Module], activation: str, l_constant: float = 1.0) -> nn.Module:
    shrink = [3, 3] if activation == "maxout" else None
    return FullyConnected(
        4,
        [6, 6, 2],
        linear=linear,
        activation=lambda _: ACTIVATIONS[activation](),
        shrink=shrink,
        l_constant=l_constant,
    ).double()


@given(
    linear=st.sampled_from(sorted(LINEAR)),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    l_constant=st.sampled_from([0.5, 1.0, 7.0]),
    norm=st.sampled_from(["l2", "linf"]),
    seed=st.integers(0, 100),
)
@settings(max_examples=60)
def test_no_search_finds_a_steeper_place_than_the_certificate(
    linear: str, activation: str, l_constant: float, norm: Norm, seed: int
) -> None:
    torch.manual_seed(seed)
    model = network(LINEAR[linear], activation, l_constant).eval()
    found = empirical_lipschitz(model, torch.randn(100, 4) * 3, norm=norm, steps=10)
    assert 0 < found <= certify(model, norm=norm).lipschitz_upper_bound


@pytest.mark.parametrize("linear", sorted(LINEAR))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_plain_twin_has_the_same_function_and_certificate(linear: str, activation: str) -> None:
    torch.manual_seed(0)
    model = network(LINEAR[linear], activation).float().eval()
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(8, 4)
    plain = to_plain(model, x)
    assert not any(isinstance(module, EffectiveWeight) for module in plain.modules())
    assert certify(plain).lipschitz_upper_bound == certify(model).lipschitz_upper_bound
    exported = torch.export.export(plain, (x,)).module()
    assert torch.allclose(exported(x), model(x), atol=1e-6)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


CONVOLUTIONS = {
    "bjorck": lambda i, o, **k: BjorckConv2d(i, o, 3, **k),
    "bcop": lambda i, o, **k: BCOPConv2d(i, o, 3, **k),
    "l_inf_projected": lambda i, o, **k: LInfProjectedConv2d(i, o, 3, **k),
    "plain": lambda i, o, **k: nn.Conv2d(i, o, 3, **k),
}


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_images_are_certified_and_made_plain(name: str, padding_mode: str, norm: Norm) -> None:
    torch.manual_seed(0)
    make = CONVOLUTIONS[name]
    model = nn.Sequential(
        make(1, 4, padding=1, padding_mode=padding_mode),
        GroupSort(2, axis=1),
        nn.MaxPool2d(2),
        make(4, 4, padding=1, padding_mode=padding_mode),
        nn.AvgPool2d(3, 1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()
    x = torch.randn(40, 1, 6, 6)
    certificate = certify(model, (1, 6, 6), norm=norm)
    found = empirical_lipschitz(model, x, norm=norm, steps=5)
    assert 0 < found <= certificate.lipschitz_upper_bound
    plain = to_plain(model, x)
    assert not any(isinstance(module, EffectiveWeight) for module in plain.modules())
    assert certify(plain, (1, 6, 6), norm=norm).layers[0].bound == certificate.layers[0].bound
    error = evaluation_error(model.double(), x.double())
    assert 0 < error < 1e-10
    if (name, norm) in (("bjorck", "l2"), ("bcop", "l2"), ("l_inf_projected", "linf")):
        assert certificate.layers[0].bound <= 1 + 1e-6


def test_the_error_of_an_evaluation_is_bounded() -> None:
    """Against the same network in much higher precision."""
    torch.manual_seed(0)
    model = network(nn.Linear, "relu").eval()
    x = torch.randn(50, 4, dtype=torch.float64)
    exact = x.to(torch.float32)
    rounded = [p.detach().float() for p in model.parameters()]
    small = copy.deepcopy(model).float()
    for parameter, value in zip(small.parameters(), rounded, strict=True):
        parameter.data = value
    wide = copy.deepcopy(small).double()
    # Float32 stands for float64, float64 for exact: the bound scales by the unit roundoffs.
    difference = (small(exact).double() - wide(exact.double())).norm(dim=1).max().item()
    assert 0 < difference <= evaluation_error(wide, exact.double()) * 2.0**29


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
    ],
    ids=str,
)
def test_options_without_a_proof_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match="No Lipschitz bound is proven"):
        certify(layer.eval(), (4, 6, 6))


def test_an_image_has_a_size() -> None:
    with pytest.raises(ValueError, match="`input_shape` is needed"):
        certify(nn.Conv2d(1, 1, 3).eval())
    with pytest.raises(ValueError, match="at least 1"):
        certify(nn.Conv2d(1, 1, 3).eval(), (1, 0, 3))


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([nn.Linear(4, 2)], (5,), r"`0`, a Linear, is given \(5,\)"),
        ([nn.Conv2d(1, 1, 3)], (2, 6, 6), r"`0`, a Conv2d, is given \(2, 6, 6\)"),
        ([nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(9, 1)], (1, 6, 6), "`2`, a Linear, is given"),
        ([nn.BatchNorm1d(4)], (4, 2, 2), r"`0`, a BatchNorm1d, is given \(4, 2, 2\)"),
        ([GroupSort(2)], (3,), "`0`, a GroupSort, is given"),
        ([nn.Flatten()], (), "`0`, a Flatten, is given"),
        ([Residual(nn.Sequential(nn.Linear(3, 2)))], (3,), "`0`, a Residual, is given"),
        ([Residual(nn.Sequential(nn.Linear(2, 3)))], (3,), "`0.block.0`, a Linear, is given"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    layers: list[nn.Module], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match="`input_shape` must fit the network, got .*" + message):
        certify(nn.Sequential(*layers).eval(), shape)


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1)], ids=str)
@pytest.mark.parametrize("shape", [(), (6,), (6, 6)])
def test_what_is_no_image_is_refused(layer: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"`\(root\)` is given \(channels, height, width\), got \("
    ):
        certify(layer.eval(), shape)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_an_empty_weight_is_refused() -> None:
    for sizes in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match=r"must have no empty weight.*in `0.weight`"):
            certify(nn.Sequential(nn.Linear(*sizes)).eval())


@pytest.mark.parametrize(
    ("pool", "bound"),
    [
        (nn.MaxPool2d(2), 1),
        (nn.MaxPool2d(3, 2), 2),
        (nn.AvgPool2d(2), 0.5),
        (nn.AvgPool2d(3, 1), 1),
    ],
    ids=str,
)
def test_pooling_is_bounded_by_shared_pixels(pool: nn.Module, bound: float) -> None:
    assert certify(pool.eval()).lipschitz_upper_bound == pytest.approx(bound)
    found = empirical_lipschitz(pool, torch.randn(30, 1, 6, 6), steps=3)
    assert found <= certify(pool).lipschitz_upper_bound


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_certificate_of_half_precision_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"float32 or float64.*`1.weight`"):
        certify(network(nn.Linear, "relu").to(dtype).eval())


def test_a_certificate_reads_as_a_table() -> None:
    text = str(certify(network(BjorckLinear, "maxmin", 10.0).eval()))
    lines = text.splitlines()
    assert len(lines) == 1 + 3 + 3 + 2 + 1
    assert "BjorckLinear" in lines[1]
    assert "singular values in float64" in lines[1]
    assert lines[-1].split()[:2] == ["all", "10"]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_leaves_the_certificate_alone(dropout: float) -> None:
    model = FullyConnected(
        4,
        [6, 2],
        linear=BjorckLinear,
        activation=lambda _: GroupSort(2),
        input_dropout=dropout,
        dropout=dropout,
    )
    assert sum(isinstance(module, nn.Dropout) for module in model) == (2 if dropout else 0)
    assert certify(model.double().eval()).lipschitz_upper_bound == pytest.approx(1)


@pytest.mark.parametrize("l_constant", [1.0, 10.0])
def test_orthonormal_layers_reach_their_constant(l_constant: float) -> None:
    bound = certify(network(BjorckLinear, "maxmin", l_constant).eval()).lipschitz_upper_bound
    assert l_constant * (1 - 1e-9) <= bound <= l_constant * 1.001


@pytest.mark.parametrize("convert", [certify, to_plain])
def test_writes_that_torch_does_not_count_are_seen(convert: Callable[..., object]) -> None:
    torch.manual_seed(0)
    model = network(BjorckLinear, "relu", 3.0).eval()
    x = torch.randn(5, 4).double()
    with torch.no_grad():
        model(x)
        for parameter in model.parameters():
            parameter.data.copy_(torch.randn_like(parameter))
        fresh = copy.deepcopy(model)
        twin = convert(model)
        assert torch.equal(model(x), fresh(x))
    if isinstance(twin, nn.Module):
        assert torch.allclose(twin(x), fresh(x))


def test_every_layer_is_accounted_for() -> None:
    model = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(4, 4)), Scale(-3.0), nn.Sigmoid())
    layers = certify(model.eval()).layers
    assert [layer.name for layer in layers] == ["0.0", "0.1", "1", "2"]
    assert [layer.module for layer in layers] == ["Flatten", "Linear", "Scale", "Sigmoid"]
    assert [layer.bound for layer in layers if layer.module in ("Scale", "Sigmoid")] == [3.0, 0.25]


def test_a_layer_counts_as_often_as_it_runs() -> None:
    layer = Scale(3.0)
    model = nn.Sequential(layer, nn.ReLU(), layer).eval()
    assert certify(model).lipschitz_upper_bound == pytest.approx(9)


def test_a_module_without_a_proof_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.GELU()).eval()
    with pytest.raises(ValueError, match=r"`1`, a GELU.*lnets/nn/certificate.py"):
        certify(model)
    with pytest.raises(ValueError, match=r"`\(root\)`, a GELU"):
        certify(nn.GELU().eval())


def test_training_mode_and_broken_weights_are_refused() -> None:
    model = network(BjorckLinear, "maxmin")
    with pytest.raises(ValueError, match="evaluation mode"):
        certify(model)
    with torch.no_grad():
        model[1].weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="finite"):
        certify(model.eval())


class _Louder(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 10 * super().forward(x)


def test_what_changes_a_layers_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="`0`, a _Louder with a forward of its own"):
        certify(nn.Sequential(_Louder(2, 2)).eval())
    hooked = nn.Linear(2, 2).eval()
    hooked.register_forward_hook(lambda module, inputs, output: 10 * output)
    with pytest.raises(ValueError, match="which has hooks"):
        certify(hooked)


@pytest.mark.parametrize("layer", [nn.Linear(2, 2), Householder(1)], ids=str)
def test_numbers_that_are_not_finite_are_refused(layer: nn.Module) -> None:
    with torch.no_grad():
        list(layer.parameters())[-1].fill_(torch.nan)
    with pytest.raises(ValueError, match="must be finite to be certified"):
        certify(layer.eval())


def test_a_frozen_layer_keeps_its_weight_while_inputs_are_attacked() -> None:
    layer = BjorckLinear(4, 4).eval().requires_grad_(False)
    x = torch.randn(2, 4, requires_grad=True)
    layer(x).sum().backward()
    kept = layer.effective_weight()
    assert layer.effective_weight() is kept
    assert x.grad is not None
