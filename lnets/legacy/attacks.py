"""Configurations of attacks, and of images of gradients."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lnets.legacy.fields import AttackFields, GradientFields
from lnets.legacy.translation import Translation

CLASSIFIER = "classifier"
"""What an experiment calls the classifier that it attacks."""
FC_CLASSIFICATION: dict[str, Any] = {
    "model": {
        "name": "classify_fc",
        "activation": "relu",
        "layers": [1024, 1024, 1024, 10],
        "l_constant": 1,
        "linear": {"type": "standard"},
    },
    "optim": {
        "optimizer": "adam",
        "lr_schedule": {
            "name": "step",
            "lr_init": 0.001,
            "lr_decay": 0.1,
            "milestones": [60, 100, 150],
        },
        "epochs": 200,
        "batch_size": 128,
        "criterion": {"tag": "acc", "minmax": "max"},
        "max_grad_norm": 1e8,
    },
    "data": {"name": "mnist", "validation": True, "train_size": 0.9},
    "logging": {"save_best": True},
}
"""The original's fc_classification.json, as far as anything reads it."""


class _Attack(NamedTuple):
    """An attack of foolbox 1."""

    type: str
    norm: str
    options: Mapping[str, str]
    """Keyword arguments, and what they are called here."""


_CARLINI_WAGNER = {
    "binary_search_steps": "binary_search_steps",
    "max_iterations": "steps",
    "learning_rate": "step_size",
}
_ATTACKS = {
    "SLSQPAttack": _Attack("carlini_wagner", "l2", {}),
    "CarliniWagnerL2Attack": _Attack("carlini_wagner", "l2", _CARLINI_WAGNER),
    "BoundaryAttack": _Attack(
        "boundary",
        "l2",
        {
            "iterations": "steps",
            "spherical_step": "spherical_step",
            "source_step": "source_step",
        },
    ),
    "DeepFoolAttack": _Attack("deepfool", "l2", {"steps": "steps", "subsample": "candidates"}),
    "GradientSignAttack": _Attack("fgsm", "linf", {}),
    "ProjectedGradientDescent": _Attack(
        "pgd",
        "linf",
        {"iterations": "steps", "stepsize": "step_size", "random_start": "random_start"},
    ),
}
_DISTANCES = {"MeanSquaredDistance": "l2", "Linfinity": "linf"}
_L2_EPSILONS = ("36/255", "72/255", "108/255", 0.5, 1.0, 1.58)
_LINF_EPSILONS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def attack(t: Translation, fields: AttackFields, classifier: str) -> dict[str, Any]:
    """The experiment, as data of a spec.

    Args:
        t: What is translated.
        fields: The configuration.
        classifier: Key of a trial, or name of a need.
    """
    known: _Attack = t.one_of("name", "attack", fields.name, _ATTACKS)
    measured = t.one_of("distance", "distance", fields.distance, _DISTANCES)
    if measured != known.norm:
        t.account.comment(
            "norm", f"in which the attack works; the original measured in {measured} what it found"
        )
    if fields.name == "SLSQPAttack":
        t.account.differs.append(
            "SLSQPAttack is no longer in foolbox; Carlini and Wagner's takes its place, which "
            "looks for the smallest perturbation in L2, too"
        )
    data: dict[str, Any] = {
        "task": "robustness",
        "classifier": classifier,
        "norm": known.norm,
        "attacks": ({"type": known.type, **_options(t, fields, known)},),
        "epsilons": _epsilons(t, fields, known),
        "max_images": fields.num_examples,
    }
    t.account.carry("num_examples")
    unknown = [path for path in t.account.rest() if path.startswith("attack_kwargs.")]
    t.account.drop("this attack has no such option here", *unknown)
    if not fields.attack_kwargs:
        t.account.carry("attack_kwargs")
    t.account.drop("images are attacked in chunks that fit into memory", "data.batch_size")
    t.account.comment("max_images", "evenly spread over the test images; there, the first")
    return data


def gradients(t: Translation, fields: GradientFields, classifier: str) -> dict[str, Any]:
    """The experiment, as data of a spec: any evaluation leaves gradients at its images.

    Args:
        t: What is translated.
        fields: The configuration.
        classifier: Key of a trial, or name of a need.
    """
    t.account.comment(
        "task",
        "`lnets-sweep figures` draws input_gradients.png, with the gradient of each class's loss",
    )
    t.account.comment("attacks", "which an evaluation must have; the original made none")
    t.account.comment("max_images", "a batch")
    t.account.carry("data.batch_size")
    t.account.drop("an image of each of the first ten classes is shown", "visualization.num_rows")
    return {
        "task": "robustness",
        "classifier": classifier,
        "norm": "linf",
        "attacks": ({"type": "fgsm"},),
        "epsilons": (0.1,),
        "max_images": fields.data.batch_size,
    }


def pgd(t: Translation, data: dict[str, Any]) -> dict[str, Any]:
    """What `train_pgd.py` adds to a classification."""
    t.account.comment("adversarial", "fixed in the original's train_pgd.py")
    t.account.differs.append(
        "the attack ascends the cross entropy; that of the original, a margin of 50 logits"
    )
    found: dict[str, Any] = {
        "adversarial": {"norm": "linf", "epsilon": 0.3, "steps": 40, "step_size": 0.01}
    }
    if data.get("selection", {}).get("metric") == "validation_accuracy":
        t.account.comment("selection.metric", "the original attacked validation images, too")
        found["selection"] = {"metric": "validation_adversarial_accuracy"}
    return found


def _options(t: Translation, fields: AttackFields, known: _Attack) -> dict[str, Any]:
    """Keyword arguments that the attack has here."""
    options = {}
    for name, value in fields.attack_kwargs.items():
        if name in known.options:
            options[known.options[name]] = value
            t.account.carry(f"attack_kwargs.{name}")
    return options


def _epsilons(t: Translation, fields: AttackFields, known: _Attack) -> tuple[float | str, ...]:
    """At which sizes of perturbations images are counted."""
    given = fields.attack_kwargs
    if known.type == "fgsm":
        count, largest = given.get("epsilons", 50), float(given.get("max_epsilon", 1.0))
        if not isinstance(count, int) or not 1 <= count <= 64:
            message = f"must be the number of sizes, 64 at most, got {count}; change it"
            raise t.source.refusal("attack_kwargs.epsilons", message)
        t.account.carry("attack_kwargs.epsilons", "attack_kwargs.max_epsilon")
        t.account.comment("epsilons", f"{count} equal steps up to {largest:g}")
        return tuple(round(largest * i / count, 12) for i in range(1, count + 1))
    if known.type == "pgd":
        t.account.comment(
            "epsilons", "each is attacked; the original searched the smallest that succeeds"
        )
        searched = ("binary_search", "epsilon", "return_early")
        why = "all these epsilons are attacked instead"
        t.account.drop(why, *(f"attack_kwargs.{name}" for name in searched))
    else:
        t.account.comment("epsilons", "at which images are counted; distances are in the files")
    return _LINF_EPSILONS if known.type == "pgd" else _L2_EPSILONS
