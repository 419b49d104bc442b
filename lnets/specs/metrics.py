"""Every metric that a task reports: its name, its unit, which way is better."""

from typing import Literal, NamedTuple


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
        "exact distance: of the distributions where a formula is known, else of the held-out "
        "samples by linear programming",
        "input units",
        None,
    ),
    "tightness": Metric("wasserstein_estimate / wasserstein_exact", "1", "higher"),
    "lipschitz_upper_bound": Metric(
        "proven Lipschitz constant of the critic", "output per input unit", None
    ),
    "train_seconds": Metric("wall time of the training loop", "s", "lower"),
    "steps_per_second": Metric("training steps per second", "1/s", "higher"),
}
