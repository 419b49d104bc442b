"""Every Lipschitz layer, in every way of making it, for the tests of what all must do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lnets.nn import (
    BCOPConv2d,
    BjorckConv2d,
    BjorckLinear,
    LInfProjectedConv2d,
    LInfProjectedLinear,
    LipschitzConv2d,
    LipschitzLinear,
    OrthogonalLinear,
    ParsevalL2Linear,
    RotatedLinear,
    SpectralNormLinear,
)
from lnets.nn.certificate import Norm

Layer = LipschitzLinear | LipschitzConv2d

LINEAR: dict[str, Callable[[int, int], LipschitzLinear]] = {
    "bjorck": lambda i, o: BjorckLinear(i, o, bjorck_iter=15),
    "bjorck order 3": lambda i, o: BjorckLinear(i, o, bjorck_iter=8, bjorck_order=3),
    "bjorck, two iterations": lambda i, o: BjorckLinear(i, o, bjorck_iter=2),
    "retract": lambda i, o: OrthogonalLinear(i, o),
    "rotate": RotatedLinear,
    "polar": lambda i, o: OrthogonalLinear(i, o, mode="forward"),
    "polar_express": lambda i, o: OrthogonalLinear(i, o, mode="forward", method="polar_express"),
    "qr": lambda i, o: OrthogonalLinear(i, o, mode="forward", method="qr"),
    "cayley": lambda i, o: OrthogonalLinear(i, o, mode="forward", method="cayley"),
    "l_inf_projected": LInfProjectedLinear,
    "spectral_normal": SpectralNormLinear,
    "parseval_l2": ParsevalL2Linear,
}
CONV: dict[str, tuple[type[LipschitzConv2d], tuple[Any, ...], dict[str, Any]]] = {
    "bjorck": (BjorckConv2d, (2, 5, 3), {"padding": 1}),
    "bjorck tall": (BjorckConv2d, (1, 6, (1, 2)), {}),
    "bjorck strided": (BjorckConv2d, (3, 4, 4), {"stride": 2, "padding": 1}),
    "bjorck circular": (
        BjorckConv2d,
        (2, 3, (3, 2)),
        {"stride": (3, 1), "padding": 1, "padding_mode": "circular", "bjorck_order": 2},
    ),
    "bcop": (BCOPConv2d, (3, 3, 3), {"padding": 1, "padding_mode": "circular"}),
    "bcop even": (BCOPConv2d, (2, 4, 2), {"padding": 1, "bias": False}),
    "bcop narrowing": (BCOPConv2d, (4, 2, (1, 3)), {"bjorck_order": 3}),
    "bcop one channel": (BCOPConv2d, (1, 1, 1), {}),
    "l_inf": (LInfProjectedConv2d, (2, 3, 3), {"padding": 1}),
    "l_inf circular": (
        LInfProjectedConv2d,
        (2, 3, 5),
        {"stride": 2, "padding": 2, "padding_mode": "circular"},
    ),
}
SHAPES = [(8, 5), (5, 8), (6, 6), (6, 1), (1, 6)]
IMAGES = [(5, 6), (7, 5)]
ORTHONORMAL = {
    "bjorck",
    "bjorck order 3",
    "retract",
    "rotate",
    "polar",
    "polar_express",
    "qr",
    "cayley",
}
# These reach their constraint in training only in the limit; evaluation divides by a proven bound.
APPROXIMATE = {"spectral_normal", "parseval_l2"}


@dataclass(frozen=True)
class Case:
    """A layer, and what is true of it."""

    make: Callable[[], Layer]
    """With fresh random weights."""
    shape: tuple[int, ...]
    """Of one input."""
    orthonormal: bool = False
    """Whether all singular values are 1."""
    approximate: bool = False
    """Whether training may exceed norm 1."""

    def inputs(self, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(count, *self.shape, dtype=dtype)


def _linear(name: str, shape: tuple[int, int]) -> Case:
    make = LINEAR[name]
    return Case(lambda: make(*shape), shape[:1], name in ORTHONORMAL, name in APPROXIMATE)


def _conv(name: str, image: tuple[int, int]) -> Case:
    kind, sizes, options = CONV[name]
    return Case(lambda: kind(*sizes, **options), (sizes[0], *image))


LINEAR_CASES = {f"{name} {shape}": _linear(name, shape) for name in LINEAR for shape in SHAPES}
CONV_CASES = {f"{name} conv {image}": _conv(name, image) for name in CONV for image in IMAGES}
CASES = LINEAR_CASES | CONV_CASES
# One of each, where sizes make no difference.
KINDS = {name: _linear(name, SHAPES[0]) for name in LINEAR} | {
    f"{name} conv": _conv(name, IMAGES[0]) for name in ("bjorck circular", "bcop even", "l_inf")
}
# Rotations of columns, and of either.
KINDS |= {f"rotate {shape}": _linear("rotate", shape) for shape in SHAPES[1:3]}


def trained(layer: Layer) -> tuple[str, nn.Parameter]:
    """The parameter that moves the weight, and its name."""
    name = "rotation" if isinstance(layer, RotatedLinear) else "weight"
    return name, layer.get_parameter(name)


def norm(layer: Layer) -> Norm:
    """In which the layer is 1-Lipschitz."""
    return "linf" if isinstance(layer, (LInfProjectedLinear, LInfProjectedConv2d)) else "l2"
