"""Points in a file, as a distribution."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, model_validator

from lnets.errors import DataError
from lnets.specs.contents import Sha256, with_sha256
from lnets.specs.data import data_folder
from lnets.specs.points import read_points
from lnets.specs.spec import Spec, rule_broken
from lnets.specs.vectors import VectorsSpec

_SUFFIXES = (".npy", ".parquet")
_End = Annotated[float, Field(ge=-1e30, le=1e30)]
# A spec that is looked at before it is validated has lists, where JSON has them.
_Ends = Annotated[tuple[_End, _End], Strict(False)]


class PointCloudSpec(VectorsSpec):
    """Independent samples of an unknown distribution, a point per row of a file.

    Always the same half of them is trained on; the other half gives the bounds.
    """

    type: Literal["point_cloud"]
    path: str = Field(min_length=1)
    """File below the folder of the data sets (`LNETS_DATA`), or anywhere if it begins with `/`.
    `.npy`: a matrix; `.parquet`: a column of numbers per dimension."""
    support: _Ends | None = None
    """Smallest and largest coordinate that the distribution can have, known from elsewhere than
    from these points; null if none are known, and then there is no wasserstein_lower_bound."""
    sha256: Sha256 | None = None
    """Identity of the file, filled in when the spec is read. With it, a spec can be read where the
    file is not."""

    @property
    def file(self) -> Path:
        """Where the points are."""
        return data_folder() / self.path

    def why_dependent(self, other: Spec) -> str | None:
        """The rule that is broken where a point can be a sample of both; None if none can."""
        if not isinstance(other, PointCloudSpec) or self.sha256 != other.sha256:
            return None
        return (
            "must have other points than distrib1, because the bound needs independent samples, "
            f"got {other.path} with the same content; split the file into two"
        )

    @model_validator(mode="before")
    @classmethod
    def _the_file_is_part_of_the_spec(cls, data: Any) -> Any:
        path = data.get("path") if isinstance(data, dict) else None
        if not isinstance(path, str):
            return data
        file = data_folder() / path
        if file.suffix not in _SUFFIXES:
            message = f"must end in {' or '.join(_SUFFIXES)}, got {path}; convert the file"
            raise rule_broken((("path",), message))
        try:
            stat = file.stat()
            found = _sha256(file.absolute(), stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            if data.get("sha256"):
                return data
            message = f"must be a file of points, got {file}: {error.strerror}"
            remedy = "let LNETS_DATA name the folder that has it, or add its `sha256`"
            raise rule_broken((("path",), f"{message}; {remedy}")) from None
        return with_sha256(data, "path", found)

    @model_validator(mode="after")
    def _support_has_a_width(self) -> Self:
        if self.support is not None and self.support[0] >= self.support[1]:
            message = f"must have low < high, got {list(self.support)}; swap or spread them"
            raise rule_broken((("support",), message))
        return self

    @model_validator(mode="after")
    def _the_file_has_such_points(self) -> Self:
        try:
            stat = self.file.stat()
        except OSError:
            return self  # a trial needs it, a spec with its `sha256` does not
        known = (self.file.absolute(), stat.st_mtime_ns, stat.st_size)
        problem = _problem(*known, self.dim, self.support)
        if problem is not None:
            raise rule_broken((("path",), problem))
        return self


@lru_cache(maxsize=64)
def _problem(
    file: Path,
    modified_ns: int,
    size: int,
    dim: int,
    support: tuple[float, float] | None,
) -> str | None:
    try:
        read_points(file, dim=dim, support=support, sha256=None)
    except DataError as error:
        return str(error)
    return None


# A sweep reads its spec once per configuration; the file may be large.
@lru_cache(maxsize=64)
def _sha256(file: Path, modified_ns: int, size: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
