"""A table's answer in one sentence."""

from collections.abc import Sequence

from lnets.results.rendering import format_interval, place_text
from lnets.results.statistics import SIGNIFICANT
from lnets.results.tables import Cell, Table, Winner


def answer(table: Table, *, running: bool = False) -> str:
    """Which configuration is best by the first objective, and how sure that is.

    Args:
        table: Of a sweep.
        running: Whether a driver is at work on it.
    """
    if not table.winners:
        return "No trial has completed yet, so there is no answer."
    missing = sum(counts.missing for counts in table.sweeps)
    if not running and not missing:
        return _sentence(table)
    completed, trials = (sum(getattr(c, n) for c in table.sweeps) for n in ("completed", "trials"))
    state = "still running" if running else f"{missing:,} missing"
    return f"So far ({completed:,} of {trials:,} trials completed, {state}): {_sentence(table)}"


def _sentence(table: Table) -> str:
    winner = table.winners[0]
    way, _, metric = winner.objective.partition(" ")
    best = {"maximize": "largest", "minimize": "smallest"}[way]
    n = winner.cell.interval.n
    seeds = f"{n} seeds" if n > 1 else "one seed"
    found = f"{metric} {format_interval(winner.cell.interval)} over {seeds}"
    place = place_text(winner.cell)
    others = [one for one in table.cells if one.metric == metric and place_text(one) != place]
    if not others:
        return f"{place} has {found}; there is nothing to compare it with."
    return f"{place} has the {best} {found}; {_how_sure(table, winner, others)}."


def _how_sure(table: Table, winner: Winner, others: Sequence[Cell]) -> str:
    ties = [cell for cell in others if cell.best]
    if ties:
        return f"{', '.join(map(place_text, ties))} has the same"
    if not table.tests.telling:
        return "so few seeds cannot show whether that is more than chance"
    worse = sum(cell.p_value is not None and cell.p_value < SIGNIFICANT for cell in others)
    if worse == len(others):
        return f"{_all(worse)} significantly worse"
    good = [place_text(cell) for cell in others if cell.as_good]
    shown = " and ".join([", ".join(good[:-1]), good[-1]] if len(good) > 1 else good)
    named = f", but not {shown}" if 0 < len(good) <= 3 else ""
    return f"{worse} of {len(others)} others are significantly worse{named}"


def _all(number: int) -> str:
    return "the other one is" if number == 1 else f"all {number} others are"
