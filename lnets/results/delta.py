"""Delta tables in folders, read as Arrow."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pyarrow.parquet import filters_to_expression

from lnets.errors import StoreError


def exists(folder: Path) -> bool:
    """Whether there is a table in a folder."""
    return (folder / "_delta_log").is_dir()


def open_table(folder: Path) -> DeltaTable:
    """The table in a folder.

    Raises:
        StoreError: If its log is damaged.
    """
    try:
        return DeltaTable(str(folder))
    except (DeltaError, OSError) as error:
        raise StoreError(f"{folder}: cannot be read: {error}") from None


def read(
    folder: Path,
    schema: pa.Schema,
    columns: list[str],
    filters: list[tuple[str, str, Any]] | None = None,
    repeated: Sequence[str] = (),
) -> pa.Table:
    """Rows of a table, in memory; none where there is no table.

    Args:
        folder: Of the table.
        schema: Its columns.
        columns: What to read.
        filters: Which rows, as pyarrow's `filters_to_expression` takes it.
        repeated: Columns of long texts that repeat: each text is in memory once.

    Raises:
        StoreError: If the table is damaged.
    """
    if not exists(folder):
        return schema.empty_table().select(columns)
    with _readable(folder):
        options = ds.ParquetReadOptions(dictionary_columns=repeated)
        rows = open_table(folder).to_pyarrow_dataset(
            filesystem=_files(folder), parquet_read_options=options
        )
        return rows.to_table(columns, filters and filters_to_expression(filters))


def dataset(folder: Path, schema: pa.Schema) -> ds.Dataset:
    """All rows of a table, read when they are asked for.

    Raises:
        StoreError: If the table is damaged.
    """
    if not exists(folder):
        return ds.dataset(schema.empty_table())
    with _readable(folder):
        return open_table(folder).to_pyarrow_dataset(filesystem=_files(folder))


def _files(folder: Path) -> SubTreeFileSystem:
    # Arrow's own file system: deltalake's calls back into Python from threads, which aborts an
    # interpreter that is just ending.
    return SubTreeFileSystem(str(folder), LocalFileSystem())


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise StoreError(f"{folder}: damaged, cannot be read: {reason}") from None
