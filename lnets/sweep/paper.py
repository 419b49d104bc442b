"""Figures for papers, from the trials of a sweep."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, assert_never

from matplotlib.figure import Figure

from lnets.errors import NotFoundError, SpecError
from lnets.results.groups import Group, best_first, configurations, merged
from lnets.results.landscape_plots import last_landscapes
from lnets.results.paper_plots import (
    check_format,
    heatmap_figure,
    importance_figure,
    lines_figure,
    save_for_paper,
)
from lnets.results.plots import trials_to_draw
from lnets.results.query import connect
from lnets.results.rendering import Grid
from lnets.results.selected import Selected
from lnets.results.series import accuracy_by_epsilon, learning_curves, norm_of
from lnets.results.store import Store
from lnets.results.tables import make_table
from lnets.specs.figures import LANDSCAPES
from lnets.specs.spec import nearest
from lnets.specs.sweep import TableSpec
from lnets.sweep.answers import keys_where, layout_of, objectives_of
from lnets.sweep.figures import keys_of
from lnets.sweep.importances import LEAST_CONFIGURATIONS, importances
from lnets.sweep.overview import find_sweep

PlotKind = Literal["curves", "accuracy-epsilon", "landscape", "importance", "heatmap"]
_MOST_PANELS = 3
_OPTIONS: dict[PlotKind, tuple[str, ...]] = {
    "curves": ("rows", "values"),
    "accuracy-epsilon": ("rows",),
    "landscape": (),
    "importance": ("values",),
    "heatmap": ("rows", "columns", "values"),
}


def plot(
    store: Store,
    kind: PlotKind,
    named: str,
    out: Path,
    *,
    rows: str | None = None,
    columns: str | None = None,
    values: str | None = None,
    where: str | None = None,
    note: Callable[[str], object] = lambda _: None,
) -> Iterator[Path]:
    """Draw one figure of a sweep.

    Args:
        store: Where its results are.
        kind: Of the figure.
        named: Its name, id or file; of a landscape how a trial's key begins, too.
        out: A PNG or PDF; where there are several pictures, their names are put behind its own.
        rows: Configuration paths, separated by commas, each of whose values is a line, or a row.
        columns: The same for a heatmap's columns.
        values: Metrics, separated by commas: of learning curves, or of trials.
        where: An SQL expression on the columns of `trials`; others are left out.
        note: Is told what a reader of the figure must know.

    Yields:
        The files.

    Raises:
        NotFoundError: If the store has no such sweep, or nothing of it to draw.
        SpecError: If the file is of another kind, a metric, path or column does not exist, or the
            kind of figure has no use for an option.
    """
    check_format(out)
    for name, value in (("rows", rows), ("columns", columns), ("values", values)):
        if value is not None and name not in _OPTIONS[kind]:
            raise SpecError(f"--{name}: means nothing for `{kind}`; leave it out")
    if kind == "landscape":
        views = list(_landscapes(store, named, where))
        for view, figure in views:
            file = out if len(views) == 1 else out.with_stem(f"{out.stem}_{view}")
            yield save_for_paper(figure, file)
        return
    source = _Source(store, named, where, note)
    match kind:
        case "curves":
            figure = _curves(source, rows, values)
        case "accuracy-epsilon":
            figure = _accuracies(source, rows)
        case "importance":
            figure = _importance(source, values)
        case "heatmap":
            figure = _heatmap(source, rows, columns, values)
        case _:
            assert_never(kind)
    yield save_for_paper(figure, out)


class _Source:
    """The completed trials of a sweep."""

    def __init__(
        self,
        store: Store,
        named: str,
        where: str | None,
        note: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._note = note
        sweep, self.spec = find_sweep(store, named)
        database = connect(store)
        if where is not None:
            kept = keys_where(database, where, [sweep])
            keys = tuple(key for key in sweep.trial_keys if key in kept)
            sweep = replace(sweep, trial_keys=keys)
        self.selected = Selected.of(database, [sweep])
        if not self.selected.counts()[0].completed:
            raise NotFoundError(
                f"{store.root}: no trial of `{named}` that is asked for has completed; "
                "`lnets-sweep status` says why"
            )

    def configurations(self) -> list[Group]:
        """Its configurations, the best first."""
        table = self.spec["table"]
        first = [*table["rows"], *table["columns"]]
        groups = configurations(self.selected, list(self.spec["search"]), first)
        for one in objectives_of(self.spec)[:1]:
            groups = best_first(groups, one.metric, 1 if one.maximize else -1)
        return groups

    def groups(self, rows: str | None) -> list[Group]:
        """Its trials by the values at some paths."""
        layout = layout_of(self.selected, [self.spec], rows=rows)
        paths = (*layout.rows, *layout.columns)
        every = self.configurations()
        groups = merged(every, paths)
        over = [
            path for path in every[0].values if len(merged(every, (*paths, path))) > len(groups)
        ]
        if over:
            self._note(f"lines average over {', '.join(over)}")
        return groups

    def metric(self, values: str | None) -> str:
        """The one metric that is asked for, or the objective."""
        if values is not None:
            metrics = layout_of(self.selected, [self.spec], values=values).values
            if len(metrics) > 1:
                raise SpecError(f"--values: must be one metric for this figure, got {values}")
            return metrics[0]
        return next(
            (one.metric for one in objectives_of(self.spec)), self.spec["table"]["values"][0]
        )


def _curves(source: _Source, rows: str | None, values: str | None) -> Figure:
    groups = source.groups(rows)
    curves = learning_curves(source.selected.database, groups)
    names = sorted(curves, key=lambda name: (name.startswith("train"), name))[:_MOST_PANELS]
    if values is not None:
        names = [name.strip() for name in values.split(",")]
        for name in names:
            if name not in curves:
                raise SpecError(
                    f"--values: no learning curve has a metric `{name}`; {nearest(name, curves)}"
                )
    if not names:
        raise NotFoundError("no trial that is asked for has a learning curve")
    panels = {
        name: [(groups[i].label, "", band) for i, band in curves[name].items()] for name in names
    }
    return lines_figure(panels, "step")


def _accuracies(source: _Source, rows: str | None) -> Figure:
    groups = source.groups(rows)
    lines = [(g.label, kind, band) for g in groups for kind, band in accuracy_by_epsilon(g).items()]
    if not lines:
        raise NotFoundError(
            "no trial that is asked for has an accuracy at an epsilon, as classifiers have "
            "that are certified or attacked (`certificate`, `evaluation`)"
        )
    norms = set(map(norm_of, groups)) - {""}
    along = f"ε ({norms.pop()})" if len(norms) == 1 else "ε"
    return lines_figure({"accuracy": lines}, along)


def _importance(source: _Source, values: str | None) -> Figure:
    metric = source.metric(values)
    explained = importances(source.configurations(), metric)
    if not explained:
        raise NotFoundError(
            f"importances need {LEAST_CONFIGURATIONS} configurations or more that have {metric}, "
            "in which two fields or more differ"
        )
    return importance_figure(metric, explained)


def _heatmap(source: _Source, rows: str | None, columns: str | None, values: str | None) -> Figure:
    layout = layout_of(source.selected, [source.spec], rows=rows, columns=columns)
    if not layout.columns:
        layout = TableSpec(
            rows=layout.rows[:-1] or layout.rows, columns=layout.rows[-1:], values=layout.values
        )
    if layout.rows == layout.columns:
        raise SpecError("a heatmap needs rows and columns; name paths with --rows and --columns")
    metric = source.metric(values)
    asked = layout.model_copy(update={"values": (metric,)})
    grid = Grid.of(make_table(source.selected, asked, objectives=objectives_of(source.spec)))
    return heatmap_figure(
        [cells for _, cells in grid.body],
        [", ".join(names) for names, _ in grid.body],
        [", ".join(column.place.values()) for column in grid.columns],
        titles=(",\n".join(layout.rows), ", ".join(layout.columns), metric),
    )


def _landscapes(store: Store, named: str, where: str | None) -> Iterator[tuple[str, Figure]]:
    """All views of a trial's critic, or of that of the best configuration that has any."""
    for key, config in _candidates(store, named, where):
        folder = store.artifacts(key) / LANDSCAPES
        if folder.is_dir():
            yield from last_landscapes(folder, config)
            return
    raise NotFoundError(
        f"{store.root}: no trial of `{named}` has left a landscape; ask for `landscape` in the "
        "experiment"
    )


def _candidates(store: Store, named: str, where: str | None) -> Iterator[tuple[str, Any]]:
    keys = keys_of(store, named)
    if len(keys) == 1:
        yield from ((one.trial_key, one.config) for one in trials_to_draw(store, keys))
        return
    for group in _Source(store, named, where).configurations():
        yield from ((trial.trial_key, group.config) for trial in group.completed)
