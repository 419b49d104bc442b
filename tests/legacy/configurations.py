"""The original's 21 configuration files, and what makes them small enough for a test."""

from pathlib import Path

FOLDER = Path(__file__).parent
DUAL = (
    "absolute_value_experiment",
    "three_cones_experiment",
    "high_dimensional_cone_experiment",
)
CLASSIFIERS = (
    "fc_classification",
    "fc_classification_bjorck",
    "fc_classification_dropout",
    "fc_classification_l_inf",
    "fc_classification_l_inf_margin",
    "fc_classification_parseval",
    "fc_classification_spec_jac",
    "fc_classification_spec_norm",
)
LENETS = ("lenet_bjorck", "lenet_standard")
GANS = ("train_GAN", "train_LWGAN")
EVERY = (*DUAL, "estimate_wde_gan", *CLASSIFIERS, *LENETS, *GANS)
THREE_STEPS: dict[str, list[str]] = {
    **{key: ["optim.epochs=3 optim.epoch_len=1"] for key in (*DUAL, "estimate_wde_gan")},
    **{key: ["optim.epochs=3", "data.train_size=0.5"] for key in CLASSIFIERS},
    **{key: ["optim.epochs=3", "data.per_class_count=1"] for key in LENETS},
    **{key: ["epoch=3"] for key in GANS},
}
"""Overrides under which a configuration takes three steps on tiny data sets."""


def file(name: str) -> Path:
    return FOLDER / f"{name}.json"
