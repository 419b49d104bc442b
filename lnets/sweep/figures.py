"""Drawing trials of a store."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lnets.errors import NotFoundError, writing
from lnets.results.groups import configurations
from lnets.results.lineage import key_that_begins
from lnets.results.plots import DrawnTrial, draw_trial, trials_to_draw
from lnets.results.query import connect
from lnets.results.records import KEY_DIGITS
from lnets.results.selected import Selected
from lnets.results.store import Store
from lnets.specs.figures import FIGURES
from lnets.sweep.overview import find_sweep, submissions

_LONGEST = 100


def draw(store: Store, named: str, out: Path | None) -> Iterator[Path]:
    """Draw the finished trials of a sweep, or one trial.

    Args:
        store: Where they are.
        named: Name, id or file of a sweep, or how a trial key begins, which no other does.
        out: Where pictures go, in a folder per trial that is named after its configuration, seed
            and key; None puts them into the trials' own folders.

    Returns:
        The files, as they are written.

    Raises:
        NotFoundError: If the store has no such sweep or trial, or nothing of it has finished.
        SpecError: If `out` cannot be written.
    """
    trials = trials_to_draw(store, keys_of(store, named))
    if not trials:
        raise NotFoundError(
            f"{store.root}: no trial of `{named}` has finished; submit it, then draw it."
        )
    labels = {} if out is None else labels_of(store, named)
    for trial in trials:
        folder = store.artifacts(trial.trial_key)
        pictures = folder / FIGURES
        if out is not None:
            pictures = out / _folder_name(trial, labels)
            with writing(pictures):
                pictures.mkdir(exist_ok=True)
        yield from draw_trial(trial, folder, pictures)


def keys_of(store: Store, named: str) -> Sequence[str]:
    """Keys of the trials of a sweep, or of one trial.

    Args:
        store: Where they are.
        named: As for `draw`.

    Raises:
        NotFoundError: If the store has no such sweep or trial.
        SpecError: If several keys begin so.
    """
    return _trials_named(store, named) or find_sweep(store, named)[0].trial_keys


def labels_of(store: Store, named: str) -> dict[str, str]:
    """What tells the configuration of each trial of a sweep from the others.

    Args:
        store: Where they are.
        named: As for `draw`.

    Returns:
        By trial key; nothing for a trial alone, or a sweep of one configuration.
    """
    if _trials_named(store, named):
        return {}
    sweep, spec = find_sweep(store, named)
    selected = Selected.of(connect(store), [sweep])
    groups = configurations(selected, list(spec["search"]), spec["table"]["rows"])
    return {
        trial.trial_key: group.label
        for group in groups
        for trial in group.trials
        if len(groups) > 1
    }


def _trials_named(store: Store, named: str) -> Sequence[str]:
    if not re.fullmatch(r"[0-9a-f]{4,64}", named) or any(
        named in (row["name"], row["sweep_id"]) for row in submissions(store)
    ):
        return ()
    key = key_that_begins(store.table("trials", ["trial_key"]), named)
    return () if key is None else (key,)


def _folder_name(trial: DrawnTrial, labels: Mapping[str, str]) -> str:
    parts = (labels.get(trial.trial_key), f"seed={trial.seed}", trial.trial_key[:KEY_DIGITS])
    return re.sub(r"[^\w.=-]+", "_", "_".join(part[-_LONGEST:] for part in parts if part))
