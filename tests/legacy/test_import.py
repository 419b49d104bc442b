"""Configuration files of the original become experiments that run."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.build import build_classifier, build_critic, build_generator
from lnets.legacy.experiment import Imported, import_file
from lnets.specs.classification import ClassificationSpec
from lnets.specs.gan import GanSpec
from lnets.specs.load import load_experiment, load_sweep
from lnets.specs.sweep import SweepSpec
from lnets.specs.wasserstein import WassersteinSpec
from lnets.sweep.local import run_here
from tests.legacy.configurations import (
    CLASSIFIERS,
    DUAL,
    EVERY,
    GANS,
    THREE_STEPS,
    TRAINED,
    file,
)

Write = Callable[..., Path]


def written(imported: Imported, folder: Path) -> SweepSpec:
    """What is read of the YAML that is written."""
    out = folder / f"{imported.name}.yaml"
    out.write_text(imported.to_yaml(), encoding="utf-8")
    if imported.needs:
        return load_sweep(out)
    experiment = load_experiment(out)
    return SweepSpec(name=imported.name, experiment=experiment, seeds=(imported.seed,))


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_the_file_that_is_written_is_the_experiment(
    name: str, faithful: bool, tmp_path: Path
) -> None:
    imported = import_file(file(name), faithful=faithful)
    assert written(imported, tmp_path) == imported.sweep()
    main = imported.main.experiment
    assert getattr(main, "faithful", faithful) == faithful


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_every_field_is_in_the_experiment_or_in_a_comment(name: str, faithful: bool) -> None:
    imported = import_file(file(name), faithful=faithful)
    for part in (imported.main, *imported.needs.values()):
        assert part.account.rest() == []
        dump: Any = part.experiment.model_dump()
        for path in part.account.beside:
            section = dump
            for field in path:
                section = section[field]
    text = imported.to_yaml()
    comments = " ".join(line.strip(" #-") for line in text.splitlines() if "#" in line)
    for ignored in ("num_shells", "patience", "hinge_order", "parseval"):
        assert (f'"{ignored}"' in file(name).read_text()) == (f".{ignored} " in comments)
    assert max(len(line) for line in text.splitlines() if line.startswith("#")) < 200


def test_defaults_and_faults_are_commented_on() -> None:
    text = import_file(file("absolute_value_experiment")).to_yaml()
    assert "exact_points: 5000  # default\n" in text
    assert "    milestones: [512, 1024]\n" in text
    assert "    # epochs 32, 64 of 16 steps\n" in text
    assert "# a proven scale; the original divided by √(out·in)" in text
    assert "steps: 3600\n" in text
    margin = import_file(file("fc_classification_l_inf_margin")).to_yaml()
    assert "L1 sphere" in margin
    assert "  epsilons: [0.05, 0.1, 0.15, 0.2, 0.25, 0.3]\n" in margin
    assert "divided by how often patches overlap" in import_file(file("lenet_bjorck")).to_yaml()
    for faithful in (False, True):
        text = import_file(file("fc_classification_spec_norm"), faithful=faithful).to_yaml()
        words = " ".join(text.replace("#", "").split())
        assert "in the original the optimizer trained its vectors" in words
        for soundly in ("evaluation divides by a proven bound", "initial weights: all singular"):
            assert (soundly in words) == (not faithful)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("absolute_value_experiment", 16_897),
        ("three_cones_experiment", 196_561),
        ("high_dimensional_cone_experiment", 362_241),
        ("estimate_wde_gan", 1_085_041),
        *((name, 2_913_290) for name in CLASSIFIERS),
        ("lenet_bjorck", 21_840),
        ("train_GAN", 6_559_169),
        ("train_LWGAN", 6_556_865),
    ],
)
@pytest.mark.parametrize("faithful", [False, True])
def test_networks_are_as_large_as_the_originals(name: str, parameters: int, faithful: bool) -> None:
    match import_file(file(name), faithful=faithful).main.experiment:
        case WassersteinSpec() as spec:
            model = build_critic(spec.model, spec.distrib1.shape, faithful=faithful)
        case ClassificationSpec() as spec:
            shape = spec.data.image_shape
            model = build_classifier(spec.model, spec.normalization, shape, faithful=faithful)
        case GanSpec() as spec:
            model = build_critic(spec.model, spec.data.image_shape, faithful=faithful)
            generator = build_generator(spec.generator, spec.data.image_shape)
            assert sum(p.numel() for p in generator.parameters()) == 6_640_193
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.slow
@pytest.mark.usefixtures("_tiny_mnist", "_quick")
@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("name", TRAINED)
def test_it_takes_three_steps(name: str, faithful: bool, hparams: Path, tmp_path: Path) -> None:
    overrides = list(THREE_STEPS[name])
    if name == "estimate_wde_gan":
        overrides.append(f"distrib2.gan_config_json_path={hparams}")
    sweep = import_file(file(name), overrides, faithful=faithful).sweep()
    if isinstance(spec := sweep.experiment, GanSpec):
        narrow = spec.model.model_copy(update={"widths": (8, 16, 32)})
        spec = spec.model_copy(update={"quality": None, "model": narrow})
        sweep = sweep.model_copy(update={"experiment": spec})
    result = run_here(sweep, tmp_path / "store")
    metrics = result["metrics"]
    assert result["status"] == "completed", result["error"]
    assert round(metrics["steps_per_second"] * metrics["train_seconds"]) == 3
    proven = [name for name in metrics if "certified" in name or "bound" in name]
    assert bool(proven) == (not faithful and name != "train_GAN")
    assert "wasserstein_estimate" not in metrics or not faithful


class TestQuirks:
    def test_epochs_become_steps(self) -> None:
        spec = import_file(file("high_dimensional_cone_experiment")).main.experiment
        assert isinstance(spec, WassersteinSpec)
        assert spec.steps == 128 * 150
        assert spec.optim.schedule is not None
        assert spec.optim.schedule.model_dump()["milestones"] == (1920, 3840, 7680, 11520)

    def test_a_run_of_gans_may_be_named(self, hparams: Path) -> None:
        path = f"distrib1.gan_config_json_path={hparams}"
        imported = import_file(file("estimate_wde_gan"), [path])
        gan = imported.needs["gan"].experiment
        assert isinstance(gan, GanSpec)
        assert gan.epochs == 1
        assert 'logs_dir "/private/logs": folders of a run' in imported.to_yaml()

    @pytest.mark.parametrize("name", EVERY)
    def test_a_private_path_is_never_opened(
        self, name: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = json.loads(file(name).read_text())
        (tmp_path / "private").mkdir()
        (tmp_path / "private" / "hparams.json").write_text("{}")
        private = _with_paths(data, str(tmp_path / "private" / "hparams.json"))
        configuration = write(json.dumps(data), "configuration.json")
        opened = []
        real = open

        def watched(path: Any, *arguments: Any, **options: Any) -> Any:
            opened.append(os.fspath(path))
            return real(path, *arguments, **options)

        for where in ("builtins.open", "io.open", "os.open"):
            monkeypatch.setattr(where, watched)
        text = import_file(configuration).to_yaml()
        monkeypatch.undo()
        assert opened == [str(configuration)]
        assert private
        for field in private:
            assert any(field in line for line in text.splitlines()), field
        assert str(tmp_path / "private") in text

    def test_the_norm_is_that_in_which_layers_keep_a_bound(self) -> None:
        norms = {}
        for name in CLASSIFIERS:
            spec = import_file(file(name)).main.experiment
            assert isinstance(spec, ClassificationSpec)
            norms[name] = spec.certificate.norm
        linf = [name for name, norm in norms.items() if norm == "linf"]
        assert linf == ["fc_classification_l_inf", "fc_classification_l_inf_margin"]

    @pytest.mark.parametrize(
        ("kind", "widen", "faithful"), [("resnet32", None, False), ("wide-resnet32", 1, True)]
    )
    def test_residual_networks(self, kind: str, widen: int | None, faithful: bool) -> None:
        overrides = [f"model.name={kind} data.name=cifar10 data.transform.type=cifar"]
        spec = import_file(file("fc_classification"), overrides, faithful=faithful).main.experiment
        assert isinstance(spec, ClassificationSpec)
        assert getattr(spec.model, "widen", None) == widen
        assert spec.normalization is not None
        model = build_classifier(spec.model, None, spec.data.image_shape)
        assert sum(p.numel() for p in model.parameters()) == 466_906


def _with_paths(section: dict[str, Any], path: str) -> list[str]:
    """Fields of a configuration that name files, all of which are this one now."""
    found = []
    for name, value in section.items():
        if isinstance(value, dict):
            found += _with_paths(value, path)
        elif re.search("path|root", name):
            section[name] = path
            found.append(name)
    return found


def test_dual_configurations_and_gans_are_of_their_tasks() -> None:
    tasks = {name: import_file(file(name)).main.experiment.task for name in (*DUAL, *GANS)}
    assert set(tasks.values()) == {"wasserstein", "gan"}
