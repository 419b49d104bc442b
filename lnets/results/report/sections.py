"""The figures of a report: which there are, follows from what the trials have measured."""

from collections.abc import Iterator, Mapping, Sequence

from lnets.results.groups import Group
from lnets.results.query import Database
from lnets.results.report import Section
from lnets.results.report.lines import MOST_LINES, lines_picture
from lnets.results.report.parallel import parallel_picture
from lnets.results.report.picture import Picture, unit
from lnets.results.report.searched import importance_picture, pareto_picture
from lnets.results.report.values import metric_picture
from lnets.results.series import accuracy_by_epsilon, learning_curves, norm_of
from lnets.results.tables import Sign
from lnets.specs.spec import many

_MOST_CURVES = 8
_COST: tuple[str, Sign] = ("train_seconds", -1)
Objectives = Sequence[tuple[str, Sign]]


def sections(
    database: Database,
    groups: Sequence[Group],
    metrics: Sequence[str],
    objectives: Objectives,
    importances: Mapping[str, float],
) -> list[Section]:
    """Every section that has a figure.

    Args:
        database: With a selection of the trials.
        groups: Configurations, the best first.
        metrics: Those that every trial is shown with.
        objectives: Metrics with 1 where large is better and −1 where small is; may be empty.
        importances: Of fields for the first objective; may be empty.
    """
    every = [
        Section("values", "Values", list(_values(groups, metrics))),
        Section("accuracy", "Accuracy by perturbation", list(_accuracies(groups))),
        _curves(database, groups),
        Section("trade-offs", "Trade-offs", list(_trade_offs(groups, objectives))),
        Section("search", "What was searched", list(_search(groups, objectives, importances))),
    ]
    return [section for section in every if section.pictures]


def _values(groups: Sequence[Group], metrics: Sequence[str]) -> Iterator[Picture]:
    for metric in metrics:
        if "_accuracy@" not in metric and any(group.by_seed(metric) for group in groups):
            yield metric_picture(metric, groups)


def _accuracies(groups: Sequence[Group]) -> Iterator[Picture]:
    shown = range(min(len(groups), MOST_LINES))
    norms: dict[str, list[int]] = {}
    for i in shown:
        norms.setdefault(norm_of(groups[i]), []).append(i)
    for norm, of_norm in norms.items():
        lines = [
            (i, kind, b) for i in of_norm for kind, b in accuracy_by_epsilon(groups[i]).items()
        ]
        if lines:
            title = f"accuracy by ε{f' in {norm}' if norm else ''}"
            kinds = ", ".join(dict.fromkeys(kind for _, kind, _ in lines))
            yield lines_picture(
                f"accuracy-{norm or 'unnamed'}",
                title,
                lines,
                groups,
                ("ε", "accuracy"),
                f"Accuracy ({kinds}) against the size of perturbations, clean at 0, of "
                f"{many(len(of_norm), 'configuration')}; bands are 95% intervals over seeds.",
            )


def _curves(database: Database, groups: Sequence[Group]) -> Section:
    shown = groups[:MOST_LINES]
    curves = learning_curves(database, shown)
    # Validation and test say more than losses of training where not all are shown.
    names = sorted(curves, key=lambda name: (name.startswith("train"), name))
    pictures = [
        lines_picture(
            f"curve-{name}",
            name,
            [(i, "", band) for i, band in curves[name].items()],
            groups,
            ("step", unit(name)),
            f"{name} over training of {many(len(curves[name]), 'configuration')}; lines are means, "
            "bands 95% intervals (Student’s t) over seeds.",
        )
        for name in names[:_MOST_CURVES]
    ]
    notes = []
    if len(groups) > len(shown):
        notes.append(f"Of {len(groups)} configurations the {len(shown)} best are drawn.")
    if len(names) > _MOST_CURVES:
        notes.append(f"Not drawn: {', '.join(names[_MOST_CURVES:])}.")
    return Section("curves", "Learning curves", pictures, notes)


def _trade_offs(groups: Sequence[Group], objectives: Objectives) -> Iterator[Picture]:
    axes = [*objectives[:2], _COST]
    if objectives and axes[0][0] != axes[1][0]:
        picture = pareto_picture(groups, axes[:2])
        if picture is not None:
            yield picture


def _search(
    groups: Sequence[Group], objectives: Objectives, importances: Mapping[str, float]
) -> Iterator[Picture]:
    if importances:
        yield importance_picture(objectives[0][0], importances)
    if objectives:
        metrics = [metric for metric, _ in objectives]
        picture = parallel_picture(groups, metrics, objectives[0][1])
        if picture is not None:
            yield picture
