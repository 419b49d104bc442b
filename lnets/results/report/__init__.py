"""A sweep as one HTML page, which needs nothing beside itself."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from lnets.results.groups import Group
from lnets.results.rendering import short_text
from lnets.results.report.images import Image
from lnets.results.report.picture import Picture, numbers


@dataclass(frozen=True)
class Section:
    """Figures about one thing."""

    name: str
    """Identifies it within the page."""
    title: str
    pictures: Sequence[Picture]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Failure:
    """A trial without a result."""

    trial_key: str
    seed: int
    configuration: str
    status: str
    reason: str
    details: str
    """The whole traceback, if there is one."""


@dataclass(frozen=True)
class Report:
    """What the page says, as texts."""

    name: str
    sweep_id: str
    question: str
    state: str
    answer: str
    """In one sentence."""
    notes: Sequence[str]
    """What else a reader must know."""
    tables: Sequence[str]
    """As HTML, in which names are escaped."""
    sections: Sequence[Section]
    images: Sequence[Image]
    images_left_out: int
    groups: Sequence[Group]
    """The configurations, whose trials are listed."""
    metrics: Sequence[str]
    """Of each trial in the list."""
    failures: Sequence[Failure]
    failures_left_out: int
    skipped: Sequence[tuple[str, str]]
    """Configurations that cannot be built, and why."""
    cost: Sequence[tuple[str, str]]
    spec: str
    environment: Sequence[tuple[str, str]]


def to_html(report: Report, *, reload_seconds: int | None = None) -> str:
    """The page.

    Args:
        report: What it says.
        reload_seconds: After which an open page reads its file again; None: never.
    """
    from plotly.offline import get_plotlyjs

    style, script = (_text(name) for name in ("page.css", "page.js"))
    plotly = get_plotlyjs()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(plotly)} {_digest(script)}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
        ]
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_text("page.html")).render(
        report=report,
        sections=_contents(report),
        reload_seconds=reload_seconds,
        policy=policy,
        style=style,
        script=script,
        plotly=plotly,
        data=_data(report, reload_seconds),
    )


def _contents(report: Report) -> list[tuple[str, str]]:
    pictures = [("pictures", "Pictures")] if report.images else []
    return [
        ("answer", "Answer"),
        ("tables", "Tables"),
        *((section.name, section.title) for section in report.sections),
        *pictures,
        ("failures", "Failures"),
        ("cost", "Cost"),
        ("trials", "Trials"),
        ("specification", "Specification"),
        ("environment", "Environment"),
    ]


def _data(report: Report, reload_seconds: int | None) -> str:
    """What the script reads; no `<` in it ends the element that it is in."""
    figures = {
        picture.name: {"traces": picture.traces, "layout": picture.layout}
        for section in report.sections
        for picture in section.pictures
    }
    paths = list(report.groups[0].values) if report.groups else []
    data: dict[str, Any] = {
        "sweep": report.sweep_id,
        "reload": reload_seconds,
        "paths": paths,
        "metrics": report.metrics,
        "configurations": [
            [group.label, [short_text(group.values[path]) for path in paths]]
            for group in report.groups
        ],
        "trials": [
            [
                trial.trial_key,
                i,
                trial.seed,
                trial.status,
                numbers(trial.metrics.get(name) for name in report.metrics),
            ]
            for i, group in enumerate(report.groups)
            for trial in group.trials
        ],
        "figures": figures,
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """A script as a content security policy names it, so that no other one runs."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
