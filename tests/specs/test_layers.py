"""Which options belong to which mode of an orthogonal layer."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from lnets.specs.layers import LinearSpec, OrthogonalLinearSpec

LINEAR: TypeAdapter[Any] = TypeAdapter(LinearSpec)


@pytest.mark.parametrize("mode", ["retract", "rotate"])
def test_a_weight_that_is_kept_orthonormal_may_drift(mode: str) -> None:
    spec = LINEAR.validate_python({"type": "orthogonal", "mode": mode})
    assert isinstance(spec, OrthogonalLinearSpec)
    assert spec.allowed_drift() == 0.01
    for drift in (0, 0.3):
        given = LINEAR.validate_python({"type": "orthogonal", "mode": mode, "drift": drift})
        assert given.allowed_drift() == drift
        assert LINEAR.validate_json(given.model_dump_json()) == given


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "rotate", "method": "qr"}, "method must be left out in mode rotate.*got qr"),
        ({"mode": "retract", "method": "qr"}, "method must be left out in mode retract.*got qr"),
        ({"mode": "forward", "drift": 0.1}, "drift must be left out in mode forward.*got 0.1"),
        ({"mode": "rotated"}, "'forward', 'retract' or 'rotate'"),
        ({"mode": "rotate", "drift": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_does_not_belong_to_a_mode_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LINEAR.validate_python({"type": "orthogonal", **fields})
