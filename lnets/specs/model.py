"""Networks, their linear layers and activations."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from lnets.specs.spec import Spec, rule_broken

Activation = Literal[
    "maxmin",
    "group_sort",
    "maxout",
    "householder",
    "n_activation",
    "relu",
    "abs",
    "tanh",
    "sigmoid",
    "identity",
]
Width = Annotated[int, Field(ge=1, le=65536)]
GroupSize = Annotated[int, Field(ge=1, le=65536)]


def _kind_of_groupings(value: object) -> str:
    if isinstance(value, str):
        return "full"
    return "sizes" if isinstance(value, (list, tuple)) else "size"


Groupings = Annotated[
    Annotated[GroupSize, Tag("size")]
    | Annotated[tuple[GroupSize, ...], Tag("sizes")]
    | Annotated[Literal["full"], Tag("full")],
    Discriminator(_kind_of_groupings),
]


class StandardLinearSpec(Spec):
    """An ordinary linear layer. Its Lipschitz constant is whatever training makes it."""

    type: Literal["standard"]
    bias: bool = True
    """Whether the layer adds a bias."""


class BjorckLinearSpec(Spec):
    """A linear layer that Björck's iteration makes orthonormal: all singular values are 1."""

    type: Literal["bjorck"]
    bjorck_iter: int = Field(20, ge=1, le=200)
    """Iterations of the orthonormalization."""
    bjorck_order: int = Field(1, ge=1, le=4)
    """Order of the Taylor polynomial that one iteration applies."""
    bjorck_beta: float = Field(0.5, gt=0, le=0.5)
    """Step size of an iteration of order 1; the higher orders are defined for 0.5 only."""
    safe_scaling: bool = False
    """Scale by √(out·in) before iterating, as the original code does, instead of by a proven
    bound; for comparison, because it does not converge in wide layers."""
    bias: bool = True
    """Whether the layer adds a bias."""

    @model_validator(mode="after")
    def _beta_belongs_to_order_1(self) -> Self:
        if self.bjorck_order > 1 and self.bjorck_beta != 0.5:
            message = (
                f"must be 0.5 where bjorck_order is above 1, got bjorck_beta={self.bjorck_beta} "
                f"and bjorck_order={self.bjorck_order}; leave bjorck_beta out"
            )
            raise rule_broken((("bjorck_beta",), message))
        return self


class OrthogonalLinearSpec(Spec):
    """A linear layer that is orthonormal up to rounding."""

    type: Literal["orthogonal"]
    mode: Literal["forward", "retract"] = "retract"
    """`retract` keeps the raw weight itself orthonormal after each update, the fastest; `forward`
    leaves it free and maps it in every step."""
    method: Literal["polar", "polar_express", "qr", "cayley"] = "polar"
    """How `forward` maps: the nearest orthonormal matrix by eigenvectors or by products only, the
    QR decomposition, or the Cayley transform."""
    bias: bool = True
    """Whether the layer adds a bias."""

    @model_validator(mode="after")
    def _method_belongs_to_forward(self) -> Self:
        if self.mode == "retract" and self.method != "polar":
            message = (
                f"must be left out in mode retract, which maps nothing, got {self.method}; "
                "or set mode: forward"
            )
            raise rule_broken((("method",), message))
        return self


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


class FullyConnectedSpec(Spec):
    """Linear layers with an activation between every two; the input is flattened."""

    type: Literal["fully_connected"]
    layers: tuple[Width, ...] = Field(min_length=1, max_length=64)
    """Width of every linear layer, the output last."""
    activation: Activation
    """Activation after every layer but the last."""
    groupings: Groupings = 2
    """Group SIZES of group_sort and maxout: one for all layers, a list with one per layer, or
    `full` (the whole layer is one group). maxmin is group_sort on pairs: always 2. Other
    activations have no groups."""
    linear: LinearSpec
    """The linear layers."""
    input_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability with which training drops an input."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability with which training drops a hidden unit."""
    l_constant: float = Field(1.0, gt=0, le=1e9)
    """Lipschitz constant that the network is scaled to: every one of n layers by its n-th root."""

    def group_sizes(self) -> tuple[int, ...]:
        """Group size after each hidden layer."""
        hidden = self.layers[:-1]
        if self.groupings == "full":
            return hidden
        if isinstance(self.groupings, int):
            return (self.groupings,) * len(hidden)
        return self.groupings[: len(hidden)]

    @model_validator(mode="after")
    def _groups_fit_their_layers(self) -> Self:
        if isinstance(self.groupings, tuple) and len(self.groupings) not in (
            len(self.layers),
            len(self.layers) - 1,
        ):
            message = (
                "must have one entry per layer (the last may be left out), got "
                f"{len(self.groupings)} entries for {len(self.layers)} layers"
            )
            raise rule_broken((("groupings",), message))
        odd = [width for width in self.layers[:-1] if width % 2]
        if self.activation == "householder" and odd:
            message = f"must have even hidden widths for householder's pairs, got {odd[0]}"
            raise rule_broken((("layers",), message))
        if self.activation not in ("maxmin", "group_sort", "maxout"):
            return self
        for size, width in zip(self.group_sizes(), self.layers[:-1], strict=True):
            if width % size:
                message = (
                    f"must divide its layer, got groupings={size} and layer={width}; change one "
                    "of them so that it does"
                )
                raise rule_broken((("groupings",), message))
            if self.activation == "maxmin" and size != 2:
                message = (
                    f"must be 2 for maxmin, which is group_sort on pairs, got {self.groupings}; "
                    "use activation: group_sort for other sizes"
                )
                raise rule_broken((("groupings",), message))
        return self


ModelSpec = FullyConnectedSpec
