"""Singular values of the layers of networks in training."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from lnets.nn import singular_values
from lnets.specs.figures import SINGULAR_VALUES, SingularValuesSpec
from lnets.tasks.files import save_arrays
from lnets.tasks.outcome import Report


class SingularValues:
    """Records singular values: all of them in a trial's folder, three of each layer in its curve.

    The file has `step`, and for each layer an array of a row per step, the largest value first.
    A trial that goes on after it was cut off keeps the rows of the steps before.

    Args:
        spec: When; None never.
        last: The last step that is planned.
        folders: Of each trial; empty keeps the curves only.
        report: Receives `min_singular_value@<layer>`, `mean_…` and `max_…`.
    """

    def __init__(
        self, spec: SingularValuesSpec | None, last: int, folders: Sequence[Path], report: Report
    ) -> None:
        self._spec, self._last, self._folders, self._report = spec, last, folders, report
        self._rows: dict[int, dict[str, np.ndarray]] = {}

    def due(self, step: int) -> bool:
        """At every so manieth step from 0 on, and the last one."""
        return self._spec is not None and (step % self._spec.every == 0 or step == self._last)

    def look(self, index: int, step: int, model: nn.Module) -> None:
        """Record them, unless they overflow."""
        found = {name: v.float().cpu().numpy() for name, v in singular_values(model).items()}
        metrics = {
            f"{which}_singular_value@{name}": float(of(values))
            for name, values in found.items()
            for which, of in (("min", np.min), ("mean", np.mean), ("max", np.max))
        }
        if not all(map(math.isfinite, metrics.values())):
            return
        self._report(index, step, metrics)
        if self._folders:
            self._append(index, {"step": np.array(step)} | found)

    def _append(self, index: int, row: dict[str, np.ndarray]) -> None:
        file = self._folders[index] / SINGULAR_VALUES
        before = self._rows.get(index) or _before(file, row)
        self._rows[index] = {name: np.concatenate((before[name], [row[name]])) for name in row}
        save_arrays(file, self._rows[index])


def _before(file: Path, row: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a file has of the steps before this row's; nothing if it is damaged or not there."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            earlier = stored["step"] < row["step"]
            return {name: stored[name][earlier] for name in row}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return {name: np.empty((0, *values.shape), values.dtype) for name, values in row.items()}
