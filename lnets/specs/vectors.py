"""What the specs of distributions of vectors share."""

from pydantic import Field

from lnets.specs.network import Shape
from lnets.specs.spec import Spec


class VectorsSpec(Spec):
    """A distribution of vectors."""

    dim: int = Field(ge=1, le=65536)
    """Numbers per sample."""

    @property
    def shape(self) -> Shape:
        """Of one sample."""
        return (self.dim,)

    @property
    def size(self) -> int:
        """Numbers per sample."""
        return self.dim
