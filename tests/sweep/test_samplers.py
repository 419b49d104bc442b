"""Samplers of Optuna by name, and the spaces that they draw from."""

import json
import re
from typing import Any

import pytest

from lnets.errors import SpecError
from lnets.sweep.plan import make_plan
from lnets.sweep.samplers import Sampling, Verdict
from lnets.sweep.spaces import Space
from tests.sweep.searching import search_of
from tests.sweep.test_plan import sweep

SPACE: dict[str, Any] = {
    "optim.lr": {"log_uniform": [1e-4, 1e-1]},
    "optim.momentum": [0.0, 0.5, 0.9],
    "model.linear": [
        {"type": "bjorck", "bjorck_iter": {"int": [2, 8], "step": 3}},
        {"type": "orthogonal"},
    ],
    "model.activation, model.groupings": [["maxmin", 2], ["group_sort", 4]],
}


def sampling(data: dict[str, Any], algorithm: dict[str, Any], search: Any = SPACE) -> Sampling:
    return Sampling(search_of(data, {"configurations": 9, **algorithm}, search=search))


@pytest.mark.parametrize(
    ("sampler", "arguments"),
    [
        ("tpe", {"n_startup_trials": 2, "multivariate": False}),
        ("nsga2", {"population_size": 4, "mutation_prob": None}),
        ("cma_es", {"popsize": 5}),
        ("GPSampler", {"n_startup_trials": 2, "deterministic_objective": True}),
        ("QMCSampler", {"qmc_type": "halton"}),
        ("RandomSampler", {}),
    ],
)
def test_a_sampler_draws_different_configurations_inside_the_space(
    tiny: dict[str, Any], sampler: str, arguments: dict[str, Any]
) -> None:
    if sampler == "cma_es":
        pytest.importorskip("cmaes")
    drawer = sampling(tiny, {"sampler": sampler, "arguments": arguments})
    drawer.rehearse()
    seen = set()
    for number in range(12):
        parameters = drawer.ask(None)
        assert parameters is not None
        seen.add(json.dumps(parameters))
        found = drawer.space.overrides(parameters)
        assert 1e-4 <= found["optim.lr"] <= 1e-1
        assert found["optim.momentum"] in (0.0, 0.5, 0.9)
        linear = found["model.linear"]
        assert linear == {"type": "orthogonal"} or linear["bjorck_iter"] in (2, 5, 8)
        assert (found["model.activation"], found["model.groupings"]) in (
            ("maxmin", 2),
            ("group_sort", 4),
        )
        drawer.tell(number, Verdict("completed", (found["optim.lr"],), 1))
    assert len(seen) == 12


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ({"sampler": "tpf"}, r"`tpf` is not a sampler of Optuna; did you mean `tpe`\?"),
        ({"sampler": "optuna.samplers.TPESampler"}, "is not a sampler of Optuna"),
        ({"sampler": "nsgaii"}, "is not a sampler of Optuna"),
        ({"sampler": "GridSampler"}, re.escape("write algorithm: {type: grid}")),
        (
            {"arguments": {"n_startup": 3}},
            r"n_startup: is not an argument of TPESampler; did you mean `n_startup_trials`\?",
        ),
        ({"arguments": {"seed": 3}}, "takes its seed from algorithm.seed"),
        (
            {"sampler": "nsga2", "arguments": {"population_size": 1}},
            "population_size.*greater than or equal to 2",
        ),
    ],
)
def test_a_sampler_that_cannot_be_had_is_refused_with_the_reason(
    tiny: dict[str, Any], algorithm: dict[str, Any], message: str
) -> None:
    spec = search_of(tiny, {"configurations": 9, **algorithm}, search=SPACE)
    with pytest.raises(SpecError, match=rf"tiny: algorithm\.(sampler|arguments).*{message}"):
        make_plan(spec)


def test_a_sampler_of_one_objective_refuses_two(tiny: dict[str, Any]) -> None:
    pytest.importorskip("cmaes")
    objectives = [{"maximize": "tightness"}, {"minimize": "train_seconds"}]
    algorithm = {"configurations": 9, "sampler": "cma_es", "objectives": objectives}
    with pytest.raises(SpecError, match="multi-objective"):
        make_plan(search_of(tiny, algorithm, search=SPACE))


def test_what_was_recorded_counts_even_if_the_sampler_would_draw_another(
    tiny: dict[str, Any],
) -> None:
    """As after an update of Optuna; the sampler is told of what counts."""
    first, other = sampling(tiny, {}), sampling(tiny, {"seed": 1})
    recorded = [first.ask(None) for _ in range(3)]
    assert [other.ask(draw) for draw in recorded] == recorded
    for number in range(3):
        other.tell(number, Verdict("completed", (float(number),), 1))
    assert other.best() == [2]


def test_a_finite_space_is_drawn_from_until_nothing_is_left(tiny: dict[str, Any]) -> None:
    search = {name: domain for name, domain in SPACE.items() if name != "optim.lr"}
    drawer = sampling(tiny, {}, search)
    every = list(drawer.space.every_draw())
    assert len(every) == drawer.space.size == 3 * 4 * 2
    drawn = [drawer.ask(None) for _ in range(24)]
    assert sorted(map(json.dumps, map(sorted, map(dict.items, drawn)))) == sorted(  # type: ignore[arg-type]
        map(json.dumps, map(sorted, map(dict.items, every)))
    )
    assert drawer.ask(None) is None


def test_ranges_inside_listed_values_are_enumerated_by_a_grid(tiny: dict[str, Any]) -> None:
    plan = make_plan(sweep(tiny, search={"model.linear": SPACE["model.linear"]}, seeds=1))
    found = [trial.experiment.model.linear.model_dump() for trial in plan.trials]
    assert [linear.get("bjorck_iter") for linear in found] == [2, 5, 8, None]


def test_random_sweeps_draw_from_ranges_inside_listed_values(tiny: dict[str, Any]) -> None:
    algorithm = {"type": "random", "configurations": 60}
    plan = make_plan(sweep(tiny, search=SPACE, algorithm=algorithm, seeds=1))
    found = {trial.experiment.model.linear.model_dump().get("bjorck_iter") for trial in plan.trials}
    assert found == {2, 5, 8, None}


def test_values_that_optuna_cannot_keep_apart_are_drawn_as_text() -> None:
    """To Python, 1 and 1.0 and true are equal."""
    space = Space({"a": (1, 1.0, True), "b": (3, 2, 1)})
    assert space.drawn({"a": 2, "b": 0}) == {"a": "true", "b": 0}
    assert Space({"b": (3, 2, 1)}, ranked=False).drawn({"b": 0}) == {"b": 3}
