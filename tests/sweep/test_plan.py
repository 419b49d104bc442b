import json
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import SpecError
from lnets.results.store import Store
from lnets.specs.sweep import SweepSpec
from lnets.sweep.driver import submit
from lnets.sweep.overview import sweep_named
from lnets.sweep.plan import expected_seconds, make_plan
from lnets.sweep.preview import preview
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner


def sweep(data: dict[str, Any], **changes: Any) -> SweepSpec:
    return SweepSpec.model_validate_json(json.dumps({**data, **changes}))


def test_a_grid_times_its_seeds(tiny: dict[str, Any]) -> None:
    search = {"optim.lr": [0.1, 0.2], "model.linear.bjorck_iter": {"int": [1, 5], "step": 2}}
    plan = make_plan(sweep(tiny, search=search, seeds=[7, 3]))
    assert plan.num_configurations == 6
    assert len({trial.trial_key for trial in plan.trials}) == 12
    assert plan.trials[0].label == "tiny lr=0.1 bjorck_iter=1 seed=7"
    assert [trial.seed for trial in plan.trials] == [7] * 6 + [3] * 6
    assert {trial.experiment.model.linear.bjorck_iter for trial in plan.trials} == {1, 3, 5}


def test_a_sweep_without_a_search_is_one_configuration(tiny: dict[str, Any]) -> None:
    plan = make_plan(sweep(tiny, search={}))
    assert [trial.label for trial in plan.trials] == ["tiny seed=0", "tiny seed=1"]


def test_labels_use_whole_paths_where_names_repeat(tiny: dict[str, Any]) -> None:
    search = {"distrib1.radius": [0.0], "distrib2.radius": [1.0]}
    assert (
        "distrib1.radius=0.0 distrib2.radius=1.0"
        in make_plan(sweep(tiny, search=search)).trials[0].label
    )


def test_equal_configurations_are_one(tiny: dict[str, Any]) -> None:
    search = {"model.linear": [{"type": "bjorck"}, {"type": "bjorck", "bjorck_iter": 20}]}
    assert make_plan(sweep(tiny, search=search)).num_configurations == 1


RANDOM = {
    "optim.lr": {"log_uniform": [1e-3, 1e-1]},
    "optim.momentum": {"uniform": [0.1, 0.9]},
    "model.linear.bjorck_iter": {"int": [2, 8], "step": 3},
    "model.activation, model.groupings": [["maxmin", 2], ["relu", 3]],
}


def test_the_order_of_fields_decides_nothing_that_is_drawn(tiny: dict[str, Any]) -> None:
    inside = {"type": "sgd", "momentum": {"uniform": [0, 0.9]}, "lr": {"uniform": [0.1, 0.2]}}
    search: dict[str, Any] = {
        "optim": [inside, {"type": "adam", "lr": 0.1}],
        "model.linear.bjorck_iter": {"int": [2, 80]},
    }
    turned = dict(reversed(search.items()))
    turned["optim"] = [dict(reversed(inside.items())), search["optim"][1]]
    algorithm = {"type": "random", "configurations": 20}
    one, other = (
        make_plan(sweep(tiny, search=given, algorithm=algorithm)) for given in (search, turned)
    )
    assert one.sweep_id == other.sweep_id
    assert [trial.trial_key for trial in one.trials] == [trial.trial_key for trial in other.trials]


def test_a_stored_sweep_is_what_its_file_is(tiny: dict[str, Any], tmp_path: Path) -> None:
    """Down to the order of its fields, in which trials, tables and labels are."""
    search = {"optim.lr": {"log_uniform": [0.1, 0.2]}, "model.activation": ["relu", "maxmin"]}
    algorithm = {"type": "random", "configurations": 3}
    plan = make_plan(sweep(tiny, search=search, algorithm=algorithm, table=None))
    store = Store(tmp_path, create=True)
    submit(plan, store, InProcessRunner(), Progress.of(plan, 0))
    again = make_plan(sweep_named(store, "tiny"))
    assert again.sweep.model_dump_json() == plan.sweep.model_dump_json()
    assert [trial.label for trial in again.trials] == [trial.label for trial in plan.trials]
    assert "lr=" in again.trials[0].label.partition("activation")[0]


def test_a_random_sweep_draws_inside_its_domains(tiny: dict[str, Any]) -> None:
    algorithm = {"type": "random", "configurations": 40, "seed": 3}
    plan = make_plan(sweep(tiny, search=RANDOM, algorithm=algorithm, seeds=1))
    assert plan.num_configurations == 40
    experiments = [trial.experiment for trial in plan.trials]
    assert all(1e-3 <= e.optim.lr <= 1e-1 for e in experiments)
    assert sum(e.optim.lr < 1e-2 for e in experiments) in range(10, 31)
    assert {e.model.linear.bjorck_iter for e in experiments} == {2, 5, 8}
    assert {(e.model.activation, e.model.groupings) for e in experiments} == {
        ("maxmin", 2),
        ("relu", 3),
    }
    assert make_plan(plan.sweep) == plan
    other = make_plan(sweep(tiny, search=RANDOM, algorithm={**algorithm, "seed": 4}, seeds=1))
    assert {t.trial_key for t in other.trials}.isdisjoint(t.trial_key for t in plan.trials)


def test_a_random_sweep_stops_when_its_space_is_exhausted(tiny: dict[str, Any]) -> None:
    algorithm = {"type": "random", "configurations": 50}
    search = {"optim.lr": [0.1, 0.2, 0.3]}
    assert make_plan(sweep(tiny, search=search, algorithm=algorithm)).num_configurations == 3


def test_impossible_samples_are_skipped_with_the_reason(tiny: dict[str, Any]) -> None:
    search = {"model.groupings": [2, 3], "model.activation": ["group_sort"]}
    algorithm = {"type": "random", "configurations": 10}
    plan = make_plan(sweep(tiny, search=search, algorithm=algorithm))
    assert plan.num_configurations == 1
    [skipped] = plan.skipped
    assert skipped.overrides["model.groupings"] == 3
    assert "must divide its layer, got groupings=3 and layer=4" in skipped.reason


def test_a_search_in_which_nothing_is_possible_is_refused(tiny: dict[str, Any]) -> None:
    search = {"model.groupings": {"int": [5, 7]}, "model.activation": ["group_sort"]}
    spec = sweep(tiny, search=search, algorithm={"type": "random", "configurations": 4})
    with pytest.raises(SpecError, match=r"no configuration .* is possible.*groupings=[567]"):
        make_plan(spec)


def test_a_preview_knows_how_many_groups_run_at_once(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    groups = [
        preview(make_plan(sweep(tiny, seeds=8, resources=resources)), tmp_path / "store").groups
        for resources in ({}, {"max_concurrent": 1})
    ]
    assert groups == [4, 1]


def test_a_preview_counts_what_the_store_lacks(tiny: dict[str, Any], tmp_path: Path) -> None:
    plan = make_plan(sweep(tiny))
    before = preview(plan, tmp_path / "store")
    assert (before.done, len(before.to_run), before.expected_train_seconds) == (0, 4, None)
    assert "unknown" in before.to_text()
    assert not (tmp_path / "store").exists()
    store = Store(tmp_path / "store", create=True)
    submit(plan, store, InProcessRunner(), Progress.of(plan, 0))
    wider = make_plan(sweep(tiny, search={"optim.lr": [0.1, 0.2, 0.3]}))
    after = preview(wider, tmp_path / "store")
    assert (after.done, len(after.to_run)) == (4, 2)
    assert after.to_run == ("tiny lr=0.3 seed=0", "tiny lr=0.3 seed=1")
    assert after.expected_train_seconds is not None
    assert after.expected_train_seconds > 0


def test_expected_seconds_prefer_the_configurations_own(tiny: dict[str, Any]) -> None:
    plan = make_plan(sweep(tiny, seeds=1))
    first, second = plan.trials
    expected = expected_seconds(plan, {first.config_key: 4.0, "other": 100.0})
    assert expected == {first.trial_key: 4.0, second.trial_key: pytest.approx(4.0)}
