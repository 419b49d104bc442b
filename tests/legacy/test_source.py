"""What a configuration and its overrides may say, and how mistakes are told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import SpecError
from lnets.legacy.experiment import import_file
from lnets.specs.classification import ClassificationSpec
from tests.conftest import REPOSITORY
from tests.legacy.configurations import (
    EVERY,
    file,
)

Write = Callable[..., Path]


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


BAD: list[tuple[Any, str]] = [
    ([1, 2], "looks like a list"),
    (3, "looks like a single value"),
    ({"cells": [], "nbformat": 4}, "looks like a Jupyter notebook"),
    ({"name": "x", "dependencies": {}}, "looks like a package.json"),
    ({"eps": 0.1, "success_rate": 1}, "looks like results of an attack"),
    ({"name": "x", "experiment": {}}, "looks like a sweep of lnets; name it .yaml"),
    ({"seed": 0, "experiment": {}}, "looks like what a store keeps of a trial"),
    ({"model": {"type": "x"}, "data": {}}, "looks like something else, with `model`, `data`"),
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

    @pytest.mark.parametrize("name", ["sweeps/absolute_value.yaml", "none.yml"])
    def test_yaml(self, name: str) -> None:
        with pytest.raises(SpecError, match=r"1:1: must be JSON, but looks like YAML, .* `submit`"):
            import_file(REPOSITORY / name)

    @pytest.mark.parametrize("section", ["model", "optim", "data"])
    def test_a_configuration_without_a_section_is_told_which(
        self, section: str, write: Write
    ) -> None:
        data = json.loads(file("fc_classification").read_text())
        del data[section]
        with pytest.raises(SpecError, match=f"{section}: is required"):
            import_file(write(json.dumps(data), "x.json"))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="no such file"):
            import_file(tmp_path / "x.json")

    @pytest.mark.parametrize("name", EVERY)
    def test_unknown_fields_are_told_the_nearest(self, name: str, write: Write) -> None:
        data = json.loads(file(name).read_text())
        section = data.get("model", data)
        known = next(name for name in ("activation", "cuda", "seed") if name in section)
        section[f"{known[:-1]}_{known[-1]}"] = 1
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
            ("boundary_attack", "pretrained_path=/none", "there is no file /none"),
            ("boundary_attack", "name=BoundryAttack", "did you mean `BoundaryAttack`?"),
            ("boundary_attack", "attack_kwargs.iterations=0", "attacks.0.steps: "),
            ("fast_gradient_sign", "attack_kwargs.epsilons=65", "64 at most"),
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
