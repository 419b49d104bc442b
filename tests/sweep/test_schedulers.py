"""Schedulers: what they stop, what they keep, and that they go on from stored rows."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lnets.build.trials import trained_critic
from lnets.nn import BjorckLinear, certify
from lnets.results.artifacts import WEIGHTS
from lnets.results.store import Store
from lnets.specs.load import load_sweep
from lnets.specs.sweep import SweepSpec
from lnets.sweep.overview import status_of
from lnets.sweep.runner import InProcessRunner
from tests.conftest import REPOSITORY
from tests.sweep.searching import FormulaRunner, run
from tests.sweep.test_plan import sweep as sweep_of

STEPS = 800
LRS = [0.01 * i for i in range(1, 17)]
BEST = 0.05


def slope(config: dict[str, Any], seed: int, until: int = STEPS) -> dict[str, float]:
    """Grows with training, the faster the nearer its learning rate is to the best."""
    value = (1 - 5 * abs(config["optim"]["lr"] - BEST)) * until / STEPS
    return {"wasserstein_estimate": value + 0.001 * seed}


def scheduled(tiny: dict[str, Any], scheduler: dict[str, Any], /, **changes: Any) -> SweepSpec:
    tiny["experiment"] |= {"steps": STEPS, "log_every": 10}
    data = {**tiny, "scheduler": scheduler, "search": {"optim.lr": LRS}, "seeds": 3}
    return sweep_of(data, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def steps_of(store: Store) -> dict[str, int]:
    """How far each trial came."""
    found: dict[str, int] = {}
    for row in store.table("trials").to_pylist():
        place = json.loads(row["metrics"]).get("paused_at", STEPS)
        reached = place if row["status"] in ("paused", "completed") else 0
        found[row["trial_key"]] = max(found.get(row["trial_key"], 0), reached)
    return found


def statuses(store: Store) -> Counter[str]:
    return Counter(row["status"] for row in store.table("trials").to_pylist())


def tried_lrs(store: Store) -> set[float]:
    """Of all configurations that were tried."""
    configs = [json.loads(row["config"]) for row in store.table("trials").to_pylist()]
    return {config["optim"]["lr"] for config in configs}


def completed_lrs(store: Store) -> set[float]:
    rows = store.table("trials").to_pylist()
    done = [json.loads(row["config"]) for row in rows if row["status"] == "completed"]
    return {config["optim"]["lr"] for config in done}


@pytest.mark.parametrize(
    ("scheduler", "spent"),
    [
        # Of 16 configurations 8, 4 and 2 go on, and some more whose betters came later.
        ({"type": "asha"}, 0.5),
        ({"type": "asha", "reduction": 4, "grace": 0.0625}, 0.3),
        ({"type": "hyperband"}, 0.6),
        ({"type": "median"}, 0.5),
    ],
)
@pytest.mark.parametrize("algorithm", ["grid", "optuna"])
def test_a_scheduler_spends_less_and_keeps_the_best(
    tiny: dict[str, Any], store: Store, scheduler: dict[str, Any], spent: float, algorithm: str
) -> None:
    changes: dict[str, Any] = {}
    if algorithm == "optuna":
        changes["algorithm"] = {"type": "optuna", "configurations": 16}
        changes["search"] = {"optim.lr": {"log_uniform": [0.005, 0.2]}}
    sweep = scheduled(tiny, scheduler, **changes)
    progress = run(sweep, store, FormulaRunner(slope, workers=2))
    nearest = BEST if algorithm == "grid" else min(tried_lrs(store), key=lambda lr: abs(lr - BEST))
    assert nearest in completed_lrs(store)
    assert sum(steps_of(store).values()) <= spent * 48 * STEPS
    assert (progress.completed + progress.stopped, progress.left) == (48, 0)
    before = statuses(store)
    assert before["stopped"] == progress.stopped > 0
    again = FormulaRunner(slope)
    assert run(sweep, store, again).left == 0
    assert again.ran == []
    assert statuses(store) == before


def test_seeds_of_a_configuration_go_on_or_stop_together(
    tiny: dict[str, Any], store: Store
) -> None:
    """Else the mean over those left would be that of lucky seeds."""
    run(scheduled(tiny, {"type": "asha"}), store, FormulaRunner(slope))
    reached: dict[str, set[int]] = {}
    steps = steps_of(store)
    for row in store.table("trials").to_pylist():
        reached.setdefault(row["config_key"], set()).add(steps[row["trial_key"]])
    assert {len(places) for places in reached.values()} == {1}


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
def test_a_scheduler_goes_on_after_its_driver_was_cut_off(
    tiny: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    sweep = scheduled(tiny, {"type": kind})
    whole, cut = Store(tmp_path / "whole", create=True), Store(tmp_path / "cut", create=True)
    run(sweep, whole, FormulaRunner(slope))
    chance = random.Random(kind)
    lives = 0
    while lives < 100:
        lives += 1
        try:
            run(sweep, cut, FormulaRunner(slope, limit=chance.randint(5, 20)))
        except KeyboardInterrupt:
            cut.commit()
        else:
            break
    assert lives > 3
    # Who goes on early depends on who has come by then, but what was decided stays decided.
    assert BEST in completed_lrs(cut)
    assert steps_of(cut).keys() == steps_of(whole).keys()
    assert sum(steps_of(cut).values()) <= 0.6 * 48 * STEPS
    places = [
        (row["trial_key"], row["status"], json.loads(row["metrics"]).get("paused_at"))
        for row in cut.table("trials").to_pylist()
    ]
    assert len(set(places)) == len(places)
    assert statuses(cut)["completed"] + statuses(cut)["stopped"] == 48


def test_diverged_trials_are_rows_and_count_as_the_worst(
    tiny: dict[str, Any], store: Store
) -> None:
    def formula(config: dict[str, Any], seed: int, *until: int) -> Any:
        return None if config["optim"]["lr"] > 0.08 else slope(config, seed, *until)

    progress = run(scheduled(tiny, {"type": "asha"}), store, FormulaRunner(formula))
    assert progress.diverged == statuses(store)["diverged"] == 24
    assert BEST in completed_lrs(store)
    assert progress.left == 0


def test_what_other_sweeps_have_run_is_neither_run_again_nor_compared_on_the_way(
    tiny: dict[str, Any], store: Store
) -> None:
    sweep = scheduled(tiny, {"type": "asha"})
    others = scheduled(tiny, {"type": "asha"}, scheduler=None, search={"optim.lr": LRS[8:]})
    run(others, store, FormulaRunner(slope))
    runner = FormulaRunner(slope)
    progress = run(sweep, store, runner)
    assert progress.left == 0
    assert BEST in completed_lrs(store)
    assert sum(steps_of(store).values()) <= 24 * STEPS + 0.5 * 24 * STEPS


def asha_and_all() -> tuple[SweepSpec, SweepSpec]:
    """`three_cones` with fewer steps and narrow critics, with and without a scheduler."""
    shipped = json.loads((load_sweep(REPOSITORY / "sweeps" / "three_cones.yaml")).model_dump_json())
    experiment = shipped["experiment"]
    experiment["model"]["layers"] = [32, 32, 1]
    experiment |= {"steps": 320, "log_every": 10, "landscape": None, "test_sample_size": 500}
    experiment["optim"]["schedule"]["end"] = 320
    data = {key: shipped[key] for key in ("name", "search", "seeds")} | {"experiment": experiment}
    return sweep_of(data), sweep_of(data, scheduler={"type": "asha", "grace": 0.25})


@pytest.mark.slow
def test_asha_on_three_cones(tmp_path: Path) -> None:
    """At most half of the steps, the best configuration, and its rows to the last digit."""
    sweep, halved = asha_and_all()
    whole, saved = Store(tmp_path / "whole", create=True), Store(tmp_path / "saved", create=True)
    run(sweep, whole, InProcessRunner())
    progress = run(halved, saved, InProcessRunner())
    assert (progress.completed + progress.stopped, progress.left) == (12, 0)
    assert sum(min(320, steps) for steps in steps_of(saved).values()) <= 0.5 * 12 * 320
    assert best_of(saved) == best_of(whole)


def best_of(store: Store) -> tuple[str, list[float]]:
    """The best configuration, and the estimates of its seeds."""
    found: dict[str, list[float]] = {}
    rows = [row for row in store.table("trials").to_pylist() if row["status"] == "completed"]
    for row in sorted(rows, key=lambda row: row["seed"]):
        value = json.loads(row["metrics"])["wasserstein_estimate"]
        found.setdefault(row["config_key"], []).append(value)
    best = max(found, key=lambda key: sum(found[key]) / len(found[key]))
    return best, found[best]


POPULATION = {"type": "population", "grace": 0.125, "quantile": 0.25}


def members(store: Store) -> dict[str, dict[str, Any]]:
    """Configurations by trial key."""
    rows = store.table("trials").to_pylist()
    return {row["trial_key"]: json.loads(row["config"]) for row in rows}


def test_a_population_moves_towards_the_best(tiny: dict[str, Any], store: Store) -> None:
    def formula(config: dict[str, Any], seed: int, until: int = STEPS) -> dict[str, float]:
        lrs = [config["optim"]["lr"], *(change["lr"] for change in config["changes"])]
        return {"wasserstein_estimate": until / STEPS - abs(lrs[-1] - 0.3)}

    sweep = scheduled(tiny, POPULATION, search={"optim.lr": LRS[:8]}, seeds=2)
    runner = FormulaRunner(formula, workers=2)
    progress = run(sweep, store, runner)
    assert progress.left == 0
    # Two of eight are replaced at each of seven pauses.
    assert statuses(store)["stopped"] == progress.stopped == 2 * 2 * 7
    assert progress.completed == 2 * 8
    assert progress.best is not None
    assert progress.best > 1 - abs(max(LRS[:8]) * 1.2 - 0.3)
    places = [
        (row["trial_key"], row["status"], json.loads(row["metrics"]).get("paused_at"))
        for row in store.table("trials").to_pylist()
    ]
    assert len(set(places)) == len(places)
    again = FormulaRunner(formula)
    assert run(sweep, store, again).left == 0
    assert again.ran == []
    [status] = status_of(store, "tiny")
    assert (status.counts.trials, status.counts.missing) == (16 + 28, 0)
    assert sweep.table_layout().rows == ("optim.lr", "changes")


def test_a_population_is_the_same_after_its_driver_was_cut_off(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    sweep = scheduled(tiny, POPULATION)
    whole, cut = Store(tmp_path / "whole", create=True), Store(tmp_path / "cut", create=True)
    run(sweep, whole, FormulaRunner(slope))
    chance = random.Random(1)
    for _ in range(100):
        runner = FormulaRunner(
            slope, workers=3, pick=chance.randrange, limit=chance.randint(20, 90)
        )
        try:
            run(sweep, cut, runner)
        except KeyboardInterrupt:
            cut.commit()
        else:
            break
    assert members(cut) == members(whole)
    assert steps_of(cut) == steps_of(whole)


def test_real_members_of_a_population_are_their_experiments(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """A member that went on from another's checkpoint has the numbers of one trained alone."""
    tiny["experiment"] |= {"steps": 80, "log_every": 10, "batch_size": 8}
    tiny["experiment"]["model"]["layers"] = [8, 8, 1]
    store, alone = Store(tmp_path / "store", create=True), Store(tmp_path / "alone", create=True)
    scheduler = {**POPULATION, "grace": 0.25}
    search = {"optim.lr": [0.001, 0.01, 0.1, 0.2], "model.linear.bjorck_iter": [2, 4]}
    sweep = sweep_of(tiny, scheduler=scheduler, search=search, seeds=1)
    assert run(sweep, store, InProcessRunner()).left == 0
    rows = [row for row in store.table("trials").to_pylist() if row["status"] == "completed"]
    changed = [row for row in rows if json.loads(row["config"])["changes"]]
    assert changed
    for row in changed:
        curve = curve_of(store, row["trial_key"])
        assert sorted(curve) == list(range(10, 90, 10))
        experiment = json.loads(row["config"])
        run(
            sweep_of({"name": "alone", "experiment": experiment, "seeds": 1}),
            alone,
            InProcessRunner(),
        )
        assert curve_of(alone, row["trial_key"]) == pytest.approx(curve, abs=1e-5)
        # What reads its weights later has the layers that they were trained in.
        _, critic = trained_critic(store.artifacts(row["trial_key"]) / WEIGHTS)
        bound = certify(critic.double(), (1,)).lipschitz_upper_bound
        assert bound == json.loads(row["metrics"])["lipschitz_upper_bound"]
        linear = [layer for layer in critic.modules() if isinstance(layer, BjorckLinear)]
        assert {layer.bjorck_iter for layer in linear} == {experiment["changes"][-1]["bjorck_iter"]}


def curve_of(store: Store, key: str) -> dict[int, float]:
    points = [point for point in store.table("curves").to_pylist() if point["trial_key"] == key]
    assert len({point["step"] for point in points}) == len(points), "a point is there twice"
    return {point["step"]: point["value"] for point in points}
