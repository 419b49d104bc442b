"""Linear layers and convolutions."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.spec import Spec, rule_broken

PaddingMode = Literal["zeros", "circular"]


class BjorckFields(Spec):
    """How Björck's iteration is run."""

    bjorck_iter: int = Field(20, ge=1, le=200)
    """Iterations of the orthonormalization."""
    bjorck_order: int = Field(1, ge=1, le=4)
    """Order of the Taylor polynomial that one iteration applies."""
    bjorck_beta: float = Field(0.5, gt=0, le=0.5)
    """Step size of an iteration of order 1; the higher orders are defined for 0.5 only."""

    @model_validator(mode="after")
    def _beta_belongs_to_order_1(self) -> Self:
        if self.bjorck_order > 1 and self.bjorck_beta != 0.5:
            message = (
                f"must be 0.5 where bjorck_order is above 1, got bjorck_beta={self.bjorck_beta} "
                f"and bjorck_order={self.bjorck_order}; leave bjorck_beta out"
            )
            raise rule_broken((("bjorck_beta",), message))
        return self


class StandardLinearSpec(Spec):
    """An ordinary linear layer. Its Lipschitz constant is whatever training makes it."""

    type: Literal["standard"]
    bias: bool = True
    """Whether the layer adds a bias."""


class BjorckLinearSpec(BjorckFields):
    """A linear layer that Björck's iteration makes orthonormal: all singular values are 1."""

    type: Literal["bjorck"]
    safe_scaling: bool = False
    """Scale by √(out·in) before iterating, as the original code does, instead of by a proven
    bound; for comparison, because it does not converge in wide layers."""
    bias: bool = True
    """Whether the layer adds a bias."""


class OrthogonalLinearSpec(Spec):
    """A linear layer that is orthonormal up to rounding."""

    type: Literal["orthogonal"]
    mode: Literal["forward", "retract", "rotate"] = "retract"
    """`retract` keeps the raw weight itself orthonormal after each update, the fastest; `rotate`
    lets the optimizer work on rotations of it, so that Adam gets further in each step, where
    neither side is more than twice the other, and is `retract` elsewhere; `forward` leaves the raw
    weight free and maps it in every step."""
    method: Literal["polar", "polar_express", "qr", "cayley"] = "polar"
    """How `forward` maps: the nearest orthonormal matrix by eigenvectors or by products only, the
    QR decomposition, or the Cayley transform."""
    drift: float | None = Field(None, ge=0, le=1)
    """How far from 1 training may carry the squares of a weight's singular values, as a root mean
    square, before it is brought back; null is 0.01, 0 brings it back after each update. Not for
    `forward`. Bounds are proven of an orthonormal weight whatever it is."""
    bias: bool = True
    """Whether the layer adds a bias."""

    @model_validator(mode="after")
    def _method_belongs_to_forward(self) -> Self:
        if self.mode != "forward" and self.method != "polar":
            message = (
                f"must be left out in mode {self.mode}, which maps nothing, got {self.method}; "
                "or set mode: forward"
            )
            raise rule_broken((("method",), message))
        if self.mode == "forward" and self.drift is not None:
            message = f"must be left out in mode forward, where nothing drifts, got {self.drift}"
            raise rule_broken((("drift",), message))
        return self

    def allowed_drift(self) -> float:
        """In numbers."""
        return 0.01 if self.drift is None else self.drift


class LInfProjectedLinearSpec(Spec):
    """A linear layer whose rows are projected onto the L1 ball: 1-Lipschitz in L∞."""

    type: Literal["l_inf_projected"]
    bias: bool = True
    """Whether the layer adds a bias."""


class SpectralNormalLinearSpec(Spec):
    """A linear layer divided by its largest singular value, which power iteration estimates."""

    type: Literal["spectral_normal"]
    power_iters: int = Field(1, ge=1, le=100)
    """Power iterations per training step."""
    bias: bool = True
    """Whether the layer adds a bias."""


class ParsevalL2LinearSpec(Spec):
    """A linear layer drawn towards orthonormal after each update, by Björck's iterations."""

    type: Literal["parseval_l2"]
    bjorck_iter: int = Field(1, ge=1, le=100)
    """Iterations after each update."""
    bjorck_beta: float = Field(0.5, gt=0, le=0.5)
    """Their step size."""
    bias: bool = True
    """Whether the layer adds a bias."""


LinearSpec = Annotated[
    StandardLinearSpec
    | BjorckLinearSpec
    | OrthogonalLinearSpec
    | LInfProjectedLinearSpec
    | SpectralNormalLinearSpec
    | ParsevalL2LinearSpec,
    Field(discriminator="type"),
]


class StandardConvSpec(Spec):
    """An ordinary convolution. Its Lipschitz constant is whatever training makes it."""

    type: Literal["standard_conv2d"]
    bias: bool = True
    """Whether the convolution adds a bias."""


class BjorckConvSpec(BjorckFields):
    """A convolution whose patches meet an orthonormal matrix: 1-Lipschitz for any stride.

    It keeps norms only where patches do not overlap.
    """

    type: Literal["bjorck_conv2d"]
    bias: bool = True
    """Whether the convolution adds a bias."""


class LInfProjectedConvSpec(Spec):
    """A convolution whose kernels are projected onto the L1 ball: 1-Lipschitz in L∞."""

    type: Literal["l_inf_projected_conv2d"]
    bias: bool = True
    """Whether the convolution adds a bias."""


class BCOPConvSpec(BjorckFields):
    """A convolution that is orthogonal at every frequency and so keeps norms; stride 1 only."""

    type: Literal["bcop_conv2d"]
    bias: bool = True
    """Whether the convolution adds a bias."""


ConvSpec = Annotated[
    StandardConvSpec | BjorckConvSpec | LInfProjectedConvSpec | BCOPConvSpec,
    Field(discriminator="type"),
]


def norm_kept(kind: str) -> Literal["l2", "linf"] | None:
    """The norm in which layers of a type keep a bound; None if in none.

    Args:
        kind: Of a linear layer, a convolution or a projection.
    """
    if kind.startswith("standard"):
        return None
    return "linf" if kind.startswith("l_inf") else "l2"
