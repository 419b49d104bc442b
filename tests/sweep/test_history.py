import pytest

from lnets.sweep.history import brief, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min 0 s"),
        (3725, "1 h 2 min"),
        (3 * 86400 + 5 * 3600 + 59, "3 d 5 h"),
        (86400, "1 d 0 s"),
    ],
)
def test_times_are_told_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_sweep_without_results_has_no_best() -> None:
    row = {
        "name": "a", "sweep_id": "s", "state": "incomplete", "trials": 3, "completed": 1,
        "diverged": 0, "failed": 1, "blocked": 0, "stopped": 0, "missing": 1, "best": None,
        "train_seconds": 2.0, "age_seconds": 1.0,
    }  # fmt: skip
    shown = brief(row)
    assert shown["trials"] == "1 of 3, 1 failed, 1 missing"
    assert shown["best"] == "–"
