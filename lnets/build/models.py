"""Networks of a spec."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, assert_never

from torch import nn

from lnets.build.layers import build_activation, build_conv, build_linear
from lnets.nn import (
    FullyConnected,
    FullyConv,
    ImageGenerator,
    InfoGanDiscriminator,
    LeNet,
    LipschitzResNet,
    Normalize,
    ResNet32,
    WideResNet32,
)
from lnets.specs.classification import NormalizationSpec
from lnets.specs.gan import GeneratorSpec
from lnets.specs.image_models import (
    FullyConvSpec,
    InfoGanDiscriminatorSpec,
    LeNetSpec,
    LipschitzResNetSpec,
    ResNet32Spec,
    WideResNet32Spec,
)
from lnets.specs.layers import ConvSpec, LinearSpec
from lnets.specs.model import FullyConnectedSpec, ModelSpec
from lnets.specs.network import Activation


def build_model(
    spec: ModelSpec, input_shape: Sequence[int], *, faithful: bool = False
) -> nn.Module:
    """The network, with fresh random weights.

    Args:
        spec: What to build.
        input_shape: Of one sample, which the spec must fit.
        faithful: Whether its layers compute what the original LNets code does.
    """
    layers = _Layers(faithful)
    channels, size = input_shape[0], input_shape[-1]
    match spec:
        case FullyConnectedSpec():
            return _fully_connected(spec, layers, math.prod(input_shape))
        case FullyConvSpec():
            return _fully_conv(spec, layers, channels)
        case LeNetSpec():
            return _lenet(spec, layers, channels)
        case ResNet32Spec():
            return ResNet32(channels, spec.output_dim)
        case WideResNet32Spec():
            return WideResNet32(channels, spec.output_dim, widen=spec.widen)
        case InfoGanDiscriminatorSpec():
            return _infogan_discriminator(spec, layers, channels, size)
        case LipschitzResNetSpec():
            return _lipschitz_resnet(spec, layers, channels, size)
        case _:
            assert_never(spec)


def build_critic(
    spec: ModelSpec, input_shape: Sequence[int], *, faithful: bool = False
) -> nn.Module:
    """The network with one number per sample: the mean over pixels where its output is an image.

    Args:
        spec: What to build; it has one output, or one channel.
        input_shape: Of one sample, which the spec must fit.
        faithful: Whether its layers compute what the original LNets code does.
    """
    model = build_model(spec, input_shape, faithful=faithful)
    if len(spec.output_shape(tuple(input_shape))) == 1:
        return model
    assert isinstance(model, nn.Sequential)
    # In one chain, so that weights keep the names that they have in the model.
    return nn.Sequential(*model, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def build_generator(spec: GeneratorSpec, image_shape: tuple[int, int, int]) -> nn.Module:
    """The generator of a GAN, with fresh random weights.

    Args:
        spec: What to build.
        image_shape: Channels, height and width of an image.
    """
    channels, size, _ = image_shape
    return ImageGenerator(spec.noise_dim, channels, size, widths=spec.widths)


def build_classifier(
    spec: ModelSpec,
    normalization: NormalizationSpec | None,
    input_shape: Sequence[int],
    *,
    faithful: bool = False,
) -> nn.Module:
    """The network with a number per class, behind a normalization of pixels if there is one.

    Args:
        spec: What to build; its outputs are the classes.
        normalization: Of pixels.
        input_shape: Of one image, which the spec must fit.
        faithful: Whether its layers compute what the original LNets code does.
    """
    model = build_model(spec, input_shape, faithful=faithful)
    if normalization is None:
        return model
    return nn.Sequential(Normalize(normalization.mean, normalization.std), model)


class _Layers(NamedTuple):
    """Makes the layers that a network asks for."""

    faithful: bool

    def linear(self, spec: LinearSpec) -> Callable[[int, int], nn.Module]:
        return functools.partial(build_linear, spec, faithful=self.faithful)

    def conv(self, spec: ConvSpec, **options: Any) -> Callable[..., nn.Module]:
        return functools.partial(build_conv, spec, faithful=self.faithful, **options)


def _fully_connected(spec: FullyConnectedSpec, layers: _Layers, input_dim: int) -> nn.Module:
    sizes = spec.group_sizes()
    return FullyConnected(
        input_dim,
        spec.layers,
        linear=layers.linear(spec.linear),
        activation=lambda i: build_activation(spec.activation, sizes[i], spec.layers[i]),
        shrink=sizes if spec.activation == "maxout" else None,
        l_constant=spec.l_constant,
        input_dropout=spec.input_dropout,
        dropout=spec.dropout,
        alpha=spec.alpha,
    )


def _fully_conv(spec: FullyConvSpec, layers: _Layers, in_channels: int) -> nn.Module:
    sizes = spec.group_sizes()
    return FullyConv(
        in_channels,
        spec.channels,
        kernels=spec.kernels,
        strides=spec.strides,
        padding=spec.padding,
        conv=layers.conv(spec.conv, padding_mode=spec.padding_mode),
        activation=_in_turn(spec.activation, sizes),
        shrink=sizes if spec.activation == "maxout" else None,
        l_constant=spec.l_constant,
    )


def _lenet(spec: LeNetSpec, layers: _Layers, in_channels: int) -> nn.Module:
    return LeNet(
        in_channels,
        spec.output_dim,
        conv=layers.conv(spec.conv),
        linear=layers.linear(spec.linear),
        activation=_in_turn(spec.activation, spec.group_sizes()),
        l_constant=spec.l_constant,
        dropout=spec.dropout,
    )


def _infogan_discriminator(
    spec: InfoGanDiscriminatorSpec, layers: _Layers, in_channels: int, image_size: int
) -> nn.Module:
    return InfoGanDiscriminator(
        in_channels,
        spec.output_dim,
        image_size,
        conv=layers.conv(spec.conv),
        linear=layers.linear(spec.linear),
        activation=_in_turn(spec.activation, spec.group_sizes()),
        widths=spec.widths,
        batch_norm=spec.batch_norm,
        l_constant=spec.l_constant,
    )


def _lipschitz_resnet(
    spec: LipschitzResNetSpec, layers: _Layers, in_channels: int, image_size: int
) -> nn.Module:
    stages = zip(spec.group_sizes(), spec.blocks, strict=True)
    # A stage has one activation before its blocks, each block one inside and one behind it.
    sizes = [size for size, blocks in stages for _ in range(1 + 2 * blocks)]
    return LipschitzResNet(
        in_channels,
        spec.output_dim,
        image_size,
        conv=layers.conv(spec.conv),
        linear=layers.linear(spec.linear),
        activation=_in_turn(spec.activation, sizes),
        channels=spec.channels,
        blocks=spec.blocks,
        alpha=spec.alpha,
        padding_mode=spec.padding_mode,
        l_constant=spec.l_constant,
    )


def _in_turn(kind: Activation, sizes: Sequence[int]) -> Callable[[int], nn.Module]:
    """Makes the activations of an image network, which asks for them in their order."""
    remaining = iter(sizes)
    return lambda width: build_activation(kind, next(remaining), width, axis=1)
