"""The command line takes configurations of the original."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lnets.specs.load import load_experiment
from tests.legacy.configurations import file

SHORT = (
    *("-o", "optim.epochs=1 optim.epoch_len=2 visualize=false"),
    *("-o", "distrib1.test_sample_size=8", "-o", "distrib2.test_sample_size=8"),
)
ABSOLUTE_VALUE = file("absolute_value_experiment")
Cli = Callable[..., tuple[int, str, str]]


def test_a_configuration_is_written_and_run(cli: Cli, tmp_path: Path) -> None:
    code, text, _ = cli("import", ABSOLUTE_VALUE, *SHORT)
    out = tmp_path / "experiment.yaml"
    assert cli("import", ABSOLUTE_VALUE, *SHORT, "--out", out)[0] == code == 0
    assert out.read_text() == text
    code, first, _ = cli("run", ABSOLUTE_VALUE, *SHORT, "--json")
    assert code == 0
    code, again, err = cli("run", out, "--json")
    assert (code, json.loads(again)) == (0, json.loads(first))
    assert "nothing to run" in err
    assert "lipschitz_upper_bound" in json.loads(first)["metrics"]
    code, other, _ = cli("run", ABSOLUTE_VALUE, *SHORT, "--seed", 3, "--json")
    assert json.loads(other)["trial_key"] != json.loads(first)["trial_key"]


def test_the_seed_is_that_of_the_file(cli: Cli) -> None:
    _, first, _ = cli("run", ABSOLUTE_VALUE, *SHORT, "-o", "seed=3", "--json")
    _, second, _ = cli("run", ABSOLUTE_VALUE, *SHORT, "--seed", 3, "--json")
    assert json.loads(first)["trial_key"] == json.loads(second)["trial_key"]


def test_mistakes_with_files_are_told_apart(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("import", ABSOLUTE_VALUE, "-o", "out.yaml")
    assert (code, out) == (2, "")
    assert "-o must be KEY=VALUE, got `out.yaml`; --out out.yaml writes that file" in err
    code, _, err = cli("import", tmp_path / "nosuch.json")
    assert (code, "nosuch.json: no such file" in err, "sweeps/" in err) == (2, True, False)


def test_faithful_prints_no_certificate(cli: Cli) -> None:
    code, out, _ = cli("run", ABSOLUTE_VALUE, *SHORT, "--faithful")
    assert code == 0
    assert "test_dual" in out
    assert not [word for word in ("bound", "estimate", "tightness", "certified") if word in out]


def test_a_configuration_is_submitted_planned_and_validated(cli: Cli) -> None:
    code, out, _ = cli("submit", ABSOLUTE_VALUE, *SHORT, "--runner", "in-process")
    assert code == 0
    assert "1 of 1 trials completed" in out
    assert "absolute_value_experiment" in out
    for command, words in (("plan", "needs gan: trial"), ("validate", "after 1 that they need")):
        code, out, _ = cli(command, file("estimate_wde_gan"))
        assert code == 0
        assert words in out


@pytest.mark.parametrize("option", [["-o", "optim.lr=1"], ["--faithful"]])
def test_options_are_for_configurations(cli: Cli, option: list[str], tmp_path: Path) -> None:
    out = tmp_path / "experiment.yaml"
    cli("import", ABSOLUTE_VALUE, "--out", out)
    assert load_experiment(out).task == "wasserstein"
    code, _, err = cli("run", out, *option)
    assert code == 2
    assert f"{option[0]} is for configurations of the original" in err
    assert cli("submit", out, *option)[0] == 2


def test_mistakes_exit_with_2(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("import", ABSOLUTE_VALUE, "-o", "optim.epoch=3")
    assert (code, out) == (2, "")
    assert "optim.epoch: is not a known field; did you mean `epochs`?" in err
    assert cli("import", ABSOLUTE_VALUE, "--out", tmp_path)[0] == 2
