"""A sweep between the images of a GAN, which it needs, and real ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lnets.results.store import Store
from lnets.specs.metrics import FEATURES
from lnets.specs.sweep import SweepSpec
from lnets.sweep.driver import submit
from lnets.sweep.plan import make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner
from tests.conftest import CLASSIFIER
from tests.tasks.gans import data_of

CRITIC = {
    "type": "fully_connected",
    "layers": [8, 1],
    "activation": "maxmin",
    "linear": {"type": "orthogonal"},
}


def sweep(**changes: Any) -> dict[str, Any]:
    samples = {"type": "gan_samples", "gan": "generator", "dataset": "digits"}
    experiment = {
        "task": "wasserstein",
        "distrib1": {**samples, "side": "real"},
        "distrib2": {**samples, "side": "generated"},
        "model": CRITIC,
        "optim": {"type": "adam", "lr": 0.01},
        "steps": 10,
        "batch_size": 16,
        "test_sample_size": 50,
    }
    return {
        "name": "wde_gan",
        "needs": {"generator": {"experiment": data_of("LWGAN", epochs=1, quality=None)}},
        "experiment": experiment,
        "search": {"model.activation": ["maxmin", "relu"]},
        "seeds": 1,
        **changes,
    }


def read(data: dict[str, Any]) -> SweepSpec:
    return SweepSpec.model_validate_json(json.dumps(data))


def test_the_gan_is_trained_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    for changes, trained in (({}, 3), ({}, 0), ({"search": {"steps": [11]}}, 1)):
        plan = make_plan(read(sweep(**changes)))
        assert [trial.label for trial in plan.needed] == ["wde_gan needs generator"]
        progress = Progress.of(plan, 0)
        before = store.table("trials", ["trial_key"]).num_rows
        submit(plan, store, InProcessRunner(), progress)
        assert store.table("trials", ["trial_key"]).num_rows - before == trained
    (gan,) = plan.needed
    left = {file.name for file in store.artifacts(gan.trial_key).iterdir()}
    assert left == {"model.safetensors", "experiment.json", "samples", "animation.gif", "figures"}
    pictures = {file.name for file in (store.artifacts(gan.trial_key) / "figures").iterdir()}
    assert pictures == {"learning_curves.png"}
    rows = store.table("trials", ["status", "metrics"]).to_pylist()
    assert {row["status"] for row in rows} == {"completed"}
    estimates = [json.loads(row["metrics"]).get("wasserstein_estimate") for row in rows]
    assert sum(estimate is not None for estimate in estimates) == 3


def test_a_classifier_that_judges_a_gan_may_be_needed_too(tmp_path: Path) -> None:
    """It is trained before the GAN, and the GAN before what compares its images."""
    given = data_of("WGAN", epochs=1, quality=None, features="judge")
    needs = {"judge": {"experiment": CLASSIFIER}, "generator": {"experiment": given}}
    plan = make_plan(read(sweep(needs=needs, search={})))
    assert [trial.label for trial in plan.needed] == [
        "wde_gan needs judge",
        "wde_gan needs generator",
    ]
    store = Store(tmp_path / "store", create=True)
    submit(plan, store, InProcessRunner(), Progress.of(plan, 0))
    rows = store.table("trials", ["task", "metrics", "started_at"]).to_pylist()
    rows.sort(key=lambda row: row["started_at"])
    assert [row["task"] for row in rows] == ["classification", "gan", "wasserstein"]
    assert set(FEATURES) < set(json.loads(rows[1]["metrics"]))


@pytest.mark.parametrize(
    "features",
    ["another", {"experiment": CLASSIFIER | {"data": {"dataset": "mnist_5k"}}}],
    ids=["a GAN", "of other images"],
)
def test_what_cannot_judge_a_gan_is_refused(features: Any) -> None:
    needs = {"judge": features, "generator": {"experiment": data_of("WGAN", features="judge")}}
    if features == "another":
        needs["judge"] = {"experiment": data_of("WGAN")}
    with pytest.raises(ValidationError, match="features must not be the need `judge`, because"):
        read(sweep(needs=needs))


@pytest.mark.parametrize(
    ("needed", "reason"),
    [
        (CLASSIFIER, "a trial of classification has no generator"),
        (data_of("WGAN", data={"dataset": "mnist_5k"}), "it is of mnist_5k, images of shape"),
    ],
)
def test_what_cannot_be_its_gan_is_refused(needed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=f"the need `generator`, because {reason}"):
        read(sweep(needs={"generator": {"experiment": needed}}))
