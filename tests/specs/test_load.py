"""Every mistake is found at its place, with the rule, the values and the remedy."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnets.errors import SpecError
from lnets.specs.load import load_experiment, load_sweep
from tests.conftest import TINY

Write = Callable[..., Path]

SPEC = """\
name: question
experiment:
  task: wasserstein
  distrib1: {type: multi_spherical_shell, dim: 1, radius: 0}
  distrib2: {type: multi_spherical_shell, dim: 1, radius: 1}
  model:
    type: fully_connected
    layers: [128, 128, 1]
    activation: maxmin
    groupings: 2
    linear: {type: bjorck, bjorck_iter: 8}
  optim: {type: adam, lr: 1e-2}
  steps: 10
  batch_size: 4
search:
  model.linear.bjorck_iter: [4, 8]
algorithm: {type: grid, objectives: [{maximize: tightness}]}
seeds: 2
table:
  rows: [model.linear.bjorck_iter]
  values: [tightness]
"""


def refused(write: Write, text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_sweep(write(text))
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_a_correct_file_is_read(write: Write) -> None:
    sweep = load_sweep(write(SPEC))
    assert sweep.experiment.optim.lr == 0.01
    assert sweep.experiment.model.layers == (128, 128, 1)
    assert sweep.seed_list() == (0, 1)


@pytest.mark.parametrize(
    ("old", "new", "place", "path", "parts"),
    [
        ("steps: 10", "step: 10", "13:3", "experiment.step", ["did you mean `steps`?"]),
        ("steps: 10", 'steps: "10"', "13:3", "experiment.steps", ['got "10"', "without quotes"]),
        ("steps: 10", "steps: 0", "13:3", "experiment.steps", ["1", "got 0", "larger"]),
        ("steps: 10", "steps: 1.5", "13:3", "experiment.steps", ["valid integer", "got 1.5"]),
        ("lr: 1e-2", "lr: .nan", "12:23", "experiment.optim.lr", ["finite"]),
        ("lr: 1e-2", "lr: no", "12:23", "experiment.optim.lr", ["number", 'got "no"']),
        ("type: bjorck,", "type: bjork,", "11:14", "experiment.model.linear.type",
         ["`bjorck`?"]),
        ("activation: maxmin", "activation: maxmim", "9:5", "experiment.model.activation",
         ["must be `maxmin`", 'got "maxmim"', "did you mean `maxmin`?"]),
        ("groupings: 2", "groupings: 3", "10:5", "experiment.model.groupings",
         ["must divide its layer", "groupings=3", "layer=128"]),
        ("groupings: 2", "groupings: 4", "10:5", "experiment.model.groupings", ["2 for maxmin"]),
        ("groupings: 2", "groupings: [2]", "10:5", "experiment.model.groupings", ["1 entries"]),
        ("layers: [128, 128, 1]", "layers: [128, 128, 2]", "8:5", "experiment.model.layers",
         ["end in 1", "[128, 128, 2]"]),
        ("layers: [128, 128, 1]", "layers: [128, x, 1]", "8:19", "experiment.model.layers.1",
         ["integer", 'got "x"']),
        ("dim: 1, radius: 1", "dim: 2, radius: 1", "5:3", "experiment.distrib2", ["same shape"]),
        ("bjorck_iter: [4, 8]", "bjorck_itr: [4, 8]", "16:3", "search.model.linear.bjorck_itr",
         ["not a field", "did you mean `model.linear.bjorck_iter`?"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: []", "16:3", "search.model.linear.bjorck_iter",
         ["at least 1 item"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: [4, 0]", "16:33", "search.model.linear.bjorck_iter.1",
         ["greater than or equal to 1", "got 0"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: [4, 4]", "16:33", "search.model.linear.bjorck_iter.1",
         ["must differ", "4 again"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: {int: [8, 4]}", "16:30",
         "search.model.linear.bjorck_iter.int", ["low < high", "[8, 4]"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: {uniform: [0.5, 1]}", "16:3",
         "search.model.linear.bjorck_iter", ["a grid needs a list", "random"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: 4", "16:3", "search.model.linear.bjorck_iter",
         ["must be a list of values, or a range", "got 4"]),
        ("{maximize: tightness}", "{maximize: tightnes}", "17:38", "algorithm.objectives.0",
         ["reports no metric `tightnes`", "did you mean `tightness`?"]),
        ("{maximize: tightness}", "{}", "17:38", "algorithm.objectives.0", ["exactly one"]),
        ("values: [tightness]", "values: [tight]", "21:12", "table.values.0", ["`tightness`?"]),
        ("rows: [model.linear.bjorck_iter]", "rows: [model.linea]", "20:10", "table.rows.0",
         ["did you mean `model.linear`?"]),
        ("name: question", "name: ../question", "1:1", "name",
         ["must be at most 64 letters, digits", "../question"]),
        ("seeds: 2", "seeds: 2\nseeds: 3", "19:1", "seeds", ["first in line 18"]),
        ("seeds: 2", "seeds: [1, 1]", "18:1", "seeds", ["must differ", "[1, 1]"]),
        ("seeds: 2", "seeds: 0", "18:1", "seeds", ["greater than or equal to 1", "got 0"]),
        ("name: question\n", "", "1:1", "name", ["is required", "add `name: …`"]),
        ("lr: 1e-2", "lr: !!python/object:os.system {}", "12:27", "YAML tags are not allowed",
         ["python/object"]),
        ("seeds: 2", "seeds: [2", "19:6", "is not valid YAML", ["','"]),
        ("seeds: 2", "? [a]\n: 2", "18:3", "", ["plain text"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_at_its_place(
    write: Write, old: str, new: str, place: str, path: str, parts: list[str]
) -> None:
    assert old in SPEC
    [message] = refused(write, SPEC.replace(old, new, 1))
    assert f"spec.yaml:{place}: {path}" in message
    for part in parts:
        assert part in message


def test_every_mistake_is_found_at_once(write: Write) -> None:
    text = SPEC.replace("steps: 10", "steps: x").replace("lr: 1e-2", "lr: -1")
    assert len(refused(write, text)) == 2
    searches = "  modl: [1]\n  model.activation: [rellu, relu]\n"
    text = SPEC.replace("search:\n", f"search:\n{searches}").replace("[tightness]", "[x]")
    found = refused(write, text)
    assert len(found) == 2
    assert "did you mean `model`?" in found[0]


def test_a_type_is_searched_with_its_section(write: Write) -> None:
    key = "model.linear.bjorck_iter: [4, 8]"
    [message] = refused(write, SPEC.replace(key, "model.linear.type: [bjorck, standard]"))
    assert "`model.linear` with whole sections" in message
    good = SPEC.replace(key, "model.linear: [{type: standard}, {type: bjorck}]")
    assert load_sweep(
        write(good.replace("rows: [model.linear.bjorck_iter]", "rows: [model.linear]"))
    )


def test_a_combination_that_cannot_be_built_is_shown(write: Write) -> None:
    key = "model.linear.bjorck_iter: [4, 8]"
    search = "model.layers: [[128, 128, 1], [99, 99, 1]]\n  model.linear.bjorck_iter: [4, 8]"
    [message] = refused(write, SPEC.replace(key, search))
    assert "spec.yaml:15:1: search: with" in message
    for part in ("[99, 99, 1]", "must divide its layer", "groupings=2"):
        assert part in message


def test_fields_that_change_together(write: Write) -> None:
    key = "model.linear.bjorck_iter: [4, 8]"
    together = "model.activation, model.groupings: [[maxmin, 2], [group_sort, full]]"
    text = SPEC.replace(key, together).replace("rows: [model.linear.bjorck_iter]", "rows: [model]")
    assert load_sweep(write(text))
    [message] = refused(write, text.replace("[maxmin, 2]", "[maxmin]"))
    assert "must be a list of 2 values" in message
    [message] = refused(write, SPEC.replace(key, f"{together}\n  model.groupings: [2, full]"))
    assert "is set already by `model.groupings`" in message


def test_files_that_are_no_specs(write: Write, tmp_path: Path) -> None:
    assert "no such file" in refused_file(tmp_path / "nothing.yaml")
    assert "cannot be read" in refused_file(tmp_path)
    assert "must be a section" in refused_file(write(""))
    assert "must be a section" in refused_file(write("[1, 2]"))
    assert "at most 1,000,000 bytes, got more" in refused_file(write("#" * 5_000_000))
    assert "nested too deeply" in refused_file(write("[" * 5_000))
    assert "at most 100,000 values" in refused_file(write(alias_bomb()))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refused_file(tmp_path / "binary.yaml")


def refused_file(file: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_sweep(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


def alias_bomb() -> str:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(["a0: &a0 [1]", *levels])


def test_sweeps_and_experiments_are_told_apart(write: Write, tiny: dict[str, Any]) -> None:
    assert load_experiment(write(tiny["experiment"])).steps == 3
    with pytest.raises(SpecError, match="this is a sweep, not an experiment; use `submit`"):
        load_experiment(write(tiny))
    with pytest.raises(SpecError, match="this is an experiment, not a sweep; use `run`"):
        load_sweep(write(tiny["experiment"]))


def test_plain_values_are_those_of_yaml_1_2(write: Write) -> None:
    lines = {"lr": "1e-3", "max_grad_norm": "~", "weight_decay": "0"}
    text = yaml.safe_dump(copy.deepcopy(TINY)).replace("lr: 0.1", "lr: 1e-3", 1)
    sweep = load_sweep(write(text))
    assert sweep.experiment.optim.lr == float(lines["lr"])
    assert sweep.experiment.optim.max_grad_norm is None


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("lr: 1e-2", "lr: did you", ["valid number", 'got "did you"']),
        ("seeds: 2", "seeds: !!str 2", ["18:8: YAML tags are not allowed"]),
        ("seeds: 2", "seeds: &a [1, *a]", ["seeds.1: an anchor must not contain itself"]),
        ("seeds: 2", "<<: {seeds: 2}", ["18:1", "merge keys are not allowed"]),
        ("seeds: 2", 'seeds: "\\ud800"', ["18:8", "surrogate"]),
        ("seeds: 2", "seeds: \x07", ["18:8", "U+0007"]),
        ("seeds: 2", "seeds: [0, -1]", ["18:12: seeds.1", "greater than or equal to 0"]),
        ("seeds: 2", "seeds: 10000\n#", ["at most 100,000", "got"]),
        ("groupings: 2", "groupings: 0", ["10:5", "greater than or equal to 1, got 0"]),
        ("{maximize: tightness}", "{maximize: ''}", ["at least 1 character", "write a name"]),
        ("{maximize: tightness}", "{maximize: tightness}, {minimize: tightness}",
         ["must name each metric once"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: {int: [4, 8], stpe: 2}",
         ["search.model.linear.bjorck_iter.stpe", "did you mean `step`?"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: {int: [4, 8], step: 3}", ["must divide high − low"]),
        ("bjorck_iter: [4, 8]", "bjorck_iter: {int: [4]}", ["must have more entries, got [4]"]),
        ("model.linear.bjorck_iter: [4, 8]", "task: [wasserstein]", ["a sweep has one task"]),
        ("model.linear.bjorck_iter: [4, 8]", "model.linear: [{type: bjork}, {type: standart}]",
         ["model.linear.0: model.linear.type must be `standard`, `bjorck`", "`bjorck`?",
          "model.linear.1", "`standard`?"]),
        ("model.linear.bjorck_iter: [4, 8]", "model.linear: [{type: bjorck, bjork_iter: 3}]",
         ["is not a known field; did you mean `bjorck_iter`?"]),
        ("rows: [model.linear.bjorck_iter]", "rows: [steps, steps]", ["must name each once"]),
        ("algorithm: {type: grid, objectives: [{maximize: tightness}]}",
         "algorithm: {type: random, configurations: 90000}", ["17:27", "got 180,000"]),
    ],
)  # fmt: skip
def test_strange_mistakes_are_understood_too(
    write: Write, old: str, new: str, parts: list[str]
) -> None:
    assert old in SPEC
    text = SPEC.replace(old, new, 1)
    if "10000" in new:
        text = text.replace("[4, 8]", "{int: [4, 20]}")
    message = "\n".join(refused(write, text))
    for part in parts:
        assert part in message


def test_a_wrong_entry_does_not_make_its_list_too_short(write: Write) -> None:
    [message] = refused(write, SPEC.replace("values: [tightness]", "values: [3]"))
    assert "21:12: table.values.0" in message


def test_many_mistakes_are_cut(write: Write) -> None:
    lines = refused(write, SPEC + "".join(f"field{i}: 1\n" for i in range(50)))
    assert len(lines) == 21
    assert lines[-1] == "… and 30 more mistakes"


def test_nothing_of_a_file_reaches_the_terminal_raw(write: Write) -> None:
    assert "\x1b" not in "".join(refused(write, SPEC + '"\\e[31mred": 1\n'))
