"""The results store: Delta tables in a folder, a spool of finished trials before them.

A worker puts every finished trial into `spool/` by an atomic rename. Whoever holds the store's
lock moves what is spooled into the tables: curves first, then trials, then the spool files go. A
process killed anywhere in between leaves spool files, whose trials the tables know or do not know;
moving them again adds exactly what is missing.
"""

import contextlib
import fcntl
import json
import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError
from pydantic import ValidationError

from lnets.errors import NotFoundError, StoreError
from lnets.results import delta
from lnets.results.files import write_atomically
from lnets.results.records import TABLES, Ended, SweepRecord, TrialRecord, curve_points

SCHEMA_VERSION = 1
_MARKER = "lnets-store.json"
_DAMAGED = ".damaged"
_log = logging.getLogger(__name__)


class Store:
    """A results store in a local folder.

    Args:
        root: The folder.
        create: Whether to make a store there if the folder is missing or empty.

    Raises:
        NotFoundError: If there is no store and `create` is false.
        StoreError: If the folder holds something else, is not writable, or was made by a newer
            version. Nothing is touched then.
    """

    def __init__(self, root: Path, *, create: bool = False) -> None:
        if ":/" in str(root):
            raise StoreError(f"{root}: a store is a folder of this machine or of a shared drive.")
        self.root = root.absolute()
        self._seen = (-1, Ended.of([]))
        try:
            self._check_or_create(create)
        except OSError as error:
            raise StoreError(f"{root}: the store cannot be used: {error.strerror}.") from None

    @property
    def spool(self) -> Path:
        """Where finished trials wait for the tables."""
        return self.root / "spool"

    def waiting(self) -> Iterator[Path]:
        """Files of spooled records; hidden ones are being written, or their writer was killed."""
        return (file for file in self.spool.glob("[!.]*") if file.suffix != _DAMAGED)

    def artifacts(self, trial_key: str) -> Path:
        """Where a trial's files are."""
        return self.root / "artifacts" / trial_key

    def put(self, record: TrialRecord) -> None:
        """Spool an ended trial: from here on it cannot be lost.

        A failure never takes the place of a result that a dying worker still spooled.
        """
        at = "" if record.paused_at is None else f".{record.paused_at}"
        file = self.spool / f"{record.trial_key}{at}.json"
        if record.finished or not file.exists():
            try:
                write_atomically(file, record.model_dump_json())
            except OSError as error:
                raise StoreError(f"{file}: cannot be written: {error.strerror}") from None

    def spooled(self, trial_key: str) -> TrialRecord | None:
        """A trial's latest record if it waits in the spool."""
        records = [r for f in self.spool.glob(f"{trial_key}.*") if (r := _read(f)) is not None]
        return max(records, key=lambda r: (r.finished, r.attempt), default=None)

    @property
    def seen(self) -> Ended:
        """What had ended when the tables were last looked at; costs nothing."""
        return self._seen[1]

    def commit(self) -> list[TrialRecord]:
        """Move what is spooled into the tables, each finished trial once.

        Returns:
            The records that were new.

        Raises:
            StoreError: If the tables cannot be written; the spool is kept.
        """
        with self.locked():
            ended = self._ended()
            # A worker may spool a trial again at any moment: what is read here, and deleted below,
            # goes by a name that no worker writes.
            for file in self.spool.glob("*.json"):
                file.rename(file.with_suffix(f".{uuid.uuid4().hex}.taken"))
            files = sorted(self.spool.glob("*.taken"))
            records = [record for file in files if (record := self._take(file)) is not None]
            new: list[TrialRecord] = []
            for record in sorted(records, key=TrialRecord.turn):
                if not ended.covers(record):
                    new.append(record)
                    ended = ended.plus([record])
            if new:
                self._append(new)
            for file in files:
                file.unlink(missing_ok=True)
            return new

    def add_sweep(self, record: SweepRecord) -> None:
        """Note a submission; as later than all before, for clocks differ, and the latest counts."""
        with self.locked():
            before = self.table("sweeps", ["submitted_at"])["submitted_at"].to_pylist()
            at = max([record.submitted_at, *(one + timedelta(microseconds=1) for one in before)])
            self.append("sweeps", [record.model_dump() | {"submitted_at": at}])

    def has_sweep(self, sweep_id: str) -> bool:
        """Whether a sweep has been submitted before."""
        return sweep_id in self.table("sweeps", ["sweep_id"])["sweep_id"].to_pylist()

    def ended(self) -> Ended:
        """What has ended so far, the spool included."""
        ended = self._ended()
        return ended.plus([record for file in self.waiting() if (record := _read(file))])

    def compact(self) -> None:
        """Merge small files, so that reading stays fast."""
        with self.locked():
            for name in TABLES:
                if self._exists(name):
                    delta.open_table(self.root / name).optimize.compact()

    def table(
        self, name: str, columns: list[str] | None = None, repeated: Sequence[str] = ()
    ) -> pa.Table:
        """All rows of a table, as Arrow.

        Args:
            name: `sweeps`, `trials`, `curves` or `proposals`.
            columns: What to read; None reads all.
            repeated: Columns of long texts that repeat: each text is in memory once.

        Raises:
            StoreError: If the table is damaged.
        """
        schema = TABLES[name]
        return delta.read(self.root / name, schema, columns or schema.names, repeated=repeated)

    def dataset(self, name: str) -> ds.Dataset:
        """All rows of a table, read when they are asked for.

        Args:
            name: `sweeps`, `trials`, `curves` or `proposals`.

        Raises:
            StoreError: If the table is damaged.
        """
        return delta.dataset(self.root / name, TABLES[name])

    def version(self, name: str) -> int | None:
        """Of a table now, by which Delta finds it again later; None if it has no rows."""
        return delta.open_table(self.root / name).version() if self._exists(name) else None

    def superseded(self) -> list[Path]:
        """Files of the tables that no version of the last week uses: `compact` has merged them."""
        return [
            self.root / name / file
            for name in TABLES
            if self._exists(name)
            for file in delta.open_table(self.root / name).vacuum(dry_run=True)
        ]

    def _check_or_create(self, create: bool) -> None:
        marker = self.root / _MARKER
        if not marker.exists():
            if not create:
                raise NotFoundError(
                    f"{self.root}: no results store here; submit a sweep first, or name its store "
                    "with --store or LNETS_STORE."
                )
            # The marker is looked for again, as another process may be making the store just now.
            if self._holds_other_things() and not marker.exists():
                raise StoreError(
                    f"{self.root}: not a results store, because it has no {_MARKER}; name an empty "
                    "or new folder."
                )
            self.root.mkdir(parents=True, exist_ok=True)
            write_atomically(marker, json.dumps({"schema_version": SCHEMA_VERSION}))
        version = self._version(marker)
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.root}: made by a newer lnets (schema {version}, this one knows "
                f"{SCHEMA_VERSION}); upgrade lnets or name another store."
            )
        if create:
            inside = [self.root / name for name in ("artifacts", "live", "logs", *TABLES)]
            for folder in (self.root, self.spool, *filter(Path.exists, inside)):
                folder.mkdir(exist_ok=True)
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise StoreError(f"{folder}: the store is not writable.")

    def _holds_other_things(self) -> bool:
        if not self.root.is_dir():
            return self.root.exists()
        return any(not file.name.startswith(f".{_MARKER}") for file in self.root.iterdir())

    def _version(self, marker: Path) -> int:
        try:
            version = json.loads(marker.read_text())["schema_version"]
        except (ValueError, KeyError, TypeError):
            version = None
        if type(version) is not int or version < 1:
            raise StoreError(f"{marker}: damaged; a store's marker names its schema_version.")
        return version

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else commits while the block runs.

        Raises:
            StoreError: If the store cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(open(self.root / ".lock", "w"))
            except OSError as error:
                reason = error.strerror
                raise StoreError(f"{self.root}: the store is not writable: {reason}") from None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            except (OSError, DeltaError, pa.ArrowException) as error:
                raise StoreError(f"{self.root}: cannot be written: {error}") from None

    def _exists(self, name: str) -> bool:
        return delta.exists(self.root / name)

    def _take(self, file: Path) -> TrialRecord | None:
        """A spooled record; a damaged one is set aside, so that it stops no other."""
        record = _read(file)
        if record is None and file.exists():
            _log.warning("%s is damaged and set aside; its trial will run again.", file)
            file.replace(file.with_suffix(_DAMAGED))
        return record

    def _ended(self) -> Ended:
        version = self.version("trials")
        if version is not None and version != self._seen[0]:
            rows = self.table("trials", ["trial_key", "status", "attempt"]).to_pylist()
            self._seen = (version, Ended.of(rows))
        return self._seen[1]

    def _append(self, records: Sequence[TrialRecord]) -> None:
        curves = [record for record in records if record.curve and record.status != "failed"]
        if curves:
            # There already: the trial had paused, or a commit was killed between the two tables.
            last = self._last_steps({record.trial_key for record in curves})
            rows = [
                {"trial_key": key, **point.model_dump()}
                for key, point in curve_points(curves, last)
            ]
            if rows:
                self.append("curves", rows)
        self.append("trials", [record.trial_row() for record in records])
        version = delta.open_table(self.root / "trials").version()
        self._seen = (version, self._seen[1].plus(records))

    def _last_steps(self, keys: set[str]) -> dict[str, int]:
        among = [("trial_key", "in", sorted(keys))]
        rows = delta.read(self.root / "curves", TABLES["curves"], ["trial_key", "step"], among)
        last = rows.group_by("trial_key").aggregate([("step", "max")])
        return dict(zip(*(last[name].to_pylist() for name in last.column_names), strict=True))

    def append(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Add rows to a table, while it is locked."""
        table = pa.Table.from_pylist(rows, schema=TABLES[name])
        write_deltalake(str(self.root / name), table, mode="append")


def _read(file: Path) -> TrialRecord | None:
    """A spooled record; None if it is damaged, or another process has just moved it."""
    try:
        return TrialRecord.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
