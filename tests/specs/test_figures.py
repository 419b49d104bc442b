import json
from typing import Any

import pytest
from pydantic import ValidationError

from lnets.specs.figures import MAX_POINTS, LineSpec, PlaneSpec, num_points
from lnets.specs.wasserstein import WassersteinSpec
from lnets.specs.wording import worded

LINE = {"type": "line", "xrange": [-1.2, 1.2], "step": 0.02}
PLANE = {"type": "plane", "xrange": [-4.1, 4.1], "yrange": [-1.1, 1.1], "step": 0.02}


def mistakes(tiny: dict[str, Any], dim: int, **fields: Any) -> list[str]:
    """Dotted path and message of each, of an experiment in so many dimensions."""
    data = tiny["experiment"] | fields
    data |= {name: data[name] | {"dim": dim} for name in ("distrib1", "distrib2")}
    with pytest.raises(ValidationError) as caught:
        WassersteinSpec.model_validate_json(json.dumps(data))
    return [
        f"{'.'.join(map(str, path))}: {message}"
        for _, path, message in worded(caught.value, WassersteinSpec, data)
    ]


@pytest.mark.parametrize(
    ("dim", "landscape", "message"),
    [
        (1, {**LINE, "xrange": [1.2, -1.2]},
         "xrange: must rise, got [1.2, -1.2]; write the lower end first"),
        (2, {**PLANE, "yrange": [1, 1]}, "yrange: must rise, got [1, 1]"),
        (1, {**LINE, "step": 0}, "step: should be greater than or equal to 0.000000001, got 0"),
        (1, {**LINE, "step": 3}, "step: must leave two points on an axis, got 3; choose a smaller"),
        (1, {**LINE, "step": 1e-9}, "step: must leave 250,000 points at most, got 1e-09, which "
                                    "leaves 2,400,000,001; choose a larger value"),
        (2, {**PLANE, "step": 0.005}, "step: must leave 250,000 points at most, got 0.005, which "
                                      "leaves 1,641 × 441"),
        (2, {**PLANE, "elev": [91]}, "elev.0: should be less than or equal to 90, got 91"),
        (2, {**PLANE, "azim": []}, "azim: should have at least 1 item"),
        (2, {**PLANE, "elev": [0, 0]}, "elev: must differ, got [0.0, 0.0]; leave out the doubles"),
        (2, {**PLANE, "fig_types": ["contours"]}, "fig_types.0: must be `contour`"),
        (2, {**PLANE, "every": 0}, "every: should be greater than or equal to 1, got 0"),
        (3, PLANE, "type: must be `slices` for samples of 3 numbers, got `plane`: a line is for 1"),
        (1, PLANE, "type: must be `line` for samples of 1 numbers, got `plane`"),
        (2, LINE, "type: must be `plane` for samples of 2 numbers, got `line`"),
        (1, {"type": "slices"}, "type: must be `line` for samples of 1 numbers, got `slices`"),
        (3, {"type": "slices", "planes": 0, "lines": 0}, "planes: must not be 0 where lines is 0"),
        (3, {"type": "slices", "resolution": 1}, "resolution: should be greater than or equal to"),
        (3, {"type": "slice"}, "type: must be `line`, `plane` or `slices`, got \"slice\"; did you"),
    ],
)  # fmt: skip
def test_a_landscape_that_cannot_be_is_refused(
    tiny: dict[str, Any], dim: int, landscape: dict[str, Any], message: str
) -> None:
    (found,) = mistakes(tiny, dim, landscape=landscape)
    assert found.startswith(f"landscape.{message}")


def test_both_ranges_are_told_at_once(tiny: dict[str, Any]) -> None:
    landscape = {**PLANE, "xrange": [1, 0], "yrange": [1, 0]}
    found = mistakes(tiny, 2, landscape=landscape)
    assert [text.partition(":")[0] for text in found] == ["landscape.xrange", "landscape.yrange"]


def test_singular_values_need_a_period(tiny: dict[str, Any]) -> None:
    (found,) = mistakes(tiny, 1, singular_values={"every": 0})
    assert found.startswith("singular_values.every: should be greater than or equal to 1, got 0")
    (found,) = mistakes(tiny, 1, singular_values={})
    assert found == "singular_values.every: is required; add `every: …`"


@pytest.mark.parametrize(
    ("interval", "step", "count"),
    [((-1.2, 1.2), 0.02, 121), ((-4.1, 4.1), 0.02, 411), ((0, 1), 0.3, 4), ((0, 1), 1, 2)],
)
def test_grids_reach_their_ends(interval: tuple[float, float], step: float, count: int) -> None:
    assert num_points(interval, step) == count


def test_the_originals_grids_are_accepted() -> None:
    LineSpec.model_validate_json(json.dumps(LINE))
    plane = PlaneSpec.model_validate_json(json.dumps(PLANE))
    points = num_points(plane.xrange, 0.02) * num_points(plane.yrange, 0.02)
    assert points == 411 * 111 < MAX_POINTS
