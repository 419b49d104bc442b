"""What a sweep needs is checked when it is read, other sweeps that it needs trials of included."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lnets.errors import SpecError
from lnets.specs.identity import canonical_json
from lnets.specs.load import load_experiment, load_sweep
from lnets.specs.references import TrialReference, references, with_references
from lnets.specs.schemas import schemas
from lnets.specs.spec import Spec
from lnets.specs.sweep import SweepSpec
from tests.conftest import CLASSIFIER, TINY

Write = Callable[..., Path]
KEY = "0123456789abcdef" * 4
NORMALIZATION = {"mean": [0.5], "std": [0.5]}


class Leaf(Spec):
    trial: TrialReference | None = None


class Tree(Spec):
    name: str = "gan"
    leaf: Leaf | None = None
    leaves: tuple[Leaf, ...] = ()
    trials: tuple[TrialReference, ...] = ()


def test_references_are_found_and_changed_wherever_they_are() -> None:
    tree = Tree.model_validate(
        {"leaf": {"trial": "gan"}, "leaves": ({}, {"trial": KEY}), "trials": ("wgan", "gan")}
    )
    assert [(path, to) for path, _, to in references(tree)] == [
        (("leaf", "trial"), "gan"),
        (("leaves", 1, "trial"), KEY),
        (("trials", 0), "wgan"),
        (("trials", 1), "gan"),
    ]
    assert [found.field for found in references(tree)] == ["trial", "trial", "trials", "trials"]
    changed = with_references(tree, lambda to: KEY if to == "gan" else to)
    assert [to for _, _, to in references(changed)] == [KEY, KEY, "wgan", KEY]
    assert all(to.is_key == (to == KEY) for _, _, to in references(changed))
    assert changed.name == "gan"
    assert with_references(tree, str) == tree


def changed(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(data)
    *parents, last = path.split("/")
    section = data
    for parent in parents:
        section = section[parent]
    section[last] = value
    return data


def mistakes(write: Write, data: dict[str, Any]) -> list[str]:
    """Dotted path and message of each."""
    with pytest.raises(SpecError) as caught:
        load_sweep(write(data))
    assert all(problem.where.count(":") == 2 for problem in caught.value.problems)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


NARROW = {**CLASSIFIER["model"], "layers": [16, 10]}


@pytest.mark.parametrize(
    ("path", "value", "where", "parts"),
    [
        ("search/init_from", ["first", "secund"], "search.init_from.1",
         ["`secund` is not a name", "did you mean `second`?"]),
        ("search/init_from", ["first", "Second"], "search.init_from.1",
         ["a name under `needs`", 'got "Second"']),
        ("search", {"optim.lr": [0.1, 0.2]}, "needs.second", ["used by nothing"]),
        ("needs/second/experiment/init_from", "furst", "needs.second.experiment.init_from",
         ["did you mean `first`?"]),
        ("needs/first/experiment/init_from", "second", "needs",
         ["in a circle", "first → second → first"]),
        ("needs/first/experiment/init_from", "first", "needs", ["got first → first;"]),
        ("needs/first/experiment", TINY["experiment"], "needs.second.experiment.init_from",
         ["must not be the need `first`", "wasserstein has no classifier"]),
        ("experiment/model", NARROW, "search.init_from",
         ["must not be the need `first`", "[32, 32, 10]", "[16, 10]"]),
        ("experiment/normalization", NORMALIZATION, "search.init_from", ["normalization"]),
        ("needs/First", {"experiment": CLASSIFIER}, "needs.First", ["small letters"]),
        ("needs/first/seed", -1, "needs.first.seed", ["greater than or equal to 0"]),
        ("needs/first/experiment/epochs", 0, "needs.first.experiment.epochs", ["got 0"]),
        ("needs/first", {}, "needs.first.experiment", ["is required"]),
        ("resources", {"workers": 1000}, "needs.first.experiment", ["1000 workers", "batch of 64"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_is(
    write: Write, tuning: dict[str, Any], path: str, value: Any, where: str, parts: list[str]
) -> None:
    found = mistakes(write, changed(tuning, path, value))
    assert found[0].startswith(f"{where}: ")
    assert [part for part in parts if part not in found[0]] == []


def test_an_unknown_name_without_needs_says_how_to_write_one(write: Write) -> None:
    sweep = {"name": "x", "experiment": {**CLASSIFIER, "init_from": "first"}}
    (found,) = mistakes(write, sweep)
    assert "add `needs: {first: {experiment: …}}`" in found


def test_a_name_that_the_search_replaces_need_not_exist(
    write: Write, tuning: dict[str, Any]
) -> None:
    tuning["experiment"]["init_from"] = "whatever"
    assert load_sweep(write(tuning)).experiment.init_from == "whatever"


def test_what_fits_only_together_is_not_refused(write: Write, tuning: dict[str, Any]) -> None:
    """Neither the widths nor the name would do alone."""
    tuning["experiment"]["model"] = NARROW
    wide = [[32, 32, 10], "first"]
    tuning["search"] = {"model.layers, init_from": [wide, [[32, 32, 10], "second"]]}
    assert load_sweep(write(tuning)).needs.keys() == {"first", "second"}


def test_a_single_experiment_has_no_needs(write: Write) -> None:
    with pytest.raises(SpecError, match=r"yaml:\d+:1: init_from: `first` names a need of a sweep"):
        load_experiment(write({**CLASSIFIER, "init_from": "first"}))
    assert load_experiment(write({**CLASSIFIER, "init_from": KEY})).init_from == KEY


def test_needs_survive_canonical_json(tuning: dict[str, Any]) -> None:
    sweep = SweepSpec.model_validate_json(json.dumps(tuning))
    assert SweepSpec.model_validate_json(canonical_json(sweep)) == sweep


@pytest.fixture
def base(write: Write, tuning: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A sweep in another folder than the one that needs trials of it."""
    (tmp_path / "other").mkdir()
    write(changed(tuning, "search/optim.lr", [0.1, 0.2]), "other/base.yaml")
    picked = {"init_from": "second", "optim.lr": 0.2}
    need = {"sweep": "other/base.yaml", "where": picked, "seed": 3}
    experiment = {**CLASSIFIER, "init_from": "tuned"}
    return {"name": "further", "experiment": experiment, "needs": {"tuned": need}}


def test_a_configuration_of_another_sweep(base: dict[str, Any], write: Write) -> None:
    """It brings along what it needs itself."""
    jsonschema.validate(base, schemas()["sweep.schema.json"])
    sweep = load_sweep(write(base))
    other = load_sweep(write({}, "unused.yaml").parent / "other" / "base.yaml")
    assert sweep.needs.keys() == {"tuned", "tuned_first", "tuned_second"}
    tuned = sweep.needs["tuned"]
    assert (tuned.seed, tuned.experiment.optim.lr) == (3, 0.2)
    assert tuned.experiment.init_from == "tuned_second"
    assert sweep.needs["tuned_second"].experiment.init_from == "tuned_first"
    assert sweep.needs["tuned_second"].seed == 7
    assert sweep.needs["tuned_first"] == other.needs["first"]


@pytest.mark.parametrize(
    ("need", "where", "parts"),
    [
        ({"where": {"optim.lr": 0.2}}, "where", ["got 2", '"first", "optim.lr": 0.2}']),
        ({"where": {}}, "where", ["got 4"]),
        ({"where": {"optim.lr": 0.3}}, "where", ["got 0", '"first", "optim.lr": 0.1}']),
        ({"where": {"optim.l": 0.3}}, "where.optim.l", ["is not searched", "`optim.lr`"]),
        ({"were": {}}, "were", ["did you mean `where`?"]),
        ({"sweep": "other/bass.yaml"}, "sweep", ["no such file"]),
        ({"sweep": "spec.yaml"}, "sweep", ["in a circle", "spec.yaml → spec.yaml"]),
        ({"sweep": "other/bad.yaml"}, "sweep", ["without mistakes", "bad.yaml:1:1", "1 more)"]),
        ({"sweep": "other/random.yaml"}, "sweep", ["must be a grid", "got random"]),
    ],
)  # fmt: skip
def test_a_mistake_about_another_sweep(
    base: dict[str, Any],
    tuning: dict[str, Any],
    write: Write,
    need: dict[str, Any],
    where: str,
    parts: list[str],
) -> None:
    write({"nam": "x"}, "other/bad.yaml")
    drawn = {"algorithm": {"type": "random", "configurations": 2}}
    write({**tuning, **drawn}, "other/random.yaml")
    base["needs"]["tuned"] |= need
    found = mistakes(write, base)[0]
    assert found.startswith(f"needs.tuned.{where}: ")
    assert [part for part in parts if part not in found] == []


def test_what_comes_along_must_not_take_a_name(base: dict[str, Any], write: Write) -> None:
    base["needs"]["tuned_first"] = {"experiment": CLASSIFIER}
    assert "brings a need `tuned_first` along" in mistakes(write, base)[0]
    del base["needs"]["tuned_first"]
    base["needs"]["Tuned"] = base["needs"]["tuned"]
    assert mistakes(write, base)[0].startswith("needs.Tuned: must be at most 63 small letters")


def test_what_comes_along_twice_must_not_have_one_name(base: dict[str, Any], write: Write) -> None:
    needs = {"tuned_first": {"experiment": CLASSIFIER}}
    other = {"name": "x", "experiment": {**CLASSIFIER, "init_from": "tuned_first"}, "needs": needs}
    write(other, "other/like.yaml")
    base["needs"] = {"a": {"sweep": "other/like.yaml"}, "a_tuned": base["needs"]["tuned"]}
    assert "brings a need `a_tuned_first` along" in mistakes(write, base)[0]
