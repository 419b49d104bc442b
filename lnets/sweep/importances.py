"""Which searched fields decide a metric. With the samplers the only module that imports optuna."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lnets.results.groups import Group

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST_CONFIGURATIONS = 8
"""Of which importances say anything."""
_MOST_CONFIGURATIONS = 500  # fANOVA takes seconds for as many
_TREES = 32
_SPREAD = 100.0


def importances(groups: Sequence[Group], metric: str) -> dict[str, float]:
    """The share of the variance of a metric's mean that each field explains, by fANOVA.

    Fields are those that differ between configurations; that a configuration lacks one is a value
    of its own. Empty where fewer than two fields differ, or the metric does not.

    Args:
        groups: Configurations, the best first; of more than 500 some are used, evenly spread.
        metric: Its name.

    Source:
        Hutter, Hoos, Leyton-Brown (2014), proceedings.mlr.press/v32/hutter14; by Optuna.
    """
    measured = [(group, mean) for group in groups if (mean := group.mean(metric)) is not None]
    measured = measured[:: math.ceil(len(measured) / _MOST_CONFIGURATIONS) or 1]
    different = len({mean for _, mean in measured})
    if len(measured) < LEAST_CONFIGURATIONS or different < 2:
        return {}
    paths = [
        path
        for path in measured[0][0].values
        if len({json.dumps(group.values[path]) for group, _ in measured}) > 1
    ]
    if len(paths) < 2:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    distributions = {path: _distribution([g.values[path] for g, _ in measured]) for path in paths}
    for group, mean in measured:
        parameters = {path: _parameter(group.values[path], distributions[path]) for path in paths}
        study.add_trial(
            optuna.trial.create_trial(params=parameters, distributions=distributions, value=mean)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _distribution(values: Sequence[Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return CategoricalDistribution(sorted({json.dumps(value) for value in values}))
    low, high = float(min(values)), float(max(values))
    return FloatDistribution(low, high, log=low > 0 and high > _SPREAD * low)


def _parameter(value: Any, distribution: "BaseDistribution") -> Any:
    from optuna.distributions import FloatDistribution

    return float(value) if isinstance(distribution, FloatDistribution) else json.dumps(value)
