import json
from typing import Any

import pytest

from lnets.errors import SpecError
from lnets.specs.sweep import ResourcesSpec, SweepSpec
from lnets.sweep.grouping import make_groups
from lnets.sweep.plan import Trial, make_plan


def trials(tiny: dict[str, Any], **changes: Any) -> list[Trial]:
    return list(make_plan(SweepSpec.model_validate_json(json.dumps({**tiny, **changes}))).trials)


def sizes(groups: list[tuple[Trial, ...]]) -> list[int]:
    return [len(group) for group in groups]


def resources(**fields: Any) -> ResourcesSpec:
    return ResourcesSpec(**fields)


def test_seeds_and_learning_rates_train_together(tiny: dict[str, Any]) -> None:
    every = trials(tiny, seeds=20)
    assert sorted(sizes(make_groups(every, resources(), workers=1))) == [13, 13, 14]
    assert sizes(make_groups(every, resources(fuse="off"), workers=1)) == [1] * 40
    assert sizes(make_groups(every, resources(fuse=32), workers=4)) == [20, 20]
    assert sizes(make_groups(every[:3], resources(), workers=2)) == [2, 1]
    for group in make_groups(every, resources(), workers=1):
        keys = [trial.config_key for trial in group]
        assert keys == sorted(keys)
    together = {trial.trial_key for group in make_groups(every, resources(), 2) for trial in group}
    assert together == {trial.trial_key for trial in every}


@pytest.mark.parametrize(
    "search",
    [
        {"model.layers": [[4, 1], [6, 1]]},
        {"model.linear.bjorck_iter": [3, 4]},
        {"model.activation": ["maxmin", "relu"]},
        {"batch_size": [2, 4]},
        {"steps": [2, 3]},
        {"optim": [{"type": "sgd", "lr": 0.1}, {"type": "adam", "lr": 0.1}]},
        {"optim.weight_decay": [0, 0.1]},
    ],
    ids=str,
)
def test_what_computes_something_else_does_not(
    tiny: dict[str, Any], search: dict[str, Any]
) -> None:
    every = trials(tiny, search=search)
    groups = make_groups(every, resources(fuse=64), workers=1)
    assert sizes(groups) == [2, 2]
    for group in groups:
        assert len({trial.config_key for trial in group}) == 1


def test_groups_come_in_the_order_of_their_first_trials(tiny: dict[str, Any]) -> None:
    every = trials(tiny, search={"model.layers": [[4, 1], [6, 1]]}, seeds=3)
    groups = make_groups(every, resources(fuse=2), workers=1)
    assert sizes(groups) == [1, 1, 2, 2] or sizes(groups) == [2, 2, 1, 1]
    assert every[0] in groups[0]


@pytest.mark.parametrize("model", [{"layers": [1024, 1]}, {"dropout": 0.1}], ids=str)
def test_auto_trains_one_by_one_what_gains_nothing(
    tiny: dict[str, Any], model: dict[str, Any]
) -> None:
    tiny["experiment"]["model"] |= model
    assert sizes(make_groups(trials(tiny), resources(), workers=1)) == [1] * 4


def test_networks_that_cannot_be_stacked_never_are(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"]["dropout"] = 0.1
    assert sizes(make_groups(trials(tiny), resources(fuse=4), workers=1)) == [1] * 4


def test_what_failed_before_is_trained_alone(tiny: dict[str, Any]) -> None:
    every = trials(tiny)
    groups = make_groups(every, resources(), 1, tried={every[2].trial_key})
    assert sorted(sizes(groups)) == [1, 3]
    assert (every[2],) in groups


def test_memory_bounds_a_group_and_refuses_what_cannot_fit(tiny: dict[str, Any]) -> None:
    tiny["experiment"]["model"]["layers"] = [64, 64, 1]
    every = trials(tiny, seeds=8)
    whole = make_groups(every, resources(fuse=16), workers=1)
    assert sizes(whole) == [16]
    # 4,353 weights, gradients and momenta of 4 bytes each, and activations besides.
    half = make_groups(every, resources(fuse=16, memory=8.5 * 3 * 4353 * 4 / 2**30), workers=1)
    assert 1 < max(sizes(half)) <= 8
    with pytest.raises(SpecError, match="must hold a trial at least, got 1e-06 GiB, and one needs"):
        make_groups(every, resources(memory=1e-6), workers=1)
