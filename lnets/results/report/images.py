"""Pictures that trials have left: grids of samples, landscapes of critics, singular values."""

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lnets.results.groups import EndedTrial, Group
from lnets.results.records import KEY_DIGITS
from lnets.results.store import Store
from lnets.specs.figures import FIGURES

_CONFIGURATIONS = 4
_MOST_BYTES = 6 * 2**20  # of all together, before they are written as text
_WHEN = re.compile(r"_?(step|epoch)_0*(\d+)$")


@dataclass(frozen=True)
class Image:
    """A picture of a trial at the end of its training."""

    title: str
    alternative: str
    """What it shows, in words."""
    address: str
    """The picture itself, as a data URI."""


def trial_images(store: Store, groups: Sequence[Group]) -> tuple[list[Image], int]:
    """The last pictures of one trial of each of the first configurations that have any.

    Args:
        store: Where their files are.
        groups: Configurations, the best first.

    Returns:
        Pictures, and how many there was no room for.
    """
    found: list[Image] = []
    left = _MOST_BYTES
    no_room = 0
    with_pictures = 0
    for group in groups:
        trial, files = _first_with_pictures(store, group)
        if trial is None:
            continue
        for name, when, file in files:
            size = file.stat().st_size
            if size > left:
                no_room += 1
                continue
            left -= size
            found.append(_image(group, trial, name, when, file))
        with_pictures += 1
        if with_pictures == _CONFIGURATIONS:
            break
    return found, no_room


def _first_with_pictures(
    store: Store, group: Group
) -> tuple[EndedTrial | None, list[tuple[str, str, Path]]]:
    for trial in sorted(group.completed, key=lambda trial: trial.seed):
        files = list(_last_pictures(store.artifacts(trial.trial_key)))
        if files:
            return trial, files
    return None, []


def _last_pictures(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """What each series of pictures is of, when its last one is from, and the file."""
    series: dict[str, list[tuple[int, str, Path]]] = {}
    for file in [*folder.glob("samples/*.png"), *folder.glob(f"{FIGURES}/*.png")]:
        when = _WHEN.search(file.stem)
        name = file.stem[: when.start()] if when else file.stem
        if name != "learning_curves":
            at = (int(when[2]), f"{when[1]} {int(when[2]):,}") if when else (0, "")
            series.setdefault(name or "samples", []).append((*at, file))
    for name, files in sorted(series.items()):
        _, when_text, file = max(files)
        yield name.replace("_", " "), when_text, file


def _image(group: Group, trial: EndedTrial, name: str, when: str, file: Path) -> Image:
    of = f"trial {trial.trial_key[:KEY_DIGITS]}, seed {trial.seed}: {group.label}"
    after = f" after {when}" if when else ""
    words = {
        "samples": "A grid of generated images",
        "singular values": "Singular values of each layer over training",
    }.get(name)
    if words is None:
        words = f"The critic: {name}" if name.startswith("landscape") else f"A picture of {name}"
    return Image(
        title=f"{name}{after}; {of}",
        alternative=f"{words}{after}, of {of}.",
        address=f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}",
    )
