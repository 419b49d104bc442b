"""Searches: proposed from results, told correctly, and resumed from nothing but the store."""

import math
import random
from pathlib import Path
from typing import Any

import optuna
import pytest

from lnets.results.store import Store
from lnets.sweep.history import sweep_rows
from lnets.sweep.local import submit_here
from lnets.sweep.overview import status_of, sweep_named
from lnets.sweep.plan import make_plan
from lnets.sweep.preview import preview
from lnets.sweep.runner import InProcessRunner
from lnets.sweep.search import Search, export_study, plan_so_far
from tests.sweep.searching import FormulaRunner, proposals, rows, run, search_of
from tests.sweep.test_plan import sweep as sweep_of

LR = {"optim.lr": {"log_uniform": [1e-4, 1e-1]}}
SPACE: dict[str, Any] = {
    **LR,
    "model.linear": [{"type": "bjorck", "bjorck_iter": {"int": [1, 20]}}, {"type": "orthogonal"}],
}


def hill(config: dict[str, Any], seed: int) -> dict[str, float]:
    """Best at lr 10^-2.3 and 7 iterations: 1, and seeds differ by little."""
    steps = config["model"]["linear"].get("bjorck_iter", 0)
    value = 1 - (math.log10(config["optim"]["lr"]) + 2.3) ** 2 - 0.01 * (steps - 7) ** 2
    return {"wasserstein_estimate": value + 0.001 * seed, "train_seconds": 1.0 + steps}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def exported(sweep: Any, store: Store, tmp_path: Path) -> list[optuna.trial.FrozenTrial]:
    export_study(sweep, store, tmp_path / "study.db")
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    return optuna.load_study(study_name=sweep.name, storage=storage).trials


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "GPSampler", "NSGAIIISampler", "QMCSampler"])
def test_whatever_timing_and_interruptions_do_the_proposals_are_the_same(
    tiny: dict[str, Any], tmp_path: Path, sampler: str
) -> None:
    algorithm = {"sampler": sampler, "configurations": 24, "parallel": 3}
    if sampler.startswith("nsga"):
        algorithm["arguments"] = {"population_size": 6}
    sweep = search_of(tiny, algorithm, search=SPACE, seeds=3)
    undisturbed = Store(tmp_path / "undisturbed", create=True)
    run(sweep, undisturbed, FormulaRunner(hill))
    for chance in map(random.Random, range(3)):
        disturbed = Store(tmp_path / f"disturbed {chance.random()}", create=True)
        while Search(sweep, disturbed).pending:
            runner = FormulaRunner(
                hill, workers=3, pick=chance.randrange, limit=chance.randint(1, 30)
            )
            try:
                run(sweep, disturbed, runner)
            except KeyboardInterrupt:
                disturbed.commit()
        assert proposals(disturbed) == proposals(undisturbed)
        assert rows(disturbed).keys() == rows(undisturbed).keys()


def test_submitting_again_runs_nothing(tiny: dict[str, Any], store: Store) -> None:
    sweep = search_of(tiny, {"configurations": 12}, search=SPACE, seeds=3)
    first = run(sweep, store, FormulaRunner(hill))
    assert first.left == 0
    before = store.table("trials").num_rows
    again = FormulaRunner(hill)
    progress = run(plan_so_far(sweep, store).sweep, store, again)
    assert (again.ran, progress.left, progress.ended) == ([], 0, 0)
    assert store.table("trials").num_rows == before
    assert store.table("sweeps").num_rows == 1


def test_a_longer_search_goes_on_where_a_shorter_one_has_ended(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    short, long = Store(tmp_path / "short", create=True), Store(tmp_path / "long", create=True)
    run(search_of(tiny, {"configurations": 15}, search=SPACE), short, FormulaRunner(hill))
    more = search_of(tiny, {"configurations": 25}, search=SPACE)
    runner = FormulaRunner(hill)
    run(more, short, runner)
    run(more, long, FormulaRunner(hill))
    assert proposals(short) == proposals(long)
    assert len(runner.ran) < len(rows(long))
    shorter = search_of(tiny, {"configurations": 15}, search=SPACE)
    assert plan_so_far(shorter, short).trials == plan_so_far(shorter, long).trials


def test_results_of_other_sweeps_are_not_run_again(tiny: dict[str, Any], store: Store) -> None:
    search = {"optim.lr": [0.1, 0.2, 0.3]}
    run(sweep_of(tiny, search=search), store, FormulaRunner(hill))
    runner = FormulaRunner(hill)
    progress = run(search_of(tiny, {"configurations": 3}, search=search), store, runner)
    assert (runner.ran, progress.left) == ([], 0)
    assert len(proposals(store)) == 3


def test_a_finite_space_is_exhausted_without_asking_twice(
    tiny: dict[str, Any], store: Store
) -> None:
    search = {
        "optim.lr": [0.1, 0.2, 0.3],
        "model.linear": [
            {"type": "bjorck", "bjorck_iter": {"int": [1, 3]}},
            {"type": "orthogonal"},
        ],
    }
    sweep = search_of(tiny, {"configurations": 100}, search=search, seeds=1)
    runner = FormulaRunner(hill)
    progress = run(sweep, store, runner)
    grid = make_plan(sweep_of(tiny, search=search, seeds=1))
    assert len(proposals(store)) == 12
    assert sorted(runner.ran) == sorted(trial.trial_key for trial in grid.trials)
    assert progress.left == 0


def test_how_configurations_end_is_told_as_what_it_is(
    tiny: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    """Of four lists of layers one diverges, one fails, and one cannot be built."""
    layers = [[4, 1], [6, 1], [8, 1], [5, 1]]
    search = {"model.layers": layers, **LR}
    broken = {"now": "the disk is full"}

    def formula(config: dict[str, Any], seed: int) -> Any:
        endings = {6: None, 8: broken["now"] or {"wasserstein_estimate": 0.5 + seed}}
        return endings.get(config["model"]["layers"][0], {"wasserstein_estimate": 1.0 + seed})

    sweep = search_of(tiny, {"configurations": 24}, search=search, seeds=3)
    progress = run(sweep, store, FormulaRunner(formula))
    states = {"[4, 1]": "COMPLETE", "[6, 1]": "PRUNED", "[8, 1]": "FAIL", "[5, 1]": "PRUNED"}
    found = exported(sweep, store, tmp_path)
    assert {(t.params["model.layers"], t.state.name) for t in found} == set(states.items())
    assert {tuple(t.values) for t in found if t.state.name == "COMPLETE"} == {(2.0,)}
    assert all(t.values is None for t in found if t.state.name != "COMPLETE")
    diverged = [row for row in store.table("trials").to_pylist() if row["status"] == "diverged"]
    stopped = [row for row in store.table("trials").to_pylist() if row["status"] == "stopped"]
    assert len(stopped) == 2 * len(diverged) == progress.stopped
    assert {row["error"] for row in stopped} == {
        "its configuration has diverged after 1 of 3 seeds"
    }
    failed = progress.failed
    broken["now"] = ""
    again = run(sweep, store, FormulaRunner(formula))
    assert (again.failed, again.left) == (0, 0)
    assert again.completed + again.stopped == 3 * failed
    assert {t.state.name for t in exported(sweep, store, tmp_path)} == {"COMPLETE", "PRUNED"}


def test_what_means_the_same_configuration_is_run_once(tiny: dict[str, Any], store: Store) -> None:
    """Without a layer to normalize, two of the three ways are one."""
    linear = {"type": "bjorck", "bjorck_iter": 20}
    search = {"model.linear": [{"type": "bjorck"}, linear, {"type": "orthogonal"}]}
    runner = FormulaRunner(hill)
    run(search_of(tiny, {"configurations": 3}, search=search, seeds=1), store, runner)
    assert len(runner.ran) == len(set(runner.ran)) == 2
    assert len(proposals(store)) == 3


def test_seeds_of_a_losing_configuration_are_not_run(tiny: dict[str, Any], store: Store) -> None:
    """It loses if each of its seeds is worse than all of the best one."""
    sweep = search_of(
        tiny, {"configurations": 20, "parallel": 1}, search={"optim.lr": LR["optim.lr"]}, seeds=4
    )
    best: list[float] = []

    def formula(config: dict[str, Any], seed: int) -> dict[str, float]:
        return {"wasserstein_estimate": -config["optim"]["lr"] + 0.002 * seed}

    runner = FormulaRunner(formula)
    progress = run(sweep, store, runner)
    ran = {key: row["seed"] for key, row in rows(store).items()}
    for trials in by_configuration(sweep, store):
        lr = trials[0].experiment.optim.lr
        expected = 1 if best and -lr < min(best) else 4
        assert sum(trial.trial_key in ran for trial in trials) == expected
        if expected == 4 and (not best or -lr > max(best) - 0.006):
            best = [-lr + 0.002 * seed for seed in range(4)]
    assert progress.completed == len(runner.ran)
    assert progress.completed + progress.stopped == 80
    _, again = submit_here(make_plan(sweep), store.root, "in-process")
    assert (again.there, again.stopped_before, again.left) == (len(ran), 80 - len(ran), 0)
    assert again.summary() == f"{len(ran)} of 80 trials are there, {80 - len(ran)} stopped"


def by_configuration(sweep: Any, store: Store) -> list[list[Any]]:
    """Trials of each configuration, in the order of proposals."""
    order: dict[str, list[Any]] = {}
    for trial in plan_so_far(sweep, store).trials:
        order.setdefault(trial.config_key, []).append(trial)
    return list(order.values())


def test_several_objectives_give_the_front(
    tiny: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    objectives = [{"maximize": "wasserstein_estimate"}, {"minimize": "train_seconds"}]
    algorithm = {"sampler": "nsga2", "arguments": {"population_size": 8}, "objectives": objectives}
    sweep = search_of(tiny, {**algorithm, "configurations": 40}, search=SPACE)
    progress = run(sweep, store, FormulaRunner(hill))
    assert (progress.completed, progress.stopped) == (80, 0)
    points = {tuple(t.values) for t in exported(sweep, store, tmp_path)}
    front = {a for a in points if not any(b[0] >= a[0] and b[1] <= a[1] for b in points - {a})}
    search = Search(sweep, store)
    assert not search.pending
    head, *lines = search.summary()
    assert f"{len(front)} of them are the front" in head
    shown = {(words[1].strip(","), words[3].strip(":")) for words in map(str.split, lines)}
    assert shown == {(f"{value:.6g}", f"{seconds:.6g}") for value, seconds in front}


def test_a_search_finds_nearly_the_best_of_a_grid(tiny: dict[str, Any], store: Store) -> None:
    search = {
        "optim.lr": [10 ** (-4 + i / 5) for i in range(16)],
        "model.linear.bjorck_iter": {"int": [1, 20]},
    }
    grid = make_plan(sweep_of(tiny, search=search))
    values = [hill(trial.experiment.model_dump(), 0) for trial in grid.trials]
    best = max(value["wasserstein_estimate"] for value in values)
    runner = FormulaRunner(hill)
    sweep = search_of(tiny, {"configurations": 60}, search=search)
    progress = run(sweep, store, runner)
    assert progress.best is not None
    assert progress.best >= 0.99 * best
    assert len(runner.ran) <= 0.3 * len(grid.trials)


def test_what_is_needed_runs_once_and_only_if_it_is_used(
    tuning: dict[str, Any], store: Store
) -> None:
    tuning["search"] = {"init_from": [None, "first", "second"], "epochs": [1, 2]}

    def formula(config: dict[str, Any], seed: int) -> dict[str, float]:
        return {"clean_accuracy": config["epochs"] + 0.1 * (config["init_from"] is not None)}

    sweep = search_of(tuning, {"configurations": 6, "parallel": 2})
    runner = FormulaRunner(formula)
    progress = run(sweep, store, runner)
    plan = plan_so_far(sweep, store)
    assert sorted(runner.ran) == sorted(trial.trial_key for trial in plan.everything)
    for trial in plan.everything:
        places = [runner.ran.index(key) for key in (*trial.needs, trial.trial_key)]
        assert places == sorted(places)
    assert progress.left == 0


def test_a_preview_and_a_status_know_what_has_been_proposed(
    tiny: dict[str, Any], store: Store
) -> None:
    sweep = search_of(tiny, {"configurations": 10}, search=SPACE, seeds=3)
    before = preview(make_plan(sweep), store.root)
    assert (before.trials, before.to_run, before.to_come) == (30, (), 10)
    cut_off = FormulaRunner(hill, limit=9)
    with pytest.raises(KeyboardInterrupt):
        run(sweep, store, cut_off)
    [status] = status_of(store, "tiny")
    assert status.counts.completed == len(cut_off.ran) >= 9
    assert status.counts.trials == 30
    during = preview(make_plan(sweep), store.root)
    assert during.to_come == 10 - len(proposals(store))
    run(sweep_named(store, "tiny"), store, FormulaRunner(hill))
    [status] = status_of(store, "tiny")
    assert (status.counts.trials, status.counts.missing) == (30, 0)
    assert status.counts.stopped > 0
    after = preview(make_plan(sweep), store.root)
    assert (after.to_run, after.to_come) == ((), 0)


@pytest.mark.slow
def test_a_search_of_real_critics_finds_nearly_the_best_of_a_grid(tmp_path: Path) -> None:
    """The distance of `absolute_value`, with fewer iterations, groupings and learning rates."""
    from lnets.specs.load import load_sweep
    from tests.conftest import REPOSITORY

    shipped = load_sweep(REPOSITORY / "sweeps" / "absolute_value.yaml").model_dump(mode="json")
    model = {**shipped["experiment"]["model"], "layers": [16, 16, 1], "activation": "group_sort"}
    model |= {"linear": {"type": "bjorck"}}
    steps = {"steps": 40, "landscape": None, "log_every": 40, "test_sample_size": 200}
    data = {
        "name": "absolute_value",
        "experiment": {**shipped["experiment"], "model": model, **steps},
        "search": {
            "model.linear.bjorck_iter": [1, 2, 4, 8, 16],
            "model.groupings": [2, 4, 8],
            "optim.lr": [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1],
        },
        "seeds": 2,
    }
    grid, found = Store(tmp_path / "grid", create=True), Store(tmp_path / "found", create=True)
    whole = run(sweep_of(data), grid, InProcessRunner())
    progress = run(search_of(data, {"configurations": 30}), found, InProcessRunner())
    assert whole.completed == 180
    assert progress.completed <= 0.3 * whole.completed
    assert best_mean(found) >= 0.99 * best_mean(grid)


def best_mean(store: Store) -> float:
    import json

    values: dict[str, list[float]] = {}
    for row in rows(store).values():
        value = json.loads(row["metrics"])["wasserstein_estimate"]
        values.setdefault(row["config_key"], []).append(value)
    return max(sum(found) / 2 for found in values.values() if len(found) == 2)


def test_lists_count_what_a_search_will_ask_for(tiny: dict[str, Any], store: Store) -> None:
    sweep = search_of(tiny, {"configurations": 6, "parallel": 2}, search=LR)
    with pytest.raises(KeyboardInterrupt):
        run(sweep, store, FormulaRunner(hill, limit=5))
    (row,), (status,) = sweep_rows(store), status_of(store, "tiny")
    assert (row["trials"], row["state"]) == (12, "incomplete")
    assert row["missing"] == status.counts.missing > 0
    run(sweep, store, FormulaRunner(hill))
    (row,) = sweep_rows(store)
    assert (row["trials"], row["missing"], row["state"]) == (12, 0, "done")


def test_a_search_of_an_exhausted_space_lacks_nothing(tiny: dict[str, Any], store: Store) -> None:
    run(
        search_of(tiny, {"configurations": 6}, search={"optim.lr": [0.1, 0.2]}),
        store,
        FormulaRunner(hill),
    )
    (row,) = sweep_rows(store)
    assert (row["trials"], row["missing"], row["state"]) == (4, 0, "done")
