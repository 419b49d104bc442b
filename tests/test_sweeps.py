"""Every shipped sweep can be run: it plans, and every configuration of it builds."""

from pathlib import Path
from typing import Any

import pytest

from lnets.build import build_classifier, build_critic, build_generator, build_optimizer
from lnets.legacy.experiment import import_file
from lnets.nn.fused import Replicas
from lnets.specs.classification import ClassificationSpec
from lnets.specs.experiments import AnyExperiment
from lnets.specs.gan import GanSpec
from lnets.specs.load import load_sweep
from lnets.specs.search import OptunaSpec, RandomSpec
from lnets.specs.wasserstein import WassersteinSpec
from lnets.sweep.plan import make_plan
from tests.conftest import REPOSITORY

SWEEPS = sorted((REPOSITORY / "sweeps").glob("*.yaml"))
PAPER = sorted((REPOSITORY / "sweeps" / "paper").glob("*.yaml"))


@pytest.mark.parametrize("file", [*SWEEPS, *PAPER], ids=lambda file: file.name)
def test_every_configuration_builds(file: Path) -> None:
    sweep = load_sweep(file)
    if isinstance(sweep.algorithm, OptunaSpec):
        make_plan(sweep)
        drawn = RandomSpec(type="random", configurations=30)
        sweep = sweep.model_copy(update={"algorithm": drawn})
    plan = make_plan(sweep)
    assert plan.sweep.name == file.stem
    assert plan.sweep.description
    assert not plan.skipped
    for experiment in {trial.config_key: trial.experiment for trial in plan.everything}.values():
        match experiment:
            case WassersteinSpec():
                model = build_critic(experiment.model, experiment.distrib1.shape)
            case ClassificationSpec():
                shape = experiment.data.image_shape
                model = build_classifier(experiment.model, experiment.normalization, shape)
            case GanSpec():
                shape = experiment.data.image_shape
                model = build_critic(experiment.model, shape)
                generator = build_generator(experiment.generator, shape)
                build_optimizer([experiment.generator_optim], Replicas([generator]))
            case _:
                raise AssertionError(f"no way to build {experiment.task}")
        build_optimizer([experiment.optim], Replicas([model]))


@pytest.mark.parametrize(
    ("paper", "originals"),
    [
        ("absolute_value", ["absolute_value_experiment"]),
        ("three_cones", ["three_cones_experiment"]),
        ("high_dimensional_cones", ["high_dimensional_cone_experiment"]),
        ("wgan_distances", ["estimate_wde_gan"]),
        (
            "mnist",
            [f"fc_classification{kind}" for kind in ("", "_bjorck", "_dropout", "_parseval")],
        ),
        ("mnist", ["fc_classification_spec_norm"]),
        ("small_data", ["lenet_bjorck", "lenet_standard"]),
        ("linf_robustness", ["fc_classification", "fc_classification_l_inf_margin"]),
        ("dead_units", ["fc_classification", "fc_classification_l_inf"]),
        ("singular_values", ["fc_classification_spec_jac", "fc_classification_bjorck"]),
    ],
)
def test_those_of_the_paper_train_as_the_originals_files_say(
    paper: str, originals: list[str]
) -> None:
    sweep = load_sweep(REPOSITORY / "sweeps" / "paper" / f"paper_{paper}.yaml")
    trained = [_training(trial.experiment) for trial in make_plan(sweep).everything]
    for name in originals:
        wanted = import_file(REPOSITORY / "tests" / "legacy" / f"{name}.json").main.experiment
        assert _training(wanted) in trained


def _training(experiment: AnyExperiment) -> dict[str, Any]:
    """How long, of what, and by which steps; what is drawn and measured may differ."""
    found = experiment.model_dump(
        include={"task", "model", "optim", "per_update_proj", "batch_size", "steps", "epochs"}
        | {"loss", "spectral_jacobian", "normalization"}
    )
    sizes = found["model"].pop("groupings", None)
    if found["model"]["activation"] == "group_sort":
        if isinstance(sizes, tuple):  # one for every layer, the last of which has none
            full = sizes[:-1] == found["model"]["layers"][:-1]
            sizes = "full" if full else sizes[0]
        found["groupings"] = sizes
    if (found["optim"]["max_grad_norm"] or 1e8) >= 1e8:
        del found["optim"]["max_grad_norm"]  # never reached
    return found


def test_the_readme_lists_them_all() -> None:
    text = (REPOSITORY / "sweeps" / "README.md").read_text()
    assert [file.name for file in SWEEPS if f"`{file.name}`" not in text] == []


def test_the_guide_to_the_paper_has_their_sizes() -> None:
    text = (REPOSITORY / "docs" / "reproducing.md").read_text()
    for file in PAPER:
        row = next(row for row in text.splitlines() if f"`sweeps/paper/{file.name}`" in row)
        assert row.split("|")[3].split(",")[0].strip() == str(
            len(make_plan(load_sweep(file)).trials)
        )
