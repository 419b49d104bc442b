"""Why a worker has died, in a line, from what Ray says of it in many."""

import re
from pathlib import Path

from lnets.results.records import last_exception

_MEMORY = re.compile(r"was ([\d.]+ ?\wB) used / ([\d.]+ ?\wB) limit")
_DEATH = re.compile(r"The actor (is dead|died) because [^.]*\.")


def last_death(file: str | None) -> str:
    """The latest cause in the file to which Ray Tune appends whatever ends a trial's worker."""
    try:
        text = Path(file or "").read_text()
    except OSError:
        text = ""
    return cause_of_death(text.rpartition("Failure # ")[2].partition("\n")[2])


def cause_of_death(text: str) -> str:
    """What one of Ray's exceptions says that a person wants to know."""
    memory = _MEMORY.search(text)
    if "OOM kill reason" in text and memory:
        return (
            f"out of memory: Ray killed it, because {memory[1]} of {memory[2]} of its machine were "
            "in use; let fewer trials run at once (`resources.max_concurrent`), or make them "
            "smaller"
        )
    if "\n  File " in text:
        return last_exception(text)
    death = _DEATH.search(text)
    return death[0] if death else text.strip().partition("\n")[0] or "the worker died"
