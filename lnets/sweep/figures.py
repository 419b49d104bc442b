"""Drawing trials of a store."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lnets.errors import NotFoundError
from lnets.results.plots import KEY_DIGITS, draw_trial, trials_to_draw
from lnets.results.store import Store
from lnets.specs.figures import FIGURES
from lnets.sweep.overview import find_sweep


def draw(store: Store, named: str, out: Path | None) -> Iterator[Path]:
    """Draw the finished trials of a sweep, or one trial.

    Args:
        store: Where they are.
        named: Name, id or file of a sweep, or a trial key or its first digits, 12 at least.
        out: Where pictures go, in a folder per trial; None puts them into the trials' own folders.

    Returns:
        The files, as they are written.

    Raises:
        NotFoundError: If the store has no such sweep or trial, or nothing of it has finished.
    """
    trials = trials_to_draw(store, keys_of(store, named))
    if not trials:
        raise NotFoundError(
            f"{store.root}: no trial of `{named}` has finished; submit it, then draw it."
        )
    for trial in trials:
        folder = store.artifacts(trial.trial_key)
        pictures = folder / FIGURES if out is None else out / trial.trial_key[:KEY_DIGITS]
        yield from draw_trial(trial, folder, pictures)


def keys_of(store: Store, named: str) -> Sequence[str]:
    """Keys of the trials of a sweep, or of one trial.

    Args:
        store: Where they are.
        named: As for `draw`.

    Raises:
        NotFoundError: If the store has no such sweep or trial.
    """
    if re.fullmatch(rf"[0-9a-f]{{{KEY_DIGITS},64}}", named):
        known = store.table("trials", ["trial_key"])["trial_key"].unique().to_pylist()
        found = [key for key in known if key.startswith(named)]
        if found:
            return found
    return find_sweep(store, named)[0].trial_keys
