"""What a store may lose without losing a row: files that nothing uses any more."""

import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from lnets.results.artifacts import CHECKPOINT, SNAPSHOT
from lnets.results.files import file_clock
from lnets.results.lineage import with_ancestors
from lnets.results.store import Store

# Whatever has been written in the last hour may be at work.
_QUIET_SECONDS = 3600.0


@dataclass(frozen=True)
class Garbage:
    """A file or folder that may go."""

    path: Path
    size: int
    """In bytes."""
    reason: str


def find_garbage(store: Store, keep: Collection[str], under_way: Collection[str]) -> list[Garbage]:
    """Files that neither a kept trial nor a process at work uses; rows are never among them.

    Kept are the trials named, those that they start from, whatever waits in the spool, and all that
    has been written within the hour.

    Args:
        store: Where to look.
        keep: Keys of the trials whose files stay.
        under_way: Keys of those among them whose checkpoints stay too.
    """
    trials = store.table("trials", ["trial_key", "config"])
    configs = dict(zip(*(trials[name].to_pylist() for name in trials.column_names), strict=True))
    spooled = {file.name.partition(".")[0] for file in store.waiting()}
    used = with_ancestors(configs, {*keep, *spooled})
    unused = list(_unused(store, used))
    folders = {one.path for one in unused}
    checkpoints = _checkpoints(store, {*under_way, *spooled})
    left = [o for o in (*checkpoints, *_left_behind(store)) if o.path.parent not in folders]
    return [*unused, *left, *_superseded(store)]


def remove(garbage: Collection[Garbage]) -> None:
    """Remove files and folders, those that are gone already too."""
    for one in garbage:
        if one.path.is_dir():
            shutil.rmtree(one.path, ignore_errors=True)
        else:
            one.path.unlink(missing_ok=True)


def _unused(store: Store, used: Collection[str]) -> Iterator[Garbage]:
    for folder in _inside(store.root / "artifacts"):
        if folder.is_dir() and folder.name not in used and _quiet(folder):
            yield Garbage(folder, _size(folder), "no kept sweep uses it")


def _checkpoints(store: Store, under_way: Collection[str]) -> Iterator[Garbage]:
    """Those of stopped trials, and of populations that have come to their end."""
    for folder in _inside(store.root / "artifacts"):
        for file in (*folder.glob(CHECKPOINT), *folder.glob(SNAPSHOT.format("*"))):
            if folder.name not in under_way and _quiet(file):
                yield Garbage(file, _size(file), "no kept sweep goes on from it")


def _left_behind(store: Store) -> Iterator[Garbage]:
    """Temporary files of writers that were killed, and signs of life of drivers that were."""
    folders = [store.root, store.spool, store.root / "live", *_inside(store.root / "artifacts")]
    for file in (file for folder in folders for file in _inside(folder)):
        temporary = file.name.startswith(".") and file.name != ".lock"
        checkpoint = file.stem == Path(CHECKPOINT).stem and file.suffix[1:].isdigit()
        if file.is_file() and (temporary or checkpoint) and _quiet(file):
            yield Garbage(file, _size(file), "its writer was killed")
    for file in (store.root / "live").glob("[!.]*.json"):
        if _quiet(file):
            yield Garbage(file, _size(file), "its driver was killed")


def _superseded(store: Store) -> Iterator[Garbage]:
    for file in store.superseded():
        yield Garbage(file, _size(file), "merged into others more than a week ago")


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _quiet(path: Path) -> bool:
    try:
        newest = max(file.stat().st_mtime for file in (path, *path.rglob("*")))
    except FileNotFoundError:  # somebody is at work in it
        return False
    return file_clock(path.parent) - newest > _QUIET_SECONDS


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
