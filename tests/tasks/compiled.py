"""Train compiled networks beside others, one and two at once; prints pairs of their metrics."""

import json
import sys

from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks.run import run_trials


def _metrics(experiment: WassersteinSpec, count: int, *, compiled: bool) -> list[dict[str, float]]:
    outcomes = run_trials(
        [experiment] * count,
        list(range(count)),
        device="cpu",
        threads=1,
        report=lambda trial, step, metrics: None,
        compiled=compiled,
    )
    timed = ("train_seconds", "steps_per_second", "peak_memory")
    return [{k: v for k, v in o.metrics.items() if k not in timed} for o in outcomes]


if __name__ == "__main__":
    given = WassersteinSpec.model_validate_json(sys.argv[1])
    pairs = [
        pair
        for count in (1, 2)
        for pair in zip(
            _metrics(given, count, compiled=True),
            _metrics(given, count, compiled=False),
            strict=True,
        )
    ]
    sys.stdout.write(json.dumps(pairs) + "\n")
