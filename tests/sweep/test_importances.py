"""Importances find the fields that decide, whatever kind of values those have."""

from typing import Any

import pytest

from lnets.results.groups import EndedTrial, Group
from lnets.sweep.importances import importances
from tests.results.test_store import record


def group(number: int, mean: float | None, **values: Any) -> Group:
    row = record(f"{number}")
    fields = {name: getattr(row, name) for name in EndedTrial.__dataclass_fields__}
    fields["metrics"] = {} if mean is None else {"tightness": mean}
    return Group(values, values, (EndedTrial(**fields),))


def test_the_field_that_decides_is_named_first() -> None:
    groups = [
        group(i, float(i % 5), lr=10.0 ** -(i % 5), activation="relu" if i % 2 else None, bias=True)
        for i in range(40)
    ]
    found = importances(groups, "tightness")
    assert list(found) == ["lr", "activation"]
    assert found["lr"] > 0.9
    assert sum(found.values()) == pytest.approx(1.0)
    assert importances(groups, "tightness") == found


def test_lists_sections_and_what_is_missing_are_values() -> None:
    groups = [
        group(i, float(i % 3), layers=[[8, 1], [16, 1], None][i % 3], order=i % 2)
        for i in range(30)
    ]
    assert next(iter(importances(groups, "tightness"))) == "layers"


def test_where_nothing_can_be_said_nothing_is() -> None:
    few = [group(i, float(i), a=i, b=-i) for i in range(7)]
    assert importances(few, "tightness") == {}
    same = [group(i, 1.0, a=i, b=-i) for i in range(20)]
    assert importances(same, "tightness") == {}
    one_field = [group(i, float(i), a=i, b=0) for i in range(20)]
    assert importances(one_field, "tightness") == {}
    unmeasured = [group(i, None, a=i, b=-i) for i in range(20)]
    assert importances(unmeasured, "tightness") == {}
    assert importances([], "tightness") == {}


def test_of_very_many_configurations_some_are_used_evenly() -> None:
    groups = [group(i, float(i // 600), a=i // 600, b=i % 2) for i in range(1200)]
    assert next(iter(importances(groups, "tightness"))) == "a"
