import json
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from lnets.specs.experiments import EXPERIMENT
from lnets.specs.identity import canonical_json, config_key, sweep_id, trial_key
from lnets.specs.schemas import schemas, stale
from lnets.specs.sweep import SweepSpec
from tests.conftest import REPOSITORY

SWEEPS = sorted((REPOSITORY / "sweeps").glob("*.yaml"))


def sweep(data: dict[str, Any]) -> SweepSpec:
    return SweepSpec.model_validate_json(json.dumps(data))


def test_a_spec_survives_its_canonical_json(tiny: dict[str, Any]) -> None:
    original = sweep(tiny)
    again = SweepSpec.model_validate_json(canonical_json(original))
    assert again == original
    assert canonical_json(again) == canonical_json(original)
    assert sweep_id(again) == sweep_id(original)


@pytest.mark.parametrize(
    ("changes", "best"),
    [
        ({}, "wasserstein_estimate"),
        ({"table": {"values": ["lipschitz_upper_bound", "tightness"]}}, "tightness"),
        ({"table": {"values": ["lipschitz_upper_bound"]}}, "wasserstein_estimate"),
        ({"algorithm": {"type": "grid", "objectives": [{"minimize": "train_seconds"}]}}, None),
    ],
)
def test_what_is_best_is_what_the_table_begins_with(
    tiny: dict[str, Any], changes: dict[str, Any], best: str | None
) -> None:
    if "table" in changes:
        changes["table"]["rows"] = ["optim.lr"]
    (objective,) = sweep(tiny | changes).objectives()
    assert objective.maximize == best
    assert objective.metric == best or objective.minimize == "train_seconds"


def test_identity_is_content(tiny: dict[str, Any]) -> None:
    experiment = sweep(tiny).experiment
    spelled_out = {**tiny["experiment"], "batch_size": 2}
    spelled_out["optim"] = {"momentum": 0.9, "lr": 0.1, "type": "sgd", "schedule": None}
    same = EXPERIMENT.validate_json(json.dumps(spelled_out))
    assert config_key(same) == config_key(experiment)
    assert trial_key(same, 1) == trial_key(experiment, 1)
    assert trial_key(same, 1) != trial_key(experiment, 2)
    other = EXPERIMENT.validate_json(json.dumps({**spelled_out, "steps": 4}))
    assert config_key(other) != config_key(experiment)


def test_a_frozen_spec_cannot_change(tiny: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        sweep(tiny).name = "other"  # type: ignore[misc]


def test_the_layout_has_a_default(tiny: dict[str, Any]) -> None:
    layout = sweep(tiny).table_layout()
    assert layout.rows == ("optim.lr",)
    assert layout.values == ("wasserstein_estimate",)
    del tiny["search"]
    assert sweep(tiny).table_layout().rows == ("task",)


def test_a_grid_is_bounded(tiny: dict[str, Any]) -> None:
    tiny["search"] = {
        "steps": {"int": [1, 1000]},
        "batch_size": {"int": [1, 1000]},
    }
    with pytest.raises(ValidationError, match="at most 100,000, got 2,000,000"):
        sweep(tiny)


def test_the_files_in_schemas_are_current() -> None:
    assert not stale(REPOSITORY / "schemas"), "changed, please run `lnets-sweep schema --write`"


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.name)
def test_shipped_sweeps_follow_their_schema(file: Any) -> None:
    """Editors check what people write by these schemas, so they must accept what is right."""
    jsonschema.validate(yaml.safe_load(file.read_text()), schemas()["sweep.schema.json"])


def test_the_schema_refuses_what_the_specs_refuse(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"]["activation"] = "rellu"
    with pytest.raises(jsonschema.ValidationError, match="rellu"):
        jsonschema.validate(tiny, schemas()["sweep.schema.json"])


def test_every_field_is_described() -> None:
    undescribed = [
        f"{name}.{field}"
        for schema in schemas().values()
        for name, model in schema["$defs"].items()
        for field, value in model.get("properties", {}).items()
        if field != "type" and "description" not in value
    ]
    assert undescribed == []


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ({"int": [3, 1]}, "0.bjorck_iter.int must have low < high, got [3, 1]"),
        ({"int": [0, 3]}, "model.linear.bjorck_iter should be greater than or equal to 1, got 0"),
        ({"uniform": [1, 2]}, "a grid needs a list of values, got a continuous range"),
        ({"int": [1, 3], "by": 2}, "0.bjorck_iter.by"),
    ],
)
def test_ranges_inside_listed_values_are_checked(
    tiny: dict[str, Any], inside: dict[str, Any], message: str
) -> None:
    tiny["search"] = {"model.linear": [{"type": "bjorck", "bjorck_iter": inside}]}
    with pytest.raises(ValidationError) as raised:
        SweepSpec.model_validate_json(json.dumps(tiny))
    assert message in " ".join(str(raised.value).split())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": {"type": "asha", "grace": 0.9}}, "must leave something of the training"),
        (
            {
                "scheduler": {"type": "population", "grace": 0.5},
                "algorithm": {"type": "optuna", "configurations": 4},
            },
            "proposes configurations itself",
        ),
        (
            {
                "scheduler": {"type": "median", "grace": 0.5},
                "algorithm": {
                    "type": "grid",
                    "objectives": [{"maximize": "tightness"}, {"minimize": "train_seconds"}],
                },
            },
            "compares by one objective",
        ),
    ],
)
def test_a_scheduler_that_does_not_fit_is_refused(
    tiny: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    tiny["experiment"]["log_every"] = 1
    with pytest.raises(ValidationError) as raised:
        sweep({**tiny, **changes})
    assert message in " ".join(str(raised.value).split())


def test_a_scheduler_is_refused_where_nothing_is_trained() -> None:
    attacked = {
        "task": "robustness",
        "classifier": "0" * 64,
        "norm": "l2",
        "attacks": [{"type": "pgd"}],
        "epsilons": [0.5],
    }
    with pytest.raises(ValidationError, match="trials of robustness train nothing; leave it out"):
        sweep({"name": "attacked", "experiment": attacked, "scheduler": {"type": "asha"}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at": 3, "lr": 0.1}, "must be a multiple of 2 between the change before and the end"),
        ({"at": 8, "lr": 0.1}, "0 and 8 steps, got 8"),
        ({"at": 2, "bjorck_iter": 3}, "is for models of fully connected Björck layers"),
    ],
)
def test_changes_on_the_way_are_checked(
    tiny: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    tiny["experiment"] |= {"steps": 8, "changes": [change]}
    tiny["experiment"]["model"]["linear"] = {"type": "orthogonal"}
    with pytest.raises(ValidationError) as raised:
        sweep(tiny)
    assert message in " ".join(str(raised.value).split())
