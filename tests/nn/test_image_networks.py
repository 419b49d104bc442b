import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lnets.nn import (
    BCOPConv2d,
    BjorckConv2d,
    BjorckLinear,
    EffectiveWeight,
    FullyConv,
    GroupSort,
    ImageGenerator,
    InfoGanDiscriminator,
    LeNet,
    LInfProjectedConv2d,
    LInfProjectedLinear,
    LipschitzResNet,
    Maxout,
    ResNet32,
    Scale,
    WideResNet32,
    certify,
    empirical_lipschitz,
    evaluation_error,
    max_min,
    to_plain,
)
from lnets.nn.certificate import Norm

LAYERS: dict[str, dict[str, Any]] = {
    "bjorck": {"conv": BjorckConv2d, "linear": BjorckLinear},
    "standard": {"conv": nn.Conv2d, "linear": nn.Linear},
    "bcop": {"conv": BCOPConv2d, "linear": BjorckLinear},
    "l_inf": {"conv": LInfProjectedConv2d, "linear": LInfProjectedLinear},
}
# Few channels and pixels: what is proven does not depend on them.
SHAPES = {
    "fully conv": (2, 7, 6),
    "lenet": (1, 28, 28),
    "infogan": (1, 4, 4),
    "lipschitz resnet": (1, 8, 8),
}


def build(name: str, layers: str, l_constant: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    kinds = LAYERS[layers]
    match name:
        case "fully conv":
            return FullyConv(
                2,
                [4, 6, 1],
                kernels=[3, 4, 2],
                strides=[1, 2, 1],
                padding=1,
                conv=kinds["conv"],
                activation=max_min,
                l_constant=l_constant,
            )
        case "lenet":
            return LeNet(1, 3, activation=max_min, l_constant=l_constant, **kinds)
        case "infogan":
            return InfoGanDiscriminator(1, 1, 4, l_constant=l_constant, **kinds)
        case _:
            return LipschitzResNet(
                1, 3, 8, channels=(4, 6, 8), blocks=(1, 1, 1), l_constant=l_constant, **kinds
            )


def inputs(name: str, count: int = 20) -> Tensor:
    return torch.randn(count, *SHAPES[name])


def resnet(shape: tuple[int, ...] = (3, 8, 8)) -> ResNet32:
    """With batch statistics that are not those of a new one."""
    torch.manual_seed(0)
    model = ResNet32(3, 2)
    model(torch.randn(16, *shape) * 3 + 1)
    return model.eval()


def parameters(make: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in make().parameters())


def test_the_originals_networks_have_its_parameters() -> None:
    kinds = LAYERS["standard"]
    assert parameters(lambda: LeNet(activation=max_min, **kinds)) == 21_840
    assert parameters(ResNet32) == 466_906
    assert parameters(lambda: InfoGanDiscriminator(1, 1, 28, **kinds)) == 6_556_865
    assert parameters(lambda: InfoGanDiscriminator(1, 1, 28, batch_norm=True, **kinds)) == 6_559_169
    assert parameters(lambda: ImageGenerator(62, 1, 28)) == 6_640_193


def test_the_wide_network_is_wide() -> None:
    assert parameters(lambda: WideResNet32(widen=1)) == 466_906
    assert parameters(WideResNet32) > 98 * 466_906
    with pytest.raises(ValueError, match="`widen` must be whole and at least 1, got 0"):
        WideResNet32(widen=0)


@pytest.mark.parametrize("layers", ["bjorck", "standard"])
@pytest.mark.parametrize("name", SHAPES)
def test_networks_train(name: str, layers: str) -> None:
    model = build(name, layers)
    model(inputs(name, 4)).square().sum().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert sum(float(g.abs().sum()) > 0 for g in gradients if g is not None) > len(gradients) / 2


def test_residual_networks_with_batch_normalisation_train() -> None:
    model = WideResNet32(3, 2, widen=1)
    model(torch.randn(4, 3, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "layers"),
    [(name, layers) for name in SHAPES for layers in ("bjorck", "standard")]
    # BCOP has no stride, which the other two need.
    + [("lenet", "bcop"), ("lipschitz resnet", "bcop")],
)
def test_no_search_finds_a_steeper_place_than_the_certificate(name: str, layers: str) -> None:
    model = build(name, layers, l_constant=3.0).eval()
    certificate = certify(model, SHAPES[name])
    plain = to_plain(model, inputs(name, 2))
    found = empirical_lipschitz(plain, inputs(name), steps=3)
    assert 0 < found <= certificate.lipschitz_upper_bound
    if layers != "standard":
        assert certificate.lipschitz_upper_bound <= 3.0 * 1.001


@pytest.mark.parametrize("name", ["lenet", "lipschitz resnet"])
def test_constants_hold_in_the_largest_norm_too(name: str) -> None:
    model = build(name, "l_inf", l_constant=2.0).eval()
    certificate = certify(model, SHAPES[name], norm="linf")
    found = empirical_lipschitz(to_plain(model), inputs(name), norm="linf", steps=2)
    assert 0 < found <= certificate.lipschitz_upper_bound <= 2.0 * 1.001


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_batch_normalised_networks_are_certified_after_training(norm: Norm) -> None:
    model = resnet()
    found = empirical_lipschitz(model, torch.randn(20, 3, 8, 8), norm=norm, steps=1)
    certificate = certify(model, (3, 8, 8), norm=norm)
    assert 0 < found <= certificate.lipschitz_upper_bound
    methods = {layer.module: layer.method for layer in certificate.layers}
    assert methods["Residual"] == "sum of branches"
    assert methods["BatchNorm2d"] == "steepest channel"


@pytest.mark.parametrize("name", [*SHAPES, "resnet"])
def test_the_plain_twin_agrees_and_is_exported(name: str) -> None:
    torch.manual_seed(0)
    is_resnet = name == "resnet"
    model = resnet() if is_resnet else build(name, "bjorck", l_constant=2.0).eval()
    x = torch.randn(2, 3, 8, 8) if is_resnet else inputs(name, 2)
    plain = to_plain(model, x)
    assert not any(isinstance(module, EffectiveWeight) for module in plain.modules())
    exported = torch.export.export(plain, (x,)).module()
    assert torch.allclose(exported(x), model(x), atol=1e-5)
    bounds = [certify(m, x.shape[1:]).lipschitz_upper_bound for m in (model, plain)]
    assert bounds[0] == bounds[1]


@pytest.mark.parametrize("name", [*SHAPES, "resnet"])
def test_copies_and_pickles_have_the_same_outputs(name: str) -> None:
    model = resnet() if name == "resnet" else build(name, "bjorck").eval()
    x = torch.randn(2, 3, 8, 8) if name == "resnet" else inputs(name, 2)
    with torch.no_grad():
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(twin(x), model(x))


@pytest.mark.parametrize("name", [*SHAPES, "resnet"])
def test_images_of_another_shape_are_refused(name: str) -> None:
    model = resnet() if name == "resnet" else build(name, "standard").eval()
    channels, height, width = SHAPES.get(name, (3, 8, 8))
    wrong = [(2, channels + 1, height, width), (channels, height, width)]
    if name not in ("fully conv", "resnet"):
        wrong += [(2, channels, height + 1, width), (2, channels, height, width + 4)]
    if name == "fully conv":
        wrong.append((2, channels, 1, 1))
    for shape in wrong:
        with pytest.raises(ValueError, match="Images must be a batch"):
            model(torch.zeros(shape))
    with pytest.raises(ValueError, match="Images must be a batch"):
        certify(model, wrong[0][1:])


def test_the_smallest_image_of_a_fully_convolutional_network_leaves_pixels() -> None:
    for kernels, strides, padding in (([3, 4, 2], [1, 2, 1], 1), ([5, 3], [3, 2], 0)):
        model = FullyConv(
            1,
            [2] * len(kernels),
            kernels=kernels,
            strides=strides,
            padding=padding,
            conv=nn.Conv2d,
            activation=max_min,
        )
        least = model[0].least
        assert min(model(torch.zeros(1, 1, least, least)).shape) >= 1
        if least > 1:
            with pytest.raises(RuntimeError):
                nn.Sequential(*model)[1:](torch.zeros(1, 1, least - 1, least - 1))


def test_maxout_narrows_the_next_convolution() -> None:
    model = FullyConv(
        1,
        [6, 1],
        kernels=[3, 3],
        shrink=[3],
        conv=BjorckConv2d,
        activation=lambda _: Maxout(3, axis=1),
    )
    assert model(torch.zeros(2, 1, 6, 7)).shape == (2, 1, 2, 3)


def test_impossible_networks_are_refused() -> None:
    kinds = LAYERS["standard"]
    with pytest.raises(ValueError, match="one entry per convolution"):
        FullyConv(1, [2, 2], kernels=[3], conv=nn.Conv2d, activation=max_min)
    for size in (0, 6):
        with pytest.raises(ValueError, match="multiple of 4"):
            InfoGanDiscriminator(1, 1, size, **kinds)
        with pytest.raises(ValueError, match="multiple of 4"):
            LipschitzResNet(1, 1, size)
        with pytest.raises(ValueError, match="multiple of 4"):
            ImageGenerator(3, 1, size)
    for make in (
        functools.partial(InfoGanDiscriminator, 1, 1, 8, **kinds),
        functools.partial(ImageGenerator, 3, 1, 8),
    ):
        with pytest.raises(ValueError, match=r"`widths` must have three entries, got \[4, 4\]"):
            make(widths=[4, 4])
        with pytest.raises(ValueError, match="`widths` must be whole and at least 1"):
            make(widths=[4, 0, 4])
    with pytest.raises(ValueError, match="at least 12"):
        LipschitzResNet(1, 1, 8, padding_mode="circular")
    with pytest.raises(ValueError, match="`blocks` must be whole and at least 0"):
        LipschitzResNet(1, 1, 8, blocks=(1, -1, 1))
    with pytest.raises(ValueError, match="three stages"):
        LipschitzResNet(1, 1, 8, channels=(4, 4))
    with pytest.raises(ValueError, match="even number of channels, got 5"):
        LipschitzResNet(1, 1, 8, channels=(4, 4, 5))


@pytest.mark.parametrize(("name", "count"), [*zip(SHAPES, (3, 4, 4, 7), strict=True)])
def test_the_constant_is_shared_among_the_layers(name: str, count: int) -> None:
    """Layers that run one after another; in the residual network a block is one of them."""
    factors = [m.factor for m in build(name, "bjorck", l_constant=1000.0) if isinstance(m, Scale)]
    assert factors == pytest.approx([1000.0 ** (1 / count)] * count)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernels": [3, 0]}, r"`kernels` must be whole and at least 1, got \[3, 0\]"),
        ({"channels": [0, 1]}, r"`channels` must be whole and at least 1, got \[0, 1\]"),
        ({"strides": [1, 0]}, r"`strides` must be whole and at least 1, got \[1, 0\]"),
        ({"padding": -1}, "`padding` must be whole and at least 0, got -1"),
        ({"padding": 2}, r"`padding` must be smaller than the kernel.*kernel_size=\[3, 2\]"),
        ({"l_constant": 0.0}, "`l_constant` must be positive"),
        ({"in_channels": 0}, "`in_channels` must be whole and at least 1, got 0"),
    ],
)
def test_convolutions_without_a_meaning_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments = {"in_channels": 1, "channels": [2, 1], "kernels": [3, 2]} | changes
    with pytest.raises(ValueError, match=message):
        FullyConv(**arguments, conv=nn.Conv2d, activation=max_min)


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: LeNet(activation=max_min, **k, **LAYERS["standard"]),
        lambda **k: InfoGanDiscriminator(**k, **LAYERS["standard"]),
        lambda **k: LipschitzResNet(**{"in_channels": 1, "output_dim": 1, "image_size": 8} | k),
        ResNet32,
        WideResNet32,
    ],
    ids=["lenet", "infogan", "lipschitz resnet", "resnet", "wide resnet"],
)
def test_networks_of_nothing_are_refused(make: Callable[..., nn.Module]) -> None:
    for name in ("in_channels", "output_dim"):
        with pytest.raises(ValueError, match=f"`{name}` must be whole and at least 1, got 0"):
            make(**{name: 0})


def test_dropout_is_where_the_original_has_it() -> None:
    model = LeNet(activation=lambda _: GroupSort(5, axis=1), dropout=0.5, **LAYERS["bjorck"])
    kinds = [type(m) for m in model]
    assert kinds.count(nn.Dropout2d) == kinds.count(nn.Dropout) == 1
    assert certify(model.eval(), (1, 28, 28)).lipschitz_upper_bound <= 1.001


def test_circular_bcop_keeps_the_norm_of_gradients_but_for_the_blocks() -> None:
    torch.manual_seed(0)
    model = LipschitzResNet(
        4, 4, 12, channels=(4, 16, 64), blocks=(0, 0, 0), padding_mode="circular"
    )
    x = torch.randn(2, 4, 12, 12).double().requires_grad_()
    model.double().eval()(x)[:, 0].sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad.flatten(1).norm(dim=1), torch.ones(2).double(), atol=1e-6)


@pytest.mark.parametrize("name", ["lipschitz resnet", "resnet"])
def test_the_error_of_an_evaluation_is_bounded(name: str) -> None:
    """Float32 stands for float64, float64 for exact: the bound scales by the unit roundoffs."""
    model = resnet() if name == "resnet" else build(name, "bcop").eval()
    x = torch.randn(20, 3, 8, 8) if name == "resnet" else inputs(name)
    small = to_plain(model)
    wide = copy.deepcopy(small).double()
    with torch.no_grad():
        difference = (small(x).double() - wide(x.double())).norm(dim=1).max().item()
    assert 0 < difference <= evaluation_error(wide, x.double()) * 2.0**29


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 12)])
def test_a_generator_makes_pixels_of_noise(channels: int, size: int) -> None:
    torch.manual_seed(0)
    model = ImageGenerator(5, channels, size, widths=(16, 8, 4))
    images = model(torch.rand(6, 5))
    assert images.shape == (6, channels, size, size)
    assert ((images >= 0) & (images <= 1)).all()
    assert images.std(dim=0).max() > 1e-3, "noise must matter"
    weights = [m.weight for m in model if isinstance(m, (nn.Linear, nn.ConvTranspose2d))]
    assert torch.cat([w.flatten() for w in weights]).std().item() == pytest.approx(0.02, rel=0.1)
    model.eval()
    noise = torch.rand(4, 5)
    torch.testing.assert_close(model(noise)[:2], model(noise[:2]))


def test_batch_normalisation_is_where_the_original_has_it() -> None:
    kinds = LAYERS["standard"]
    model = InfoGanDiscriminator(1, 1, 8, widths=(4, 6, 8), batch_norm=True, **kinds)
    names = [
        type(m).__name__
        for m in model
        if isinstance(m, (nn.Conv2d, nn.Linear)) or "BatchNorm" in type(m).__name__
    ]
    assert names == ["Conv2d", "Conv2d", "BatchNorm2d", "Linear", "BatchNorm1d", "Linear"]
    assert model(torch.rand(3, 1, 8, 8)).shape == (3, 1)
