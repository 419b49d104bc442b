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
ATTACKS = (
    "CWAttack",
    "boundary_attack",
    "fast_gradient_sign",
    "projected_gradient_descent",
    "check_adv_gradients",
)
TRAINED = (*DUAL, "estimate_wde_gan", *CLASSIFIERS, *LENETS, *GANS)
EVERY = (*TRAINED, *ATTACKS)
_FEW = "distrib1.test_sample_size=64 distrib2.test_sample_size=64 visualize_2d.step=0.2"
THREE_STEPS: dict[str, list[str]] = {
    **{name: ["optim.epochs=3 optim.epoch_len=1", _FEW] for name in DUAL},
    "estimate_wde_gan": ["optim.epochs=3", "optim.epoch_len=1"],
    **{name: ["optim.epochs=3", "data.train_size=0.5"] for name in CLASSIFIERS},
    **{name: ["optim.epochs=3", "data.per_class_count=1"] for name in LENETS},
    **{name: ["epoch=3"] for name in GANS},
}
"""Overrides under which a configuration takes three steps on tiny data sets."""
# As the original's instructions have it, and a quarter as wide.
THREE_STEPS["fc_classification_bjorck"] += [
    "model.linear.bjorck_iter=3",
    "model.layers=[256,256,256,10]",
]


def file(name: str) -> Path:
    return FOLDER / f"{name}.json"
