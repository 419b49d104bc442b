"""Drawing trials of a store."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lnets.errors import NotFoundError
from lnets.results.plots import draw_trial, trials_to_draw
from lnets.results.store import Store
from lnets.specs.figures import FIGURES
from lnets.sweep.overview import find_sweep

_KEY_DIGITS = 12


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
    trials = trials_to_draw(store, trial_keys(store, named))
    if not trials:
        raise NotFoundError(
            f"{store.root}: no trial of `{named}` has finished; submit it, then draw it."
        )
    for trial in trials:
        folder = store.artifacts(trial.trial_key)
        pictures = folder / FIGURES if out is None else out / trial.trial_key[:_KEY_DIGITS]
        yield from draw_trial(trial, folder, pictures)


def trial_keys(store: Store, named: str) -> Sequence[str]:
    """The trials that a sweep's name, id or file, or the first digits of a key mean.

    Raises:
        NotFoundError: If the store has no such sweep or trial.
    """
    if re.fullmatch(rf"[0-9a-f]{{{_KEY_DIGITS},64}}", named):
        known = store.table("trials", ["trial_key"])["trial_key"].unique().to_pylist()
        found = [key for key in known if key.startswith(named)]
        if found:
            return found
    return find_sweep(store, named)[0].trial_keys
