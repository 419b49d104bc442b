"""Trials that several workers train together: what cannot be shared is found beforehand."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import ClusterError, SpecError
from lnets.specs.load import load_sweep
from lnets.specs.sweep import ResourcesSpec, SweepSpec
from lnets.sweep.grouping import make_groups
from lnets.sweep.local import submit_here
from lnets.sweep.plan import make_plan
from lnets.sweep.preview import preview
from tests.conftest import CLASSIFIER, TINY

Write = Callable[..., Path]
RANDOM = {"type": "random", "configurations": 8}


def question(experiment: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    whole = {**copy.deepcopy(CLASSIFIER), **(experiment or {})}
    return {"name": "shared", "experiment": whole, "resources": {"workers": 2}, **changes}


def sweep(data: dict[str, Any]) -> SweepSpec:
    return SweepSpec.model_validate_json(json.dumps(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({**TINY, "resources": {"workers": 2}}, "trials of wasserstein are trained by one process"),
        (question({"loss": {"type": "hinge_kr"}}), "the dual value of hinge_kr is of whole"),
        (question({"spectral_jacobian": 0.1}), "the spectral-Jacobian penalty is of whole"),
        (question({"batch_size": 1}), "2 processes cannot share a batch of 1"),
        (question({"model": {**CLASSIFIER["model"], "dropout": 0.1}}), "dropout draws masks"),
        (question({"model": {**CLASSIFIER["model"], "input_dropout": 0.1}}), "dropout draws"),
        *((question({"model": {"type": network, "output_dim": 10}}), "batch normalisation is of")
          for network in ("resnet32", "wide_resnet32")),
        (question(search={"batch_size": [64, 1]}), 'with {"batch_size": 1}, because 2 processes'),
    ],
)  # fmt: skip
def test_what_is_of_whole_batches_is_refused(
    data: dict[str, Any], reason: str, write: Write
) -> None:
    with pytest.raises(SpecError) as caught:
        load_sweep(write(data))
    [problem] = caught.value.problems
    assert problem.path == "resources.workers"
    assert problem.message.startswith("must be 1")
    assert reason in problem.message
    assert "spec.yaml:" in problem.where


def test_a_part_of_a_gpu_is_refused(write: Write) -> None:
    resources = {"workers": 2, "gpu": 0.5}
    with pytest.raises(SpecError, match=r"resources.gpu: must be whole .* got 0.5; set it to 1"):
        load_sweep(write(question(resources=resources)))
    for fine in ({"workers": 2, "gpu": 1.0}, {"workers": 1, "gpu": 0.5}):
        assert load_sweep(write(question(resources=fine))).resources.workers == fine["workers"]


def test_sampled_configurations_that_cannot_be_shared_are_skipped() -> None:
    search = {"loss": [{"type": "cross_entropy"}, {"type": "hinge_kr"}]}
    plan = make_plan(sweep(question(search=search, algorithm=RANDOM)))
    assert [trial.experiment.loss.type for trial in plan.trials] == ["cross_entropy"] * 3
    assert {skipped.reason for skipped in plan.skipped} == {
        "resources.workers must be 1, because the dual value of hinge_kr is of whole batches"
    }


def test_they_are_trained_one_by_one_and_the_plan_says_so(tmp_path: Path) -> None:
    plan = make_plan(sweep(question(seeds=4)))
    assert make_groups(plan.trials, plan.sweep.resources, workers=1) == [(t,) for t in plan.trials]
    text = preview(plan, tmp_path / "store").to_text()
    assert "groups, each trained at once: 4" in text
    assert "one by one: resources.workers: 2 processes train each" in text


def test_every_worker_needs_memory_for_the_network() -> None:
    """About 3 × 4 × 3,500 bytes each, and what a batch takes."""
    (trial,) = make_plan(sweep(question(seeds=1))).trials
    for workers in (1, 2):
        resources = ResourcesSpec(workers=workers, memory=5e-4)
        assert make_groups([trial], resources, workers=1) == [(trial,)]
    with pytest.raises(SpecError, match=r"must hold a trial at least, got 0\.0005 GiB"):
        make_groups([trial], ResourcesSpec(workers=32, memory=5e-4), workers=1)


def test_one_process_does_not_run_them(tmp_path: Path) -> None:
    plan = make_plan(sweep(question()))
    with pytest.raises(ClusterError, match=r"asks for workers: 2, .* set resources.workers to 1"):
        submit_here(plan, tmp_path / "store", "in-process")
