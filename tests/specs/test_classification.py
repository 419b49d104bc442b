"""What a classification cannot be is found when its spec is read, with the rule and the remedy."""

import copy
import json
from typing import Any

import pytest
from pydantic import ValidationError

from lnets.specs.classification import ClassificationSpec
from lnets.specs.epsilons import epsilon_value
from lnets.specs.experiments import EXPERIMENT
from lnets.specs.metrics import CLASSIFICATION, VALIDATION, find_metric
from lnets.specs.wording import worded
from tests.conftest import CLASSIFIER

BJORCK = {"type": "bjorck", "bjorck_iter": 12}
L_INF = {"type": "l_inf_projected"}
IMAGES = {"activation": "maxmin", "conv": {"type": "bjorck_conv2d"}, "linear": BJORCK}
RESNET = {"type": "lipschitz_resnet", "output_dim": 10, **IMAGES}
WITHOUT_VALIDATION = {"type": "fraction", "train": 1.0, "validation": 0.0}
FINETUNE = {"epochs": 1, "lr": 0.01, "bjorck_iter": 20}


def changed(**changes: Any) -> dict[str, Any]:
    """The classifier of the tests; `model` and `data` are merged, all else replaces."""
    spec = copy.deepcopy(CLASSIFIER)
    for section in ("model", "data"):
        given = changes.pop(section, {})
        spec[section] = given if "type" in given else {**spec[section], **given}
    return {**spec, **changes}


def read(**changes: Any) -> ClassificationSpec:
    return ClassificationSpec.model_validate_json(json.dumps(changed(**changes)))


def mistakes(**changes: Any) -> list[str]:
    """Dotted path and message of each."""
    data = changed(**changes)
    with pytest.raises(ValidationError) as caught:
        ClassificationSpec.model_validate_json(json.dumps(data))
    return [
        f"{'.'.join(map(str, path))}: {message}"
        for _, path, message in worded(caught.value, ClassificationSpec, data)
    ]


@pytest.mark.parametrize(
    ("changes", "path", "parts"),
    [
        ({"model": {"type": "lenet", "output_dim": 10, **IMAGES}}, "model.type",
         ["28 × 28", "got 8 × 8"]),
        ({"model": {**RESNET, "padding_mode": "circular"}}, "model.padding_mode", ["zeros"]),
        ({"model": {"layers": [8, 9]}}, "model.layers", ["end in 10", "digits", "got [8, 9]"]),
        ({"model": {**RESNET, "output_dim": 3}}, "model.output_dim", ["be 10", "got 3"]),
        ({"model": {"type": "fully_conv", "channels": [4, 10], "kernels": [3, 3],
                    "activation": "maxmin", "conv": {"type": "bjorck_conv2d"}}},
         "model.channels", ["classes as numbers, not as images"]),
        ({"data": {"dataset": "lsun_bed", "image_size": 8}}, "data.dataset",
         ["two classes at least", "lsun_bed with 1"]),
        ({"selection": {}, "data": {"split": WITHOUT_VALIDATION}}, "selection",
         ["needs validation images", "hold some out, or leave"]),
        ({"selection": {"metric": "clean_accuracy"}}, "selection.metric", ["validation_accuracy"]),
        ({"selection": {"patience": 0}}, "selection.patience", ["1"]),
        ({"finetune": FINETUNE, "model": {"linear": {"type": "orthogonal"}}}, "finetune",
         ["must be left out where no layer", "because it raises bjorck_iter"]),
        ({"finetune": {**FINETUNE, "bjorck_iter": 11}, "model": {"linear": BJORCK}},
         "finetune.bjorck_iter", ["must not be below", "12", "got 11"]),
        ({"finetune": FINETUNE, "model": {**RESNET, "conv": {"type": "bcop_conv2d",
                                                              "bjorck_iter": 30}}},
         "finetune.bjorck_iter", ["must not be below", "30", "got 20"]),
        ({"model": {"linear": L_INF}}, "certificate.norm",
         ["must be linf, because model.linear (l_inf_projected)", "got l2"]),
        ({"certificate": {"norm": "linf"}}, "certificate.norm",
         ["must be l2, because model.linear (orthogonal)", "got linf"]),
        ({"certificate": {"norm": "linf"}, "model": {"linear": {"type": "standard"}},
          "per_update_proj": {"type": "l_2"}}, "certificate.norm", ["per_update_proj (l_2)"]),
        ({"model": {"linear": {"type": "standard"}}, "per_update_proj": {"type": "l_inf_scaled"}},
         "certificate.norm", ["must be linf, because per_update_proj (l_inf_scaled)"]),
        ({"model": {"linear": {"type": "standard"}}, "per_epoch_proj": L_INF},
         "certificate.norm", ["must be linf, because per_epoch_proj (l_inf_projected)"]),
        ({"per_epoch_proj": L_INF}, "model", ["model.linear (orthogonal) in l2",
                                              "per_epoch_proj (l_inf_projected) in linf"]),
        *(({"certificate": {"norm": norm}, "model": {**RESNET, "linear": L_INF}}, "model",
           ["bounds in one norm", "model.conv (bjorck_conv2d) in l2", "(l_inf_projected) in linf"])
          for norm in ("l2", "linf")),
        ({"certificate": {"epsilons": [0.5, 0.1]}}, "certificate.epsilons", ["must rise"]),
        ({"certificate": {"epsilons": ["9/255", "9/255"]}}, "certificate.epsilons", ["must rise"]),
        ({"certificate": {"epsilons": ["1/2", 0.5]}}, "certificate.epsilons", ["must rise"]),
        *(({"certificate": {"epsilons": [text]}}, "certificate.epsilons.0",
           ["must be a number without quotes, or a fraction", "such as 36/255", f'got "{text}"'])
          for text in ("0/255", "36/0", "36/2550000", "0.5")),
        ({"certificate": {"epsilons": [0.0]}}, "certificate.epsilons.0", ["greater than 0"]),
        ({"certificate": {"epsilons": []}}, "certificate.epsilons", []),
        *(({"max_train_seconds": 3.0, "optim": {**CLASSIFIER["optim"], "schedule": schedule}},
           "optim.schedule", ["must be {type: linear} without end"])
          for schedule in ({"type": "exp", "decay": 0.9}, {"type": "linear", "end": 9})),
        ({"normalization": {"mean": [0.1, 0.2], "std": [1.0]}}, "normalization.mean",
         ["one number per channel, 1", "got [0.1, 0.2]"]),
        ({"normalization": {"mean": [0.1], "std": [1.0, 1.0]}}, "normalization.std",
         ["one number per channel"]),
        *(({"normalization": {"mean": [0.1], "std": [std]}}, "normalization.std.0",
           ["greater than or equal to 0.000001", "choose a larger"]) for std in (0.0, 1e-300)),
        ({"normalization": {"mean": [1e300], "std": [1e6]}}, "normalization.mean.0", ["less than"]),
        *(({"init_from": text}, "init_from",
           ["must be a trial's key, which has 64 hex digits, or a name under `needs`", text])
          for text in ("Newest", "A" * 64)),
        ({"loss": {"type": "hinge"}}, "loss.type", ["hinge_kr"]),
        ({"loss": {"type": "margin"}}, "loss.margin", ["required"]),
        ({"loss": {"type": "hinge_kr", "alpha": 1.5}}, "loss.alpha", ["1"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_is(
    changes: dict[str, Any], path: str, parts: list[str]
) -> None:
    (message,) = mistakes(**changes)
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message


def test_an_unconstrained_network_may_be_certified_in_both_norms() -> None:
    for norm in ("l2", "linf"):
        for model in ({"linear": {"type": "standard"}}, {"type": "resnet32", "output_dim": 10}):
            assert read(model=model, certificate={"norm": norm}).certificate.norm == norm


def test_limited_time_takes_a_straight_line_or_no_schedule() -> None:
    for schedule in (None, {"type": "linear"}):
        spec = read(max_train_seconds=3.0, optim={**CLASSIFIER["optim"], "schedule": schedule})
        assert spec.why_alone() is not None


def test_epsilons_are_named_as_they_are_written() -> None:
    spec = read(certificate={"epsilons": ["36/255", 0.5, 1.0]})
    assert [epsilon_value(e) for e in spec.certificate.epsilons] == [36 / 255, 0.5, 1.0]
    names = [name for name in spec.metrics if name.startswith("certified_accuracy@")]
    assert names == [f"certified_accuracy@{e}" for e in ("36/255", "0.5", "1.0")]
    assert next(iter(spec.metrics)) == names[0]
    assert all(find_metric(name) == spec.metrics[name] for name in spec.metrics)
    assert EXPERIMENT.validate_json(spec.model_dump_json()) == spec


def test_metrics_are_those_that_there_are_images_for() -> None:
    everything = set(CLASSIFICATION) | set(VALIDATION)
    certified, attacked = "validation_certified_accuracy", "validation_adversarial_accuracy"
    found = {name for name in read().metrics if "@" not in name}
    assert found == everything - {certified, attacked}
    assert certified in read(selection={"metric": certified}).metrics
    assert attacked in read(adversarial={"epsilon": 0.1}).metrics
    without = set(read(data={"split": WITHOUT_VALIDATION}).metrics)
    assert not without & set(VALIDATION)


def test_what_cannot_be_trained_together_says_why() -> None:
    assert read().why_alone() is None
    for changes in (
        {"normalization": {"mean": [0.1], "std": [1.0]}},
        {"spectral_jacobian": 0.1},
        {"max_train_seconds": 1.0},
        {"selection": {"patience": 2}},
        {"model": {"dropout": 0.1}},
    ):
        assert read(**changes).why_alone() is not None
    assert read(selection={}).why_alone() is None
