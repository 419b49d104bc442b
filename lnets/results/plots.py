"""Pictures of trials: what their tasks have left for figures, and their learning curves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lnets.results.curve_plots import draw_learning_curves, draw_singular_values
from lnets.results.landscape_plots import draw_landscapes
from lnets.results.records import FINISHED, KEY_DIGITS, CurvePoint, TrialRecord
from lnets.results.robustness_plots import draw_robustness
from lnets.results.store import Store
from lnets.results.tables import trials_that_count
from lnets.specs.figures import LANDSCAPES, SINGULAR_VALUES


@dataclass(frozen=True)
class DrawnTrial:
    """What pictures of a trial say of it."""

    trial_key: str
    seed: int
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    curve: Sequence[CurvePoint]

    @classmethod
    def of(cls, record: TrialRecord) -> "DrawnTrial":
        """A trial that has just ended."""
        config = json.loads(record.config)
        return cls(record.trial_key, record.seed, config, record.metrics, record.curve)

    @property
    def label(self) -> str:
        """What it trained, or attacked, in a line."""
        model = self.config.get("model") or {}
        parts = [self.config["task"], model.get("type"), _activation(model)]
        parts += [model[part]["type"] for part in ("linear", "conv") if model.get(part)]
        parts.append(self.config.get("classifier", "")[:KEY_DIGITS])
        return ", ".join([*filter(None, parts), f"seed {self.seed}"])


def trials_to_draw(store: Store, keys: Sequence[str]) -> list[DrawnTrial]:
    """Those of some trials that have finished, as the store has them."""
    found = trials_that_count(store, keys)
    curves: dict[str, list[CurvePoint]] = {key: [] for key in found}
    table = store.table("curves")
    for row in table.filter(
        pc.is_in(table["trial_key"], pa.array(list(found), pa.string()))
    ).to_pylist():
        curves[row.pop("trial_key")].append(CurvePoint(**row))
    return [
        DrawnTrial(key, row["seed"], row["config"], row["metrics"], curves[key])
        for key, row in found.items()
        if row["status"] in FINISHED
    ]


def draw_trial(trial: DrawnTrial, folder: Path, out: Path) -> list[Path]:
    """Draw everything that there is of a trial.

    Args:
        trial: The trial.
        folder: Where its task has left data.
        out: Where pictures go.

    Returns:
        The files.
    """
    estimate = trial.metrics.get("wasserstein_estimate")
    return [
        *draw_landscapes(folder / LANDSCAPES, trial.config, trial.label, estimate, out),
        *draw_singular_values(folder / SINGULAR_VALUES, trial.label, out),
        *draw_robustness(folder, trial.label, out),
        *draw_learning_curves(trial.curve, trial.label, out),
    ]


def _activation(model: Mapping[str, Any]) -> str | None:
    activation = model.get("activation")
    if activation in ("group_sort", "maxout"):
        return f"{activation}({model['groupings']})"
    return activation
