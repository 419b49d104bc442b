"""What the specs of networks share: the shapes that fit, activations, and their groups."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from lnets.specs.spec import Broken, Spec, rule_broken

Activation = Literal[
    "maxmin",
    "group_sort",
    "maxout",
    "householder",
    "n_activation",
    "relu",
    "leaky_relu",
    "abs",
    "tanh",
    "sigmoid",
    "identity",
]
Width = Annotated[int, Field(ge=1, le=65536)]
GroupSize = Annotated[int, Field(ge=1, le=65536)]
LipschitzConstant = Annotated[float, Field(gt=0, le=1e9)]
Share = Annotated[float, Field(ge=0, lt=1)]
Shape: TypeAlias = tuple[int, ...]
"""Of one input or output, without the batch."""


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


class NetworkSpec(Spec):
    """A network, which knows the shapes that fit and what comes out."""

    OUTPUT: ClassVar[str] = "output_dim"
    """The field that has the number of outputs, or has it last."""
    SIZES: ClassVar[tuple[str, ...]] = ("output_dim",)
    """The fields that sizes of weights follow from, beside the inputs."""

    type: str

    def sizes(self, shape: Shape) -> dict[str, Any]:
        """What sizes of weights follow from: where it differs, weights do not fit.

        Args:
            shape: Of one input.
        """
        sizes = {name: getattr(self, name) for name in self.SIZES}
        return {"type": self.type, "inputs": shape[0], **sizes}

    @abstractmethod
    def misfits(self, shape: Shape) -> list[Broken]:
        """Rules that inputs of a shape break: path of the field in here, and the message."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """What comes out of inputs of a shape that fits."""

    def why_not_stacked(self) -> str | None:
        """Why several such networks must be trained one by one; None if they need not."""
        return "only fully connected networks are trained together"

    @property
    def normalizes_batches(self) -> bool:
        """Whether what comes out of an input depends on the others of its batch in training."""
        return bool(getattr(self, "batch_norm", False))

    def why_not_split(self) -> str | None:
        """Why a batch cannot be split between processes; None if it can."""
        if self.normalizes_batches:
            return "batch normalisation is of whole batches"
        if any(getattr(self, name, 0) for name in ("dropout", "input_dropout")):
            return "dropout draws masks for whole batches"
        return None


class HiddenLayersSpec(NetworkSpec):
    """A network with one kind of activation after its hidden layers."""

    WIDTHS: ClassVar[str | None] = None
    """The field that has the widths of the layers; None where they are given."""
    NARROWS: ClassVar[bool] = False
    """Whether a layer may follow an activation that leaves fewer units than it got."""

    activation: Activation
    """Activation after every hidden layer; of images it acts on the channels of each pixel."""
    groupings: Groupings = 2
    """Group SIZES of group_sort and maxout: one for all layers, a list with one per layer (per
    stage of a lipschitz_resnet), or `full` (the whole layer is one group). maxmin is group_sort on
    pairs: always 2. Other activations have no groups."""

    @abstractmethod
    def hidden_widths(self) -> tuple[int, ...]:
        """Units or channels of each layer, or stage, that has activations."""

    def group_sizes(self) -> tuple[int, ...]:
        """Group size in each of them."""
        hidden = self.hidden_widths()
        if self.groupings == "full":
            return hidden
        if isinstance(self.groupings, int):
            return (self.groupings,) * len(hidden)
        return self.groupings[: len(hidden)]

    @model_validator(mode="after")
    def _activation_fits_its_layers(self) -> Self:
        problem = self._bad_number_of_groupings() or self._bad_width() or self._bad_group()
        if problem is not None:
            raise rule_broken(problem)
        return self

    def _bad_number_of_groupings(self) -> Broken | None:
        hidden = len(self.hidden_widths())
        if not isinstance(self.groupings, tuple) or len(self.groupings) in (hidden, hidden + 1):
            return None
        message = (
            "must have one entry per layer (the last may be left out), got "
            f"{len(self.groupings)} entries for {hidden + 1} layers"
        )
        return ("groupings",), message

    def _bad_width(self) -> Broken | None:
        if self.activation == "maxout" and not self.NARROWS:
            message = (
                "must leave the number of channels as it is, because this network's layers have "
                "fixed sizes, got maxout; use group_sort, or maxout in fully_conv"
            )
            return ("activation",), message
        odd = [width for width in self.hidden_widths() if width % 2]
        if self.activation == "householder" and odd and self.WIDTHS is not None:
            message = f"must have even hidden widths for householder's pairs, got {odd[0]}"
            return (self.WIDTHS,), message
        return None

    def _bad_group(self) -> Broken | None:
        if self.activation not in ("maxmin", "group_sort", "maxout"):
            return None
        for size, width in zip(self.group_sizes(), self.hidden_widths(), strict=True):
            if width % size:
                message = (
                    f"must divide its layer, got groupings={size} and layer={width}; change one "
                    "of them so that it does"
                )
                return ("groupings",), message
            if self.activation == "maxmin" and size != 2:
                message = (
                    f"must be 2 for maxmin, which is group_sort on pairs, got {self.groupings}; "
                    "use activation: group_sort for other sizes"
                )
                return ("groupings",), message
        return None
