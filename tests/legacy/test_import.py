"""Configuration files of the original become experiments that run."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.build import build_classifier, build_critic, build_generator
from lnets.errors import SpecError
from lnets.legacy.experiment import Imported, import_file
from lnets.specs.classification import ClassificationSpec
from lnets.specs.gan import GanSpec
from lnets.specs.load import load_experiment, load_sweep
from lnets.specs.sweep import SweepSpec
from lnets.specs.wasserstein import WassersteinSpec
from lnets.sweep.local import run_here
from tests.data.tiny import tiny_mnist
from tests.legacy.configurations import CLASSIFIERS, DUAL, EVERY, GANS, THREE_STEPS, file

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
    assert imported.main.experiment.faithful == faithful


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
    assert max(map(len, text.splitlines())) < 200


def test_defaults_and_faults_are_commented_on() -> None:
    text = import_file(file("absolute_value_experiment")).to_yaml()
    assert "exact_points: 5000  # default\n" in text
    assert "    milestones: [512, 1024]\n" in text
    assert "    # epochs 32, 64 of 16 steps\n" in text
    assert "# a proven scale; the original divided by √(out·in)" in text
    assert "steps: 3600\n" in text
    margin = import_file(file("fc_classification_l_inf_margin")).to_yaml()
    assert "L1 sphere" in margin
    assert "divided by how often patches overlap" in import_file(file("lenet_bjorck")).to_yaml()


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


@pytest.fixture
def _tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNETS_DATA", str(tmp_path / "data"))
    tiny_mnist(tmp_path / "data", monkeypatch)


@pytest.fixture
def hparams(write: Write) -> Path:
    """What a short run of train_gan.py writes."""
    written = json.loads(file("train_GAN").read_text()) | {"epoch": 1, "logs_dir": "/private/logs"}
    return write(json.dumps(written), "hparams.json")


@pytest.mark.slow
@pytest.mark.usefixtures("_tiny_mnist", "_quick")
@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("name", EVERY)
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


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "path", "value"),
        [
            ("model.linear.bias=false", "model.linear.bias", False),
            ("optim.lr_schedule.lr_init=1e-4", "optim.lr", 1e-4),
            ("optim.max_grad_norm=1e+5", "optim.max_grad_norm", 1e5),
            ("optim.max_grad_norm=null", "optim.max_grad_norm", None),
            ("optim.betas=[0.5, 0.9]", "optim.betas", (0.5, 0.9)),
            ("model.layers=64+32+1", "model.layers", (64, 32, 1)),
            ("model.groupings=[-1,2,2,1]", "model.groupings", (2, 2, 1)),
            ("model.activation=tahn", "model.activation", "tanh"),
        ],
    )
    def test_values_have_types(self, override: str, path: str, value: Any) -> None:
        found: Any = import_file(file("absolute_value_experiment"), [override]).main.experiment
        for name in path.split("."):
            found = getattr(found, name)
        assert found == value

    def test_one_text_may_have_several(self) -> None:
        name = file("absolute_value_experiment")
        both = import_file(name, ["optim.epochs=2 distrib1.center_x=[0, 1] exp_name=a=b"])
        one_by_one = import_file(name, ["optim.epochs=2", "distrib1.center_x=[0, 1]"])
        assert both.main.experiment == one_by_one.main.experiment
        assert 'exp_name "a=b"' in both.to_yaml()

    def test_index_files_are_only_taken_when_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LNETS_DATA", str(tmp_path))
        with pytest.raises(SpecError, match=r"train\.txt"):
            import_file(file("lenet_bjorck"), ["data.indices_path=small"])
        (tmp_path / "small").mkdir()
        for name, index in (("train", 3), ("validation", 4)):
            (tmp_path / "small" / f"{name}.txt").write_text(f"{index}\n")
        found = import_file(file("lenet_bjorck"), ["data.indices_path=small"]).main.experiment
        assert isinstance(found, ClassificationSpec)
        assert found.data.split.type == "files"

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("optim.epochs", "-o must be KEY=VALUE, got `optim.epochs`"),
            ("optim.epochs=2.5", "-o: optim.epochs: "),
            ("optim.epochs=many", '-o: optim.epochs: should be a valid integer, got "many"'),
            ("model.linear.bias=0", "-o: model.linear.bias: "),
            ("model.linear.bjork_iter=3", "did you mean `bjorck_iter`?"),
            ("modle.activation=relu", "-o: modle: is not a known field; did you mean `model`?"),
            ("seed.x=3", "`seed` is a value, not a section"),
            ("model.activation=relo", "is no activation of the original"),
        ],
    )
    def test_mistakes_are_named(self, override: str, message: str) -> None:
        with pytest.raises(SpecError) as caught:
            import_file(file("absolute_value_experiment"), [override])
        assert message in str(caught.value)


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

    def test_a_private_path_is_never_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = []
        real = open

        def watched(path: Any, *arguments: Any, **options: Any) -> Any:
            opened.append(os.fspath(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr("builtins.open", watched)
        text = import_file(file("estimate_wde_gan")).to_yaml()
        assert opened == [str(file("estimate_wde_gan"))]
        private = json.loads(file("estimate_wde_gan").read_text())["distrib1"]
        assert private["gan_config_json_path"] in text
        assert "not opened" in text

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


BAD: list[tuple[Any, str]] = [
    ([1, 2], "looks like a list"),
    (3, "looks like a single value"),
    ({"cells": [], "nbformat": 4}, "looks like a Jupyter notebook"),
    ({"name": "x", "dependencies": {}}, "looks like a package.json"),
    ({"eps": 0.1, "success_rate": 1}, "looks like results of an attack"),
    ({"experiment": {}}, "looks like a sweep of lnets"),
    ({"task": "wasserstein", "distrib1": {}}, "looks like an experiment of lnets"),
    ({"colour": 1, "size": 2}, "looks like something else, with `colour`, `size`"),
    ({}, "with no field at all"),
]


class TestBadInput:
    @pytest.mark.parametrize(("data", "message"), BAD)
    def test_other_json_is_told_what_it_looks_like(
        self, data: Any, message: str, write: Write
    ) -> None:
        with pytest.raises(SpecError) as caught:
            import_file(write(json.dumps(data), "other.json"))
        assert message in str(caught.value)
        assert "other.json:1:1" in str(caught.value)

    def test_no_json(self, write: Write) -> None:
        with pytest.raises(SpecError, match=r"x\.json:2:3: must be JSON: .*; mend the syntax"):
            import_file(write('{"model":\n  modle}', "x.json"))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="no such file"):
            import_file(tmp_path / "x.json")

    @pytest.mark.parametrize("name", EVERY)
    def test_unknown_fields_are_told_the_nearest(self, name: str, write: Write) -> None:
        data = json.loads(file(name).read_text())
        section = data.get("model", data)
        section["actviation" if "activation" in section else "sed"] = 1
        with pytest.raises(SpecError, match="is not a known field; did you mean"):
            import_file(write(json.dumps(data, indent=1), "x.json"))

    def test_every_mistake_has_its_place(self, write: Write) -> None:
        data = json.loads(file("absolute_value_experiment").read_text())
        data["model"]["layers"] = "128"
        data["optim"]["epochs"] = "225"
        with pytest.raises(SpecError) as caught:
            import_file(write(json.dumps(data, indent="\t"), "x.json"))
        places = {problem.path: problem.where for problem in caught.value.problems}
        lines = json.dumps(data, indent="\t").splitlines()
        assert set(places) == {"model.layers", "optim.epochs"}
        for path, where in places.items():
            assert f'"{path.rpartition(".")[2]}"' in lines[int(where.split(":")[-2]) - 1]

    @pytest.mark.parametrize(
        ("name", "override", "message"),
        [
            ("estimate_wde_gan", "distrib1.gan_config_json_path=/none.json", "there is no file"),
            (
                "estimate_wde_gan",
                f"distrib1.gan_config_json_path={file('fc_classification')}",
                "must be the configuration of a GAN",
            ),
            ("train_GAN", "input_size=32", "must be 28 with mnist"),
            ("train_GAN", "dataset=mnits", "is no data set of GANs"),
            ("fc_classification", "optim.criterion.minmax=min", "must be max with acc"),
            ("fc_classification", "model.activation=maxmin model.groupings=[2,2]", "per layer"),
            ("fc_classification", "model.layers=[1024,1024,1024,9]", "must end in 10"),
            ("fc_classification", "model.name=classify_fc_hinge", "model.margin: is required"),
            ("absolute_value_experiment", "distrib2.sample_size=31", "must be that of distrib1"),
            ("absolute_value_experiment", "model.groupings=[3,2,1]", "must divide its layer"),
            ("absolute_value_experiment", "distrib1.name=Gaussian", "is no distribution"),
            (
                "absolute_value_experiment",
                "optim.lr_schedule.name=exp optim.lr_schedule.last_epoch=3",
                "must be -1",
            ),
        ],
    )
    def test_what_cannot_be_is_refused(self, name: str, override: str, message: str) -> None:
        with pytest.raises(SpecError) as caught:
            import_file(file(name), [override])
        assert message in str(caught.value)


def test_dual_configurations_and_gans_are_of_their_tasks() -> None:
    tasks = {name: import_file(file(name)).main.experiment.task for name in (*DUAL, *GANS)}
    assert set(tasks.values()) == {"wasserstein", "gan"}
