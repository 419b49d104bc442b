from pathlib import Path
from typing import Any

import pytest

from lnets.errors import SpecError
from lnets.results.kinds import Kind, ready_made
from lnets.results.records import SweepTrials
from lnets.results.store import Store
from lnets.results.tables import Table, make_table
from lnets.specs.search import ObjectiveSpec
from tests.results.stored import layout, put_values, selected

BOTH = (ObjectiveSpec(maximize="tightness"), ObjectiveSpec(minimize="train_seconds"))


def make(
    store: Store, kind: Kind, sweeps: list[SweepTrials], objectives: tuple[ObjectiveSpec, ...] = ()
) -> Table:
    chosen = selected(store, *sweeps)
    named = layout(rows=("name",))

    def table(asked: Any) -> Table:
        return make_table(chosen, asked, objectives=objectives)

    norms = [path for path in ("certificate.norm", "norm") if chosen.has_path(path)]
    return ready_made(kind, named, chosen.metrics(), objectives, table, norms)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_robustness_goes_up_in_epsilon_and_names_the_norm(store: Store) -> None:
    metrics = {
        "certified_accuracy@0.5": 0.4,
        "certified_accuracy@36/255": 0.7,
        "adversarial_accuracy@36/255": 0.8,
        "adversarial_accuracy@1.58": 0.1,
        "certified_accuracy@1.58": 0.0,
        "clean_accuracy": 0.9,
        "lipschitz_upper_bound": 1.0,
        "test_loss": 2.0,
    }
    config = '{"name": "a", "certificate": {"norm": "linf"}}'
    trials = put_values(store, "a", {0: 0, 1: 0}, metrics=metrics, config=config)
    table = make(store, "robustness", [trials])
    assert table.layout.values == (
        "clean_accuracy",
        "adversarial_accuracy@36/255",
        "certified_accuracy@36/255",
        "certified_accuracy@0.5",
        "adversarial_accuracy@1.58",
        "certified_accuracy@1.58",
        "lipschitz_upper_bound",
    )
    assert dict(table.cells[0].row) == {"name": "a", "certificate.norm": "linf"}


def test_what_is_attacked_and_not_certified_is_said(store: Store) -> None:
    attacked = {"clean_accuracy": 0.9, "adversarial_accuracy@0.1": 0.3}
    certified = attacked | {"certified_accuracy@0.1": 0.2}
    config = '{"name": "%s", "norm": "linf"}'
    trials = [
        put_values(store, name, {0: 0, 1: 0}, metrics=metrics, config=config % name)
        for name, metrics in (("a", attacked), ("b", certified))
    ]
    table = make(store, "robustness", trials)
    assert {"name": "a", "norm": "linf"} in [dict(cell.row) for cell in table.cells]
    (note,) = table.notes
    assert note.startswith("1 of 2 configurations have no certified accuracies")
    assert make(store, "robustness", trials[1:]).notes == ()


def test_speed_has_seconds_per_step_and_memory(store: Store) -> None:
    metrics = {"steps_per_second": 4.0, "peak_memory": 0.5, "train_seconds": 9.0, "tightness": 1.0}
    table = make(store, "speed", [put_values(store, "a", {0: 0, 1: 0}, metrics=metrics)])
    assert {cell.metric: cell.interval.mean for cell in table.cells} == {
        "seconds_per_step": 0.25,
        "steps_per_second": 4.0,
        "train_seconds": 9.0,
        "peak_memory": 0.5,
    }


def test_wasserstein_has_what_the_trials_have(store: Store) -> None:
    metrics = {"wasserstein_estimate": 0.9, "tightness": 0.9}
    table = make(store, "wasserstein", [put_values(store, "a", {0: 0}, metrics=metrics)])
    assert table.layout.values == ("wasserstein_estimate", "tightness")
    with pytest.raises(SpecError, match="no metric of this kind"):
        make(store, "robustness", [put_values(store, "a", {0: 0}, metrics=metrics)])


def test_pareto_keeps_what_nothing_dominates(store: Store) -> None:
    points = {"good": (0.9, 9.0), "cheap": (0.5, 1.0), "worse": (0.5, 2.0), "worst": (0.4, 9.5)}
    sweeps = []
    for name, (tightness, seconds) in points.items():
        metrics = {"tightness": tightness, "train_seconds": seconds}
        sweeps.append(put_values(store, name, {0: 0, 1: 0}, metrics=metrics))
    sweeps.append(put_values(store, "half", {0: 0}, metrics={"tightness": 1.0}))
    table = make(store, "pareto", sweeps, BOTH)
    assert list(dict.fromkeys(cell.row["name"] for cell in table.cells)) == ["good", "cheap"]
    assert table.notes[0].startswith("2 of 5 configurations are not dominated")
    alone = make(store, "pareto", sweeps[:1], BOTH)
    assert alone.notes[0].startswith("1 of 1 configuration is not dominated")
    with pytest.raises(SpecError, match="two objectives or more"):
        make(store, "pareto", sweeps, BOTH[:1])
