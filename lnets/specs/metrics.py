"""Every metric that a task reports: its name, its unit, which way is better."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

from lnets.specs.attacks import ATTACK_TYPES, EvaluationSpec

_T = TypeVar("_T")


class Metric(NamedTuple):
    """What a person must know of a metric to read a table."""

    meaning: str
    unit: str
    better: Literal["higher", "lower"] | None


WASSERSTEIN = {
    "wasserstein_estimate": Metric(
        "dual value on held-out samples, divided by lipschitz_upper_bound",
        "input units",
        "higher",
    ),
    "wasserstein_lower_bound": Metric(
        "the estimate minus its one-sided confidence width: holds for the two distributions "
        "with probability 0.95, for each trial by itself",
        "input units",
        "higher",
    ),
    "wasserstein_exact": Metric(
        "exact distance: of the distributions where it is known, else of the held-out samples",
        "input units",
        None,
    ),
    "wasserstein_exact_error": Metric(
        "standard error of wasserstein_exact, where that is a mean over random points",
        "input units",
        None,
    ),
    "wasserstein_exact_sample": Metric(
        "exact distance of the held-out samples by linear programming; the estimate is at most it",
        "input units",
        None,
    ),
    "tightness": Metric("wasserstein_estimate / wasserstein_exact", "1", "higher"),
    "gradient_cosine": Metric(
        "mean cosine between the critic's gradient and that of every optimal critic",
        "1",
        "higher",
    ),
    "gradient_error": Metric(
        "mean squared distance between the normalized critic's gradient and that of every optimal "
        "critic",
        "1",
        "lower",
    ),
    "lipschitz_upper_bound": Metric(
        "proven Lipschitz constant of the network", "output per input unit", None
    ),
    "orthonormality_error": Metric(
        "largest |σ − 1|, σ being singular values of dense layers made orthonormal", "1", "lower"
    ),
    "train_seconds": Metric("wall time of the training loop", "s", "lower"),
    "steps_per_second": Metric("training steps per second", "1/s", "higher"),
    "peak_memory": Metric(
        "most memory at any moment: of the process on a CPU, of what torch allocated on a GPU; of "
        "all trials that were trained together",
        "GiB",
        "lower",
    ),
}

FAITHFUL = {
    "test_dual": Metric(
        "dual value on held-out samples, divided by no Lipschitz constant: what the original "
        "reports",
        "output units",
        "higher",
    )
}
"""What the critic of a faithful experiment reports in place of what is proven."""

_CERTIFIED = Metric(
    "share of test images that are classified correctly whatever perturbation of at most that "
    "size, in the norm of `certificate`, is added",
    "1",
    "higher",
)
CLASSIFICATION = {
    "clean_accuracy": Metric("share of test images that are classified correctly", "1", "higher"),
    "test_loss": Metric("loss on test images", "loss", "lower"),
    "median_certified_radius": Metric(
        "half of the test images are certified up to it", "pixels", "higher"
    ),
    "mean_margin": Metric(
        "mean over test images of the true logit minus the largest other one", "logits", "higher"
    ),
    "lipschitz_upper_bound": Metric(
        "proven Lipschitz constant of the network", "output per input unit", None
    ),
    "empirical_lipschitz": Metric(
        "steepest slope found between test images and what is near them: a lower bound, which "
        "certifies nothing",
        "output per input unit",
        None,
    ),
    "dead_units": Metric(
        "share of hidden units that no test image makes positive, the mean over layers",
        "1",
        "lower",
    ),
    "orthonormality_error": WASSERSTEIN["orthonormality_error"],
    "train_seconds": WASSERSTEIN["train_seconds"],
    "steps_per_second": WASSERSTEIN["steps_per_second"],
    "peak_memory": WASSERSTEIN["peak_memory"],
    "images_per_second": Metric(
        "test images per second that the network, exported as ordinary layers, classifies",
        "1/s",
        "higher",
    ),
}
VALIDATION = {
    "validation_loss": Metric("loss on validation images, of the weights kept", "loss", "lower"),
    "validation_accuracy": Metric(
        "share of validation images that are classified correctly, by the weights kept",
        "1",
        "higher",
    ),
    "validation_certified_accuracy": Metric(
        "share of validation images certified at the smallest epsilon, by the weights kept",
        "1",
        "higher",
    ),
    "validation_adversarial_accuracy": Metric(
        "share of validation images that are classified correctly, and stay so when they are "
        "attacked as training images are, by the weights kept",
        "1",
        "higher",
    ),
    "epoch": Metric("after which the weights kept were", "epochs", None),
}
CERTIFIED = "certified_accuracy@"
"""What a metric begins with that is the certified accuracy at an epsilon."""
ADVERSARIAL = "adversarial_accuracy@"
"""What a metric begins with that is the accuracy under all attacks at an epsilon."""
_ADVERSARIAL = Metric(
    "share of test images that are classified correctly, and stay so whatever attack is tried with "
    "perturbations of at most that size",
    "1",
    "higher",
)
ATTACK_SECONDS = {"attack_seconds": Metric("wall time of all attacks", "s", "lower")}
AT_EPSILON = {
    "accuracy": Metric(
        "share of test images that are classified correctly, and stay so under this attack with "
        "perturbations of at most that size",
        "1",
        "higher",
    ),
    "success_rate": Metric(
        "share of the correctly classified test images that this attack turns", "1", "lower"
    ),
    "defense_rate": Metric(
        "share of the correctly classified test images that this attack does not turn",
        "1",
        "higher",
    ),
}
"""What is known of an attack at an epsilon: `pgd_accuracy@0.1`."""
OF_ATTACK = {
    "lower_quartile_distance": Metric(
        "a quarter of the perturbations that succeed are no larger", "pixels", "higher"
    ),
    "median_distance": Metric(
        "half of the perturbations that succeed are no larger", "pixels", "higher"
    ),
    "upper_quartile_distance": Metric(
        "three quarters of the perturbations that succeed are no larger", "pixels", "higher"
    ),
    "queries": Metric("images classified per image attacked", "images", "lower"),
    "seconds": Metric("wall time of the attack", "s", "lower"),
    "failures": Metric(
        "images at an epsilon where the attack has returned what is no attack: no numbers, or a "
        "perturbation that is too large; its figures there are left out",
        "images",
        "lower",
    ),
}
"""What is known of an attack: `pgd_queries`."""


QUALITY = {
    "quality_wasserstein_estimate": Metric(
        "distance of the generator from held-out images that the critic of `quality` finds: its "
        "dual value, divided by its Lipschitz constant",
        "pixels",
        "lower",
    ),
    "quality_wasserstein_lower_bound": Metric(
        "the estimate minus its one-sided confidence width: the generator is at least so far from "
        "the data, with probability 0.95",
        "pixels",
        "lower",
    ),
    "quality_wasserstein_exact": Metric(
        "exact distance of generated and held-out images, by linear programming", "pixels", "lower"
    ),
    "quality_tightness": Metric(
        "quality_wasserstein_estimate / quality_wasserstein_exact", "1", "higher"
    ),
    "quality_lipschitz_upper_bound": Metric(
        "proven Lipschitz constant of the critic of `quality`", "output per input unit", None
    ),
    "quality_train_seconds": Metric("wall time of training the critic of `quality`", "s", "lower"),
}
"""What begins with `quality_` is what a Wasserstein trial calls the rest."""
FEATURES = {
    "kernel_distance": Metric(
        "squared maximum mean discrepancy of the classifier's features of generated and held-out "
        "images, unbiased, for a cubic kernel",
        "1",
        "lower",
    ),
    "frechet_distance": Metric(
        "Fréchet distance of normal distributions fitted to these features", "1", "lower"
    ),
}
GAN = {
    "train_seconds": WASSERSTEIN["train_seconds"],
    "seconds_per_epoch": Metric("wall time of the training loop per epoch", "s", "lower"),
    "steps_per_second": WASSERSTEIN["steps_per_second"],
    "peak_memory": WASSERSTEIN["peak_memory"],
}

DERIVED = {"seconds_per_step": Metric("training seconds per step", "s", "lower")}
"""Metrics that tables and queries compute from others."""
KNOWN = (
    WASSERSTEIN
    | FAITHFUL
    | CLASSIFICATION
    | VALIDATION
    | ATTACK_SECONDS
    | QUALITY
    | FEATURES
    | GAN
    | DERIVED
)
"""Metrics of all tasks that have one name."""
_PROVEN = (
    "wasserstein_estimate",
    "wasserstein_lower_bound",
    "tightness",
    "gradient_error",
    "lipschitz_upper_bound",
    "median_certified_radius",
)


def certified_metrics(epsilons: Sequence[str]) -> dict[str, Metric]:
    """Certified accuracies.

    Args:
        epsilons: Sizes of perturbations, as they are written in the spec.
    """
    return {f"{CERTIFIED}{epsilon}": _CERTIFIED for epsilon in epsilons}


def attack_metrics(evaluation: EvaluationSpec) -> dict[str, Metric]:
    """What attacks report."""
    epsilons = [str(epsilon) for epsilon in evaluation.epsilons]
    known = {f"{ADVERSARIAL}{epsilon}": _ADVERSARIAL for epsilon in epsilons} | ATTACK_SECONDS
    for attack in evaluation.attacks:
        for name, metric in AT_EPSILON.items():
            known |= {f"{attack.type}_{name}@{epsilon}": metric for epsilon in epsilons}
        known |= {f"{attack.type}_{name}": metric for name, metric in OF_ATTACK.items()}
    return known


def unproven(metrics: Mapping[str, _T]) -> dict[str, _T]:
    """Those that rest on no proven Lipschitz constant."""
    return {
        name: value
        for name, value in metrics.items()
        if name not in _PROVEN and not name.startswith(CERTIFIED)
    }


def find_metric(name: str) -> Metric | None:
    """What is known of a metric of any task."""
    for prefix, metric in ((CERTIFIED, _CERTIFIED), (ADVERSARIAL, _ADVERSARIAL)):
        if name.startswith(prefix):
            return metric
    for attack in ATTACK_TYPES:
        of_attack = name.removeprefix(f"{attack}_")
        if of_attack != name:
            kind, at, _ = of_attack.partition("@")
            return AT_EPSILON.get(kind) if at else OF_ATTACK.get(kind)
    return KNOWN.get(name)
