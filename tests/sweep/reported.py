"""A store as large sweeps leave it, without having trained anything."""

import json
import math
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lnets.results.records import CurvePoint, SweepRecord
from lnets.results.store import Store
from lnets.specs.identity import canonical_json, resolved_json
from lnets.specs.sweep import SweepSpec
from lnets.sweep.plan import Plan, make_plan
from tests.results.test_store import record

NASTY = "<script>alert('x')</script> & <b>bold</b> $x$ %{y} </script>"
EPSILONS = ("0.1", "36/255", "1.0")


def plan_of(data: dict[str, Any], **changes: Any) -> Plan:
    """The plan of a sweep as data."""
    return make_plan(SweepSpec.model_validate_json(json.dumps({**data, **changes})))


def fill(
    folder: Path, plan: Plan, *, points: int = 20, ends: dict[int, str] | None = None
) -> Store:
    """A store with invented results of a plan's trials.

    Args:
        folder: Where it will be.
        plan: Whose trials.
        points: Of each learning curve.
        ends: How the trials of some numbers end, where they do not complete.
    """
    store = Store(folder, create=True)
    chance = random.Random(0)
    for i, trial in enumerate(plan.trials):
        lr = trial.experiment.optim.lr
        good = 1 / (1 + abs(math.log10(lr) + 2)) + chance.gauss(0, 0.01)
        metrics = {"wasserstein_estimate": good, "tightness": good, "train_seconds": 10 * good}
        metrics |= {f"certified_accuracy@{e}": good / (2 + j) for j, e in enumerate(EPSILONS)}
        metrics |= {"clean_accuracy": good, "peak_memory": 0.25, "lipschitz_upper_bound": 1.0}
        curve = [
            CurvePoint(step=10 * k, seconds=float(k), metric=name, value=good * k / points)
            for k in range(1, points + 1)
            for name in ("train_dual", "max_singular_value@0")
        ]
        status = (ends or {}).get(i, "completed")
        error = None if status in ("completed", "diverged") else f"ValueError: {NASTY}"
        store.put(
            record(
                trial.trial_key,
                config_key=trial.config_key,
                sweep_id=plan.sweep_id,
                name=trial.name,
                seed=trial.seed,
                config=canonical_json(trial.experiment),
                status=status,
                error=error,
                metrics=metrics if status == "completed" else {},
                curve=tuple(curve) if status == "completed" else (),
            )
        )
    store.commit()
    store.add_sweep(
        SweepRecord(
            sweep_id=plan.sweep_id,
            name=plan.sweep.name,
            spec=resolved_json(plan.sweep, plan.needs),
            trial_keys=tuple(trial.trial_key for trial in plan.trials),
            skipped=json.dumps([{"configuration": {"optim.lr": NASTY}, "reason": NASTY}]),
            submitted_at=datetime.now(UTC),
            commit=None,
            versions=json.dumps({"python": "3.11", "torch": NASTY}),
            host="host",
        )
    )
    return store
