"""What all specs have in common."""

from typing import Any

import pytest

from lnets.specs.spec import show

LAYER = {"bias": True, "bjorck_beta": 0.5, "bjorck_iter": 20, "bjorck_order": 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        ({"b": 1, "a": [2]}, '{"b": 1, "a": [2]}'),
        ({**LAYER, "type": "bcop_conv2d"}, '{"type": "bcop_conv2d", "bias": true, "bjorck_beta"'),
        ("x" * 100, f'"{"x" * 76}…'),
    ],
)
def test_what_is_cut_keeps_what_tells_it_from_others(value: Any, text: str) -> None:
    shown = show(value)
    assert shown.startswith(text)
    assert len(shown) <= 80
