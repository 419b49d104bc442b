"""Files of points."""

import hashlib
import io
from pathlib import Path

import numpy as np

from lnets.errors import DataError

_LEAST = 4


def read_points(
    file: Path, *, dim: int, support: tuple[float, float] | None, sha256: str | None
) -> np.ndarray:
    """The points of a file, one per row.

    Args:
        file: `.npy` with a matrix of numbers, or `.parquet` with a column of numbers per dimension.
        dim: How many numbers a point has.
        support: Smallest and largest coordinate that there can be; None if unknown.
        sha256: Of the file that is meant; None takes any.

    Returns:
        n × dim, float64.

    Raises:
        DataError: If the file is not there, is another one, is damaged, or holds something else:
            fewer than four points, points of another width, numbers that are not finite in float32,
            or coordinates outside of the support.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read: {error.strerror}; let LNETS_DATA name the folder that has it"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        raise DataError(
            f"{file}: must have the SHA-256 {sha256}, got {found}; the file has changed since the "
            "experiment was read: bring it back, or submit the experiment again"
        )
    try:
        points = _parse_npy(content) if file.suffix == ".npy" else _parse_parquet(content)
    except Exception as error:  # damaged files raise anything
        raise DataError(
            f"{file}: must be a matrix of numbers ({type(error).__name__}: {error}); write it anew"
        ) from error
    problem = _problem(points, dim, support)
    if problem is not None:
        raise DataError(f"{file}: {problem}")
    return points.astype(np.float64)


def _parse_npy(content: bytes) -> np.ndarray:
    points: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    if points.dtype.kind not in "fiu":
        raise ValueError(f"it holds {points.dtype}")
    return points


def _parse_parquet(content: bytes) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    for field in table.schema:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            raise ValueError(f"column {field.name} holds {field.type}")
    # What is missing becomes NaN.
    return np.stack([column.to_numpy().astype(np.float64) for column in table.columns], axis=1)


def _problem(points: np.ndarray, dim: int, support: tuple[float, float] | None) -> str | None:
    """What is wrong with the points; None if nothing is."""
    if points.ndim != 2 or points.shape[1] != dim:
        shape = " × ".join(map(str, points.shape))
        return f"must be n × dim = n × {dim}, got {shape}; set `dim`, or transpose it"
    if len(points) < _LEAST:
        return f"must have at least {_LEAST} points, two for each half, got {len(points)}"
    with np.errstate(over="ignore"):
        strange = ~np.isfinite(points.astype(np.float32)).all(axis=1)
    if strange.any():
        return (
            f"must be finite in float32, but row {int(strange.argmax())} has other numbers "
            f"({int(strange.sum()):,} such rows); leave them out, or scale them"
        )
    low, high = support or (-np.inf, np.inf)
    outside = ((points < low) | (points > high)).any(axis=1)
    if outside.any():
        return (
            f"must have coordinates in `support`, {low:g} to {high:g}, but row "
            f"{int(outside.argmax())} has others; widen it, or leave it out"
        )
    return None
