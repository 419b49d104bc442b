"""A report of 2,000 trials in Chromium, beside what opening it may cost."""

import statistics
import tempfile
from pathlib import Path

from benchmarks.measurement import Measurement
from tests.browser import page
from tests.sweep.test_browser import write

CONFIGURATIONS, SEEDS = 400, 5
LIMIT = 3.0
ROUNDS = 5


def measure() -> list[Measurement]:
    """Median seconds of the page's own thread until all of it is drawn; the baseline is the limit.

    That thread's time is not other processes', but a machine that they keep busy is slower.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder), CONFIGURATIONS, SEEDS)
        rounds = [_seconds(file, Path(folder) / f"profile-{i}") for i in range(ROUNDS)]
    case = f"{CONFIGURATIONS * SEEDS:,} trials open, beside the limit"
    return [Measurement("report", case, statistics.median(rounds), LIMIT, "s")]


def _seconds(file: Path, profile: Path) -> float:
    with page(profile) as opened:
        opened.call("Performance.enable", timeDomain="threadTicks")
        opened.open(file)
        measured = opened.call("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in measured if one["name"] == "TaskDuration"))
