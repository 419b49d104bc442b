"""A report in a real Chromium."""

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.sweep.reports import write_report
from tests.browser import Page, page
from tests.conftest import TINY
from tests.sweep.reported import NASTY, fill, plan_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SEARCH = {
    "model.activation": ["maxmin", "relu", "group_sort"],
    "optim.lr": {"log_uniform": [1e-4, 1.0]},
    "model.linear.bjorck_iter": {"int": [2, 30]},
}
MOST_BYTES = 15e6
NARROW, WIDE = 390, 1280
Write = Callable[..., Path]


def write(folder: Path, configurations: int, seeds: int, **changes: Any) -> Path:
    """The report of a random search with invented results."""
    objectives = [{"maximize": "tightness"}, {"minimize": "train_seconds"}]
    plan = plan_of(
        copy.deepcopy(TINY),
        **{
            "description": NASTY,
            "search": SEARCH,
            "seeds": seeds,
            "algorithm": {
                "type": "random", "configurations": configurations, "objectives": objectives,
            },
            "table": {"rows": ["model.activation"], "values": ["tightness", "train_seconds"]},
            **changes,
        },
    )  # fmt: skip
    store = fill(folder / "store", plan, points=50, ends={3: "failed", 8: "diverged"})
    return write_report(store, "tiny", folder / "report.html")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("report"), 12, 3)


def quiet(opened: Page, file: Path) -> None:
    """Nothing was written to the console, and nothing but the file was asked for."""
    assert opened.messages == []
    assert {r for r in opened.requests if not r.startswith("data:")} == {file.as_uri()}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_every_section_renders(report: Path, tmp_path: Path, width: int, dark: bool) -> None:
    with page(tmp_path, width=width, dark=dark) as opened:
        opened.open(report)
        quiet(opened, report)
        assert opened.ask("document.documentElement.scrollWidth <= innerWidth")
        empty = "[...document.querySelectorAll('section')].filter(s => !s.offsetHeight).length"
        assert opened.ask(empty) == 0
        plots = "[...document.querySelectorAll('.plot')]"
        undrawn = f"{plots}.filter(p => !p.querySelector('g.trace, g.points'))"
        assert opened.ask(f"{undrawn}.map(p => p.dataset.figure)") == []
        wide = f"{plots}.filter(p => p.scrollWidth > p.clientWidth)"
        assert opened.ask(f"{wide}.map(p => p.dataset.figure)") == []
        # Names of many axes stand side by side only where there is room for them.
        axes = "document.querySelector('[data-figure=parallel]').layout.xaxis.tickangle"
        assert opened.ask(axes) == (0 if width == WIDE else -60)
        ground = opened.ask("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") != dark
        ink = opened.ask("document.querySelector('.plot .xtick text').style.fill")
        assert ink == opened.ask("getComputedStyle(document.body).color")
        assert opened.screenshot().startswith(b"\x89PNG")


def test_text_is_readable_in_both_themes(report: Path, tmp_path: Path) -> None:
    """By the contrast that WCAG asks of text; figures' colours by that of graphics."""
    contrast = """(name, ground) => {
      const style = getComputedStyle(document.documentElement);
      const light = (variable) => {
        const parts = style.getPropertyValue(variable).trim().match(/[0-9a-f]{2}/g)
          .map((hex) => parseInt(hex, 16) / 255)
          .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
      };
      const [a, b] = [light(name), light(ground)].sort();
      return (b + 0.05) / (a + 0.05);
    }"""
    for dark in (False, True):
        with page(tmp_path / str(dark), width=WIDE, dark=dark) as opened:
            opened.open(report)
            for ground in ("--ground", "--raised"):
                for name in ("--ink", "--quiet", "--link"):
                    assert opened.ask(f"({contrast})('{name}', '{ground}')") >= 4.5
            for i in range(7):
                assert opened.ask(f"({contrast})('--c{i}', '--raised')") >= 2.0, (dark, i)


def test_a_click_filters_and_hover_names_the_trial(report: Path, tmp_path: Path) -> None:
    point = (
        "(() => { const p = document.querySelector('[data-figure=metric-tightness] .points path');"
        "p.scrollIntoView({block: 'center'}); const b = p.getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    rows = "document.querySelectorAll('#trial-list tbody tr').length"
    with page(tmp_path) as opened:
        opened.open(report)
        assert opened.ask(rows) == 36
        place = opened.ask(point)
        opened.point(*place)
        hover = opened.wait("document.querySelector('.hoverlayer .hovertext')?.textContent")
        keys = [row[0][:12] for row in opened.ask(
            "JSON.parse(document.getElementById('data').textContent).trials")]  # fmt: skip
        assert any(f"trial {key}" in hover for key in keys)
        opened.click(*place)
        opened.wait(f"{rows} === 3")
        assert opened.ask("document.querySelector('#filter output').textContent").startswith("3 of")
        drawn = "document.querySelector('[data-figure=metric-tightness]').data"
        opened.wait("document.documentElement.dataset.ready")
        assert opened.ask(f"{drawn}.reduce((sum, trace) => sum + trace.x.length, 0)") == 4
        opened.open(report)  # as reloading it does
        assert opened.ask(rows) == 3
        opened.ask("document.getElementById('clear').click()")
        opened.wait(f"{rows} === 36")
        quiet(opened, report)


def test_a_line_filters_too(report: Path, tmp_path: Path) -> None:
    emit = (
        "(() => { const plot = document.querySelector('[data-figure=curve-train_dual]');"
        "plot.emit('plotly_click', {points: [{data: plot.data.at(-1), pointNumber: 0}]}); })()"
    )
    rows = "document.querySelectorAll('#trial-list tbody tr').length"
    with page(tmp_path) as opened:
        opened.open(report)
        opened.ask(emit)
        opened.wait(f"{rows} === 3")
        opened.ask(emit)
        opened.wait(f"{rows} === 36")


def test_a_keyboard_filters(report: Path, tmp_path: Path) -> None:
    rows = "document.querySelectorAll('#trial-list tbody tr').length"
    with page(tmp_path) as opened:
        opened.open(report)
        opened.press("Tab", 9)
        assert opened.ask("document.activeElement.className") == "skip"
        opened.ask("document.querySelector('#filter select').focus()")
        opened.press("ArrowDown", 40)
        value = opened.wait("document.querySelector('#filter select').value")
        shown = opened.ask("[...new Set([...document.querySelectorAll('#trial-list tbody tr')]"
                           ".map(row => row.cells[3].textContent))]")  # fmt: skip
        assert shown == [value]
        assert opened.ask(rows) < 36
        opened.ask("document.querySelector('#trial-list button').focus()")
        opened.press("Enter", 13)
        opened.call("Input.dispatchKeyEvent", type="char", text="\r")
        opened.wait(f"{rows} === 3")


def test_screen_readers_have_names_for_everything(report: Path, tmp_path: Path) -> None:
    with page(tmp_path) as opened:
        opened.open(report)
        opened.call("Accessibility.enable")
        nodes = opened.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    for role in ("image", "button", "link", "combobox", "table", "region", "figure"):
        assert any(found == role for found, _ in named), role
    for role in ("image", "button", "link", "combobox", "region"):
        assert [one for one in named if one[0] == role and not one[1].strip()] == []
    headings = [node for node in nodes if node.get("role", {}).get("value") == "heading"]
    levels = [
        p["value"]["value"] for n in headings for p in n["properties"] if p["name"] == "level"
    ]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_it_prints_light_and_whole(report: Path, tmp_path: Path) -> None:
    with page(tmp_path, dark=True) as opened:
        opened.open(report)
        opened.ask("window.seen = []; addEventListener('beforeprint', () => seen.push("
                   "getComputedStyle(document.body).backgroundColor,"
                   "document.querySelector('.plot .xtick text').style.fill))")  # fmt: skip
        assert opened.pdf().startswith(b"%PDF")
        ground, ink = opened.wait("seen.length && seen")
        assert (ground, ink) == ("rgb(255, 255, 255)", "rgb(26, 28, 32)")
        opened.wait("!('printing' in document.documentElement.dataset)")
        quiet(opened, report)


def test_two_thousand_trials_open(tmp_path: Path) -> None:
    """How long that takes is measured by `make bench ONLY=report`."""
    file = write(tmp_path, 400, 5)
    assert file.stat().st_size < MOST_BYTES
    with page(tmp_path / "profile") as opened:
        opened.open(file)
        assert opened.ask("document.querySelectorAll('#trial-list tbody tr').length") == 100
        opened.ask("document.getElementById('more').click()")
        assert opened.ask("document.querySelectorAll('#trial-list tbody tr').length") == 2000
        quiet(opened, file)


def test_names_are_shown_as_they_are(report: Path, tmp_path: Path) -> None:
    with page(tmp_path) as opened:
        opened.open(report)
        assert opened.ask("document.querySelector('.question').textContent") == NASTY
        assert (
            json.loads(opened.ask("JSON.stringify(document.querySelectorAll('script').length)"))
            == 3
        )
