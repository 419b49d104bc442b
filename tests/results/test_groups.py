"""Trials by configuration and by place, and what is drawn of them."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lnets.results.formats import to_text
from lnets.results.groups import best_first, configurations, merged
from lnets.results.kinds import epsilon_of, not_dominated
from lnets.results.query import connect
from lnets.results.records import CurvePoint, SweepTrials
from lnets.results.selected import Selected
from lnets.results.series import accuracy_by_epsilon, learning_curves, norm_of
from lnets.results.store import Store
from tests.results.stored import demo_store, layout, put_values, selected, tabulate
from tests.results.test_store import record


def test_configurations_have_their_trials_and_what_was_searched(tmp_path: Path) -> None:
    store = demo_store(tmp_path / "store")
    searched = ["model.activation", "model.layers", "optim.lr"]
    groups = configurations(selected(store), searched, ["model.layers"])
    assert [group.label for group in groups] == [
        "layers=[8, 1], maxmin", "layers=[16, 1], maxmin",
        "layers=[8, 1], relu", "layers=[16, 1], relu",
    ]  # fmt: skip
    assert [len(group.completed) for group in groups] == [3, 3, 3, 3]
    assert groups[0].by_seed("tightness") == {0: 0.9, 1: 0.91, 2: 0.92}
    assert groups[0].mean("tightness") == pytest.approx(0.91)
    assert groups[0].interval("no") is None
    by_activation = merged(groups, ["model.activation"])
    assert [group.label for group in by_activation] == ["maxmin", "relu"]
    assert by_activation[1].interval("tightness").n == 3
    worst = best_first(groups, "tightness", -1)[0]
    assert worst.values["model.activation"] == "relu"


def test_fields_that_follow_from_others_do_not_tell_configurations_apart(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    both = [("relu", 2, 1), ("maxmin", 2, 1), ("group_sort", 4, 5), ("group_sort", 8, 6)]
    for i, (activation, size, width) in enumerate(both):
        config = {"activation": activation, "size": size, "width": width, "consequence": i}
        store.put(record(f"t{i}", config=json.dumps(config), config_key=f"c{i}"))
    store.commit()
    chosen = Selected.of(connect(store), [SweepTrials("s", "n", tuple(f"t{i}" for i in range(4)))])
    groups = configurations(chosen, ["activation, size,width"], ["activation"])
    assert list(groups[0].values) == ["activation", "size"]


def test_sections_are_told_apart_by_their_types_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)

    def labels(name: str, *sections: dict[str, Any]) -> list[str]:
        for i, section in enumerate(sections):
            config = {"model": {"activation": "relu", "linear": section}}
            store.put(record(f"{name}{i}", config=json.dumps(config), config_key=f"{name}{i}"))
        store.commit()
        keys = tuple(f"{name}{i}" for i in range(len(sections)))
        chosen = Selected.of(connect(store), [SweepTrials("s", "n", keys)])
        return [group.label for group in configurations(chosen, ["model.linear"], [])]

    # In an order of the alphabet, as in stores.
    quick, slow = ({"beta": 0.5, "iter": n, "type": "bjorck"} for n in (5, 20))
    other = {"type": "orthogonal"}
    assert labels("a", quick, other) == ["bjorck", "orthogonal"]
    assert labels("b", quick, slow, other) == ["bjorck, iter=5", "bjorck, iter=20", "orthogonal"]
    assert labels("c", quick, slow) == ["iter=5", "iter=20"]


def test_keys_are_shortened_where_people_read_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    keys = [digit * 64 for digit in "ab"]
    for key in keys:
        config = json.dumps({"classifier": key})
        store.put(record(key, config=config, config_key=key, metrics={"tightness": 0.9}))
    store.commit()
    sweep = SweepTrials("s", "n", tuple(keys))
    groups = configurations(selected(store, sweep), ["classifier"], ["classifier"])
    assert [group.label for group in groups] == ["a" * 12, "b" * 12]
    table = tabulate(store, sweep, layout=layout(rows=("classifier",)))
    text = to_text(table, "markdown", title="n", command="c")
    assert re.findall("(a+|b+) [|]", text) == ["a" * 12, "b" * 12], text


def test_bands_are_means_and_intervals_over_seeds(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    chance = np.random.default_rng(0)
    values = chance.normal(size=(3, 2, 4))  # seeds, steps, trials of a seed
    keys = []
    for seed in range(3):
        for j in range(4):
            curve = [
                CurvePoint(step=step, seconds=0.0, metric="loss", value=values[seed, step, j])
                for step in range(2)
            ]
            curve.append(CurvePoint(step=0, seconds=0.0, metric="epoch", value=0.0))
            curve.append(CurvePoint(step=0, seconds=0.0, metric="x_singular_value@0", value=0.0))
            keys.append(f"{seed}-{j}")
            store.put(record(keys[-1], config_key=f"c{j}", seed=seed, curve=tuple(curve)))
    keys.append("alone")
    point = CurvePoint(step=5, seconds=0.0, metric="loss", value=1.5)
    store.put(record("alone", config_key="alone", curve=(point,)))
    store.commit()
    database = connect(store)
    chosen = Selected.of(database, [SweepTrials("s", "n", tuple(keys))])
    groups = configurations(chosen, [], [])
    together = merged(groups[:4], [])
    curves = learning_curves(database, [*together, groups[4]])
    assert list(curves) == ["loss"]
    band = curves["loss"][0]
    means = values.mean(axis=2)
    for step in range(2):
        low, high = stats.t.interval(0.95, 2, means[:, step].mean(), stats.sem(means[:, step]))
        assert (band.low[step], band.high[step]) == pytest.approx((low, high))
    assert (band.n, list(band.x)) == (3, [0, 1])
    alone = curves["loss"][1]
    assert (list(alone.mean), math.isnan(alone.low[0]), alone.n) == ([1.5], True, 1)
    assert learning_curves(database, []) == {}


def test_long_curves_are_thinned_out_to_their_ends(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    curve = [CurvePoint(step=i, seconds=0.0, metric="loss", value=float(i)) for i in range(1001)]
    store.put(record("a", curve=tuple(curve)))
    store.commit()
    database = connect(store)
    groups = configurations(Selected.of(database, [SweepTrials("s", "n", ("a",))]), [], [])
    band = learning_curves(database, groups)["loss"][0]
    assert (len(band.x), band.x[0], band.x[-1]) == (200, 0, 1000)


def test_accuracies_rise_in_epsilon_from_the_clean_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    metrics = {"certified_accuracy@1.0": 0.2, "certified_accuracy@36/255": 0.5}
    metrics |= {"pgd_accuracy@1.0": 0.4, "clean_accuracy": 0.9, "pgd_success_rate@1.0": 0.1}
    for seed in range(2):
        config = json.dumps({"certificate": {"norm": "l2"}})
        store.put(record(f"{seed}", seed=seed, metrics=metrics, config=config))
    store.commit()
    chosen = Selected.of(connect(store), [SweepTrials("s", "n", ("0", "1"))])
    [group] = configurations(chosen, [], [])
    bands = accuracy_by_epsilon(group)
    assert set(bands) == {"certified", "pgd"}
    assert list(bands["certified"].x) == pytest.approx([0, 36 / 255, 1])
    assert list(bands["certified"].mean) == pytest.approx([0.9, 0.5, 0.2])
    assert list(bands["pgd"].mean) == pytest.approx([0.9, 0.4])
    assert norm_of(group) == "l2"
    assert epsilon_of("certified_accuracy@all") == math.inf


def test_no_point_of_a_front_is_dominated_and_every_other_one_is() -> None:
    chance = np.random.default_rng(1)
    points = {str(i): tuple(chance.integers(0, 8, size=2)) for i in range(60)}
    front = set(not_dominated(points))

    def dominated(name: str) -> bool:
        (a, b) = points[name]
        return any(x >= a and y >= b and (x, y) != (a, b) for x, y in points.values())

    assert front == {name for name in points if not dominated(name)}
    assert not_dominated({}) == []


def test_one_seed_is_not_the_best_of_others_that_have_more(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    sides = {"lucky": {0: 0.9}, "fair": {0: 0.7, 1: 0.8}, "poor": {0: 0.1, 1: 0.2}}
    keys = [key for n, v in sides.items() for key in put_values(store, n, v).trial_keys]
    chosen = selected(store, SweepTrials("id", "all", tuple(keys)))
    groups = configurations(chosen, ["name"], [])
    names = [group.values["name"] for group in best_first(groups, "tightness", 1)]
    assert names == ["fair", "poor", "lucky"]
    best = chosen.best_configuration(0, "tightness", 1)
    assert best == (pytest.approx(0.75), {"name": "fair"})
