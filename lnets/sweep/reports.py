"""Reports on sweeps: everything that a store says of one, on a page."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lnets.errors import SpecError, writing
from lnets.results.files import write_atomically
from lnets.results.formats import html_table
from lnets.results.groups import Group, best_first, configurations
from lnets.results.kinds import Kind, ready_made, values_of
from lnets.results.live import heartbeats
from lnets.results.query import connect
from lnets.results.records import SweepTrials, last_exception
from lnets.results.rendering import count_text, footer, format_interval, value_text
from lnets.results.report import Failure, Report, to_html
from lnets.results.report.answer import answer
from lnets.results.report.images import trial_images
from lnets.results.report.sections import Objectives, sections
from lnets.results.selected import Selected
from lnets.results.store import Store
from lnets.results.tables import Source, Table, make_table, trials_that_count
from lnets.specs.search import ObjectiveSpec
from lnets.specs.spec import many
from lnets.specs.sweep import TableSpec
from lnets.sweep.answers import layout_of, objectives_of
from lnets.sweep.history import duration
from lnets.sweep.importances import importances
from lnets.sweep.overview import find_submission, when

_KINDS: tuple[Kind, ...] = ("wasserstein", "robustness", "pareto", "speed")
_MOST_TRIALS = 5000
_MOST_FAILURES = 200
_LOOK_SECONDS = 2.0
_RELOAD_SECONDS = 10


def write_report(store: Store, named: str, file: Path | None) -> Path:
    """Write the page of a sweep.

    Args:
        store: Where its results are.
        named: Its name, id or file.
        file: Where to; None: `<name>.html`, here.

    Returns:
        The file.

    Raises:
        NotFoundError: If the store has no such sweep.
        SpecError: If the file cannot be written, or is no `*.html`.
    """
    return _write(store, named, file, None)


def watch_report(store: Store, named: str, file: Path | None) -> Iterator[Path]:
    """Write the page of a sweep whenever there are new results, while a driver is at work on it.

    An open page reads its file again every ten seconds, until `write_report` has written it.

    Args:
        store: Where its results are.
        named: Its name, id or file.
        file: Where to; None: `<name>.html`, here.

    Yields:
        The file, each time that it has been written.

    Raises:
        NotFoundError: If the store has no such sweep.
        SpecError: If the file cannot be written, or is no `*.html`.
    """
    sweep_id = find_submission(store, named)["sweep_id"]
    written = None
    while any(live.sweep_id == sweep_id for live in heartbeats(store.root)):
        version = store.version("trials")
        if version != written:
            yield _write(store, named, file, _RELOAD_SECONDS)
            written = version
        time.sleep(_LOOK_SECONDS)


def report_of(store: Store, row: dict[str, Any]) -> Report:
    """What the page of a submission says.

    Args:
        store: Where its results are.
        row: Of the table `sweeps`.
    """
    sweep, spec = SweepTrials.of(row), json.loads(row["spec"])
    selected = Selected.of(connect(store), [sweep])
    asked = objectives_of(spec)
    objectives: Objectives = [(one.metric, 1 if one.maximize else -1) for one in asked]
    layout = _with_objectives(layout_of(selected, [spec]), asked)
    tables = _tables(selected, layout, asked)
    every = configurations(selected, list(spec["search"]), (*layout.rows, *layout.columns))
    if objectives:
        every = best_first(every, *objectives[0])
    groups = _fitting(every)
    metrics = _metrics(groups, layout)
    explained = importances(every, objectives[0][0]) if objectives else {}
    images, images_left_out = trial_images(store, groups)
    failures = list(_failures(every))
    [counts] = selected.counts()
    host = next(
        (live.host for live in heartbeats(store.root) if live.sweep_id == row["sweep_id"]), None
    )
    return Report(
        name=sweep.name,
        sweep_id=sweep.sweep_id,
        question=spec.get("description", ""),
        state=f"{count_text(counts)}; submitted {when(row)}; "
        + ("not running." if host is None else f"running now on {host}."),
        answer=answer(tables["sweep"], running=host is not None),
        notes=list(_notes(groups, every, objectives, tables["sweep"])),
        tables=[_table_html(table, sweep.name, kind) for kind, table in tables.items()],
        sections=sections(selected.database, groups, metrics, objectives, explained),
        images=images,
        images_left_out=images_left_out,
        groups=groups,
        metrics=metrics,
        failures=failures[:_MOST_FAILURES],
        failures_left_out=max(0, len(failures) - _MOST_FAILURES),
        skipped=[(value_text(s["configuration"]), s["reason"]) for s in json.loads(row["skipped"])],
        cost=list(_cost(every)),
        spec=yaml.safe_dump(spec, sort_keys=False, allow_unicode=True),
        environment=list(_environment(store, row, every, selected.database.version)),
    )


def _write(store: Store, named: str, file: Path | None, reload: int | None) -> Path:
    row = find_submission(store, named)  # anew each time: a search asks for more trials as it goes
    file = file or Path(f"{row['name']}.html")
    if file.suffix not in (".html", ".htm"):
        raise SpecError(f"{file}: must end in .html; rename it.")
    page = to_html(report_of(store, row), reload_seconds=reload)
    with writing(file):
        write_atomically(file, page)
    return file


def _with_objectives(layout: TableSpec, objectives: Sequence[ObjectiveSpec]) -> TableSpec:
    values = [*layout.values, *(one.metric for one in objectives)]
    return layout.model_copy(update={"values": tuple(dict.fromkeys(values))})


def _tables(
    selected: Selected, layout: TableSpec, objectives: Sequence[ObjectiveSpec]
) -> dict[str, Table]:
    """The sweep's own, and the ready-made ones of which its trials have metrics."""

    def make(asked: TableSpec) -> Table:
        return make_table(selected, asked, objectives=objectives)

    metrics = selected.metrics()
    tables = {"sweep": make(layout)}
    for kind in _KINDS:
        if values_of(kind, metrics, objectives):
            tables[kind] = ready_made(kind, layout, metrics, objectives, make)
    return tables


def _table_html(table: Table, name: str, kind: str) -> str:
    own = kind == "sweep"
    command = f"lnets-sweep table {name}" + ("" if own else f" --kind {kind}")
    title = name if own else f"{name}: {kind}"
    if not own:  # what is below the first table holds for all
        table = replace(table, winners=(), sweeps=(), source=Source((), (), None))
    return html_table(table, title, footer(table, command))


def _fitting(groups: Sequence[Group]) -> list[Group]:
    """The first configurations, whose trials a page can show."""
    shown: list[Group] = []
    trials = 0
    for group in groups:
        trials += len(group.trials)
        if trials > _MOST_TRIALS:
            break
        shown.append(group)
    return shown


def _metrics(groups: Sequence[Group], layout: TableSpec) -> list[str]:
    measured = {name for group in groups for trial in group.completed for name in trial.metrics}
    names = dict.fromkeys([*layout.values, "tightness", "train_seconds"])
    return [name for name in names if name in measured]


def _notes(
    groups: Sequence[Group], every: Sequence[Group], objectives: Objectives, table: Table
) -> Iterator[str]:
    if table.averaged and objectives and every:
        metric = objectives[0][0]
        best = every[0].interval(metric)
        if best is not None:
            yield (
                f"The best single configuration is {every[0].label}, with {metric} "
                f"{format_interval(best)} over {many(best.n, 'seed')}."
            )
    if len(groups) < len(every):
        yield (
            f"Figures and trials below are of the {len(groups)} best of {len(every)} "
            f"configurations; {_MOST_TRIALS:,} trials fit on a page. Tables are of all."
        )


def _failures(groups: Sequence[Group]) -> Iterator[Failure]:
    for group in groups:
        for trial in group.trials:
            if trial.status in ("diverged", "failed", "blocked"):
                error = trial.error or ""
                reason = last_exception(error) or "its loss was not finite"
                details = error if error.strip() != reason else ""
                yield Failure(
                    trial.trial_key, trial.seed, group.label, trial.status, reason, details
                )


def _cost(groups: Sequence[Group]) -> Iterator[tuple[str, str]]:
    trials = [trial for group in groups for trial in group.trials]
    seconds = [trial.train_seconds for trial in trials if trial.train_seconds is not None]
    if seconds:
        yield "training, all trials", duration(sum(seconds))
        yield "longest trial", duration(max(seconds))
    if trials:
        first, last = (end(trial.started_at for trial in trials) for end in (min, max))
        yield "first trial started", f"{first:%Y-%m-%d %H:%M:%S} UTC"
        yield "last trial started", f"{last:%Y-%m-%d %H:%M:%S} UTC"
    memory = [t.metrics["peak_memory"] for t in trials if "peak_memory" in t.metrics]
    if memory:
        yield "most memory", f"{max(memory):.3g} GiB"
    yield "devices", ", ".join(sorted({trial.device for trial in trials})) or "none yet"


def _environment(
    store: Store, row: dict[str, Any], groups: Sequence[Group], version: int | None
) -> Iterator[tuple[str, str]]:
    yield "submitted", f"{when(row)} on {row['host']}"
    yield "commit of the submission", row["commit"] or "unknown"
    commits = {trial.commit or "unknown" for group in groups for trial in group.trials}
    yield "commits of the trials", ", ".join(sorted(commits)) or "none yet"
    yield "version of the store’s trials", "none yet" if version is None else str(version)
    yield from json.loads(row["versions"]).items()
    needs = SweepTrials.of(row).needs
    known = trials_that_count(store, list(needs.values()))
    for name, key in needs.items():
        status = known[key]["status"] if key in known else "missing"
        yield f"needs {name}", f"trial {key}, {status}"
