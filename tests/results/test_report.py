"""What a report says, before a browser shows it."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from lnets.results.records import SweepTrials
from lnets.results.report import to_html
from lnets.results.report.answer import answer
from lnets.results.report.picture import COLORS, SHADES, axis
from lnets.results.store import Store
from lnets.specs.search import ObjectiveSpec
from lnets.sweep.overview import find_submission
from lnets.sweep.reports import report_of
from tests.results.stored import layout, put_values, tabulate
from tests.sweep.reported import NASTY, fill, plan_of

MAXIMIZE = (ObjectiveSpec(maximize="tightness"),)
FILES = (
    "samples/epoch_0009.png",
    "samples/epoch_0010.png",
    "figures/landscape_line_step_000003.png",
    "figures/learning_curves.png",
)
SEARCH = {
    "model.activation": ["maxmin", "relu"],
    "optim.lr": [0.001, 0.01, 0.1],
    "model.linear.bjorck_iter": [2, 5],
}


class Elements(HTMLParser):
    """The elements of a page, with their attributes, and the text of some."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.found if "id" in attributes]


@pytest.fixture
def page(tmp_path: Path, tiny: dict[str, Any]) -> str:
    tiny |= {"search": SEARCH, "seeds": 3, "description": NASTY}
    tiny["algorithm"] = {
        "type": "grid",
        "objectives": [{"maximize": "tightness"}, {"minimize": "train_seconds"}],
    }
    store = fill(
        tmp_path / "store",
        plan_of(tiny),
        ends={0: "failed", 4: "diverged", 5: "blocked", 7: "stopped"},
    )
    return to_html(report_of(store, find_submission(store, "tiny")))


def test_every_section_is_there_and_linked(page: str) -> None:
    found = Elements(page)
    ids = found.ids()
    assert len(set(ids)) == len(ids)
    links = [a["href"][1:] for tag, a in found.found if tag == "a" and a.get("href")]
    assert set(links) <= set(ids)
    assert set(links) == {
        "main", "answer", "tables", "values", "accuracy", "curves", "trade-offs", "search",
        "failures", "cost", "trials", "specification", "environment",
    }  # fmt: skip


def test_every_figure_has_words_and_numbers(page: str) -> None:
    plots = [a for _, a in Elements(page).found if a.get("class") == "plot"]
    assert {a["data-figure"] for a in plots} >= {
        "metric-tightness", "curve-train_dual", "pareto", "parallel", "importance",
        "accuracy-unnamed",
    }  # fmt: skip
    for plot in plots:
        assert plot["role"] == "img"
        assert len(plot["aria-label"] or "") > 40
    assert page.count("<summary>Numbers: ") == len(plots)
    assert page.count("<figcaption>") >= len(plots)


def test_figures_are_what_plotly_takes(page: str) -> None:
    data = json.loads(Elements(page).scripts[0])
    trials, configurations = len(data["trials"]), len(data["configurations"])
    assert (trials, configurations) == (36, 12)
    for figure in data["figures"].values():
        go.Figure(data=figure["traces"], layout=figure["layout"])
        for trace in figure["traces"]:
            meta = trace["meta"]
            assert meta.get("color", 0) in range(COLORS)
            assert meta.get("shade", 0) in range(SHADES)
            for name, number in (("trials", trials), ("configurations", configurations)):
                if name in meta:
                    assert len(meta[name]) == len(trace["x"]) == len(trace["y"])
                    assert set(meta[name]) <= set(range(number))


def test_nothing_that_a_person_wrote_is_taken_for_html(page: str) -> None:
    assert "<script>alert" not in page
    assert "<b>bold" not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    assert [tag for tag, _ in Elements(page).found].count("script") == 3


def test_nothing_is_fetched_and_no_other_script_runs(page: str) -> None:
    found = Elements(page)
    for tag, attributes in found.found:
        for name in ("src", "href", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    policy = next(a["content"] for _, a in found.found if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("style-src")[0]


def test_failures_have_their_reasons(page: str) -> None:
    rows = re.findall(r"<tr><th scope=\"row\"><code>.*?</tr>", page)
    assert len(rows) == 3
    for status, reason in (("failed", "ValueError"), ("diverged", "its loss was not finite")):
        assert any(f"<td>{status}</td>" in row and reason in row for row in rows)
    assert "Configurations that cannot be built" in page


def test_a_sweep_without_results_has_a_page(tmp_path: Path, tiny: dict[str, Any]) -> None:
    plan = plan_of(tiny)
    store = fill(tmp_path / "store", plan, ends=dict.fromkeys(range(4), "failed"))
    page = to_html(report_of(store, find_submission(store, "tiny")))
    assert "No trial has completed yet" in page
    assert "4 failed" in page
    empty = Store(tmp_path / "empty", create=True)
    rows = store.table("sweeps").to_pylist()
    page = to_html(report_of(empty, rows[0]))
    assert "4 missing" in page


def test_one_configuration_with_one_seed_has_a_page(tmp_path: Path, tiny: dict[str, Any]) -> None:
    del tiny["search"]
    store = fill(tmp_path / "store", plan_of(tiny, seeds=1))
    page = to_html(report_of(store, find_submission(store, "tiny")))
    assert "there is nothing to compare it with" in page


def test_pictures_of_the_best_are_in_the_page(tmp_path: Path, tiny: dict[str, Any]) -> None:
    plan = plan_of(tiny)
    store = fill(tmp_path / "store", plan)
    for trial in plan.trials:
        folder = store.artifacts(trial.trial_key)
        for file in FILES:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(file.encode())
    report = report_of(store, find_submission(store, "tiny"))
    assert [image.title.partition(";")[0] for image in report.images] == [
        "landscape line after step 3", "samples after epoch 10",
    ] * 2  # fmt: skip
    assert "A grid of generated images after epoch 10" in report.images[1].alternative
    (folder / "samples" / "epoch_0010.png").write_bytes(bytes(7 * 2**20))
    for trial in plan.trials[:-1]:
        for file in store.artifacts(trial.trial_key).rglob("*.png"):
            file.unlink()
    left = report_of(store, find_submission(store, "tiny"))
    assert (len(left.images), left.images_left_out) == (1, 1)


def test_answers_say_how_sure_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)

    def found(*sides: dict[int, float]) -> str:
        sweeps = [put_values(store, f"{len(sides)}-{i}", side) for i, side in enumerate(sides)]
        by_name = layout(rows=("name",))
        return answer(tabulate(store, *sweeps, layout=by_name, objectives=MAXIMIZE))

    many = {seed: 1.0 + 0.01 * seed for seed in range(12)}
    near = {seed: 1.0 + 0.01 * ((seed * 5) % 12) for seed in range(12)}
    low = {seed: 0.1 + 0.01 * (seed % 3) for seed in range(12)}
    near[0] -= 0.001
    assert found(many) == (
        "name = 1-0 has tightness 1.055 ± 0.023 over 12 seeds; there is nothing to compare it with."
    )
    assert found(many, low).endswith("; the other one is significantly worse.")
    three = found(many, near, low)
    assert three.startswith("name = 3-0 has the largest tightness 1.055")
    assert three.endswith("1 of 2 others are significantly worse, but not name = 3-1.")
    few = ({0: 1.0}, {0: 0.5}, {0: 0.4}, {0: 0.3})
    assert found(*few).endswith("so few seeds cannot show whether that is more than chance.")
    same = ({0: 1.0}, {0: 1.0}, {0: 0.4}, {0: 0.3}, {0: 0.1})
    assert found(*same).endswith("name = 5-1 has the same.")


def test_an_answer_of_an_unfinished_sweep_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    done = put_values(store, "a", {0: 1.0, 1: 0.9})
    partly = SweepTrials("id", "a", (*done.trial_keys, "gone", "lost"))
    by_name = layout(rows=("name",))
    table = tabulate(store, partly, layout=by_name, objectives=MAXIMIZE)
    assert answer(table).startswith("So far (2 of 4 trials completed, 2 missing): name = a has ")
    assert answer(table, running=True).startswith("So far (2 of 4 trials completed, still running)")
    whole = tabulate(store, done, layout=by_name, objectives=MAXIMIZE)
    assert answer(whole).startswith("name = a has ")
    assert answer(whole, running=True).startswith("So far (2 of 2 trials completed, still running)")


def test_wide_intervals_do_not_flatten_axes() -> None:
    values = [0.8, 0.9, 1.0]
    assert "range" not in axis("x", values, [0.75, 1.05, math.nan])
    assert axis("x", values, [-3.0, 1.05])["range"] == pytest.approx([0.7, 1.05])
    decades = axis("x", [1e-3, 1.0], [-1.0, 2.0])
    assert decades["type"] == "log"
    assert decades["range"] == pytest.approx([-4.5, math.log10(2.0)])


def test_axes_show_decades_and_no_roundings() -> None:
    assert axis("x", [1e-3, 1.0])["type"] == "log"
    assert "type" not in axis("x", [-1.0, 1000.0])
    assert axis("x", [1.0, 1.0 + 1e-9])["range"] == pytest.approx([0.95, 1.05])
    assert "range" not in axis("x", [0.0, 0.0])
    assert "range" not in axis("x", [None])
