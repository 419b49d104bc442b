import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from lnets.errors import DataError
from lnets.specs.point_cloud import PointCloudSpec
from lnets.specs.points import read_points


def read(file: Path, **changes: Any) -> np.ndarray:
    return read_points(file, **{"dim": 3, "support": None, "sha256": None, **changes})


def write(file: Path, points: Any) -> Path:
    if file.suffix == ".npy":
        np.save(file, points)
    else:
        pq.write_table(pa.table({f"x{i}": c for i, c in enumerate(np.asarray(points).T)}), file)
    return file


@pytest.mark.parametrize("name", ["points.npy", "points.parquet"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "uint8"])
def test_points_are_read_as_they_are(tmp_path: Path, name: str, dtype: str) -> None:
    points = np.random.default_rng(0).uniform(0, 200, size=(9, 3)).astype(dtype)
    file = write(tmp_path / name, points)
    found = read(file, sha256=hashlib.sha256(file.read_bytes()).hexdigest(), support=(0, 200))
    assert found.dtype == np.float64
    assert np.array_equal(found, points.astype(np.float64))


POINTS = np.arange(12.0).reshape(4, 3)
BAD = np.where(POINTS == 7, np.nan, POINTS)


@pytest.mark.parametrize("name", ["points.npy", "points.parquet"])
@pytest.mark.parametrize(
    ("points", "changes", "rule"),
    [
        (BAD, {}, r"must be finite in float32, but row 2 .*1 such rows.*leave them out"),
        (np.where(POINTS == 0, 1e300, POINTS), {}, "must be finite in float32, but row 0"),
        (POINTS, {"dim": 2}, r"must be n × dim = n × 2, got 4 × 3"),
        (POINTS[:3], {}, "at least 4 points, two for each half, got 3"),
        (POINTS, {"support": (0.0, 10.0)}, "in `support`, 0 to 10, but row 3"),
        (POINTS, {"sha256": "0" * 64}, "must have the SHA-256 000.*has changed since"),
    ],
)
def test_what_is_wrong_with_points_is_said(
    tmp_path: Path, name: str, points: Any, changes: dict[str, Any], rule: str
) -> None:
    file = write(tmp_path / name, points)
    with pytest.raises(DataError, match=rule) as caught:
        read(file, **changes)
    assert str(file) in str(caught.value)
    if "sha256" not in changes:
        spec = {"type": "point_cloud", "path": str(file), "dim": 3, **changes}
        with pytest.raises(ValidationError, match=rule):
            PointCloudSpec.model_validate(spec)


def test_what_is_no_matrix_of_numbers_is_refused(tmp_path: Path) -> None:
    npy, parquet = tmp_path / "a.npy", tmp_path / "a.parquet"
    np.save(npy, np.array([["a", "b", "c"]] * 4))
    pq.write_table(pa.table({"a": [1.0, 2.0], "name": ["x", "y"]}), parquet)
    with pytest.raises(DataError, match="it holds <U1"):
        read(npy)
    with pytest.raises(DataError, match="column name holds string"):
        read(parquet)
    np.save(npy, np.arange(12.0))
    with pytest.raises(DataError, match="n × 3, got 12"):
        read(npy)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[object()] * 3] * 4), allow_pickle=True)
    with pytest.raises(DataError, match="allow_pickle"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["points.npy", "points.parquet"])
def test_damaged_and_missing_files_are_refused(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, POINTS)
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match="must be a matrix of numbers"):
        read(file)
    file.unlink()
    with pytest.raises(DataError, match=r"cannot be read: No such file.*LNETS_DATA"):
        read(file)


def test_a_column_with_gaps_is_not_finite(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None, 3, 4], "b": [1, 2, 3, 4], "c": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="must be finite in float32, but row 1"):
        read(tmp_path / "a.parquet")
