import json
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats

from lnets.errors import NotFoundError, SpecError
from lnets.results.compare import Sides, compare, differing
from lnets.results.comparison_text import comparison_text
from lnets.results.paper_plots import save_for_paper, seeds_figure
from lnets.results.query import connect
from lnets.results.records import SweepTrials
from lnets.results.store import Store
from tests.results.stored import demo_store, put_values

A = {seed: 0.5 + 0.1 * seed for seed in range(8)}
B = {seed: 0.4 + 0.11 * seed**1.1 for seed in range(8)}


def text_of(sides: Sides) -> str:
    console = Console(width=300)
    with console.capture() as capture:
        for part in comparison_text(sides, width=300):
            console.print(part, highlight=False)
    return capture.get()


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    a, b = put_values(store, "a", A), put_values(store, "b", B)
    sides = compare(connect(store), a, b)
    [metric] = sides.metrics
    values = [A[seed] - B[seed] for seed in A]
    low, high = stats.t.interval(0.95, 7, stats.tmean(values), stats.sem(values))
    assert metric.difference is not None
    assert (metric.difference.low, metric.difference.high) == pytest.approx((low, high))
    assert metric.p_value == pytest.approx(stats.wilcoxon(values).pvalue)
    assert metric.paired
    assert metric.seeds[3] == (A[3], B[3])
    assert sides.configurations == {"name": (("a",), ("b",))}
    data = sides.to_json()
    assert json.loads(json.dumps(data)) == data
    text = text_of(sides)
    assert "a: 8 of 8 trials completed" in text.replace(" (id)", "")
    assert "mean ± 95% interval over n = 8 seeds" in text
    assert "too few" not in text


def test_other_seeds_are_not_paired_and_missing_metrics_are_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    a = put_values(store, "a", A)
    b = put_values(store, "b", {10 + seed: value for seed, value in B.items()})
    c = put_values(store, "c", {0: 0.0, 1: 0.0}, metrics={"train_seconds": 1.0})
    [metric] = compare(connect(store), a, b).metrics
    assert not metric.paired
    assert metric.p_value == pytest.approx(
        stats.mannwhitneyu(list(A.values()), list(B.values()))[1]
    )
    assert "not paired" in text_of(compare(connect(store), a, b))
    sides = compare(connect(store), a, c)
    assert {one.metric: one.difference for one in sides.metrics} == {
        "tightness": None,
        "train_seconds": None,
    }
    assert "–" in text_of(sides)


def test_metrics_that_are_asked_for_are_compared_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    for name, side, x in (("a", A, 1.0), ("b", B, 2.0)):
        for seed, value in side.items():
            metrics = {"tightness": value, "train_seconds": x + seed}
            put_values(store, name, {seed: value}, metrics=metrics)
    a, b = (SweepTrials("id", n, tuple(f"{n}-{seed}" for seed in A)) for n in "ab")
    both = {one.metric: one for one in compare(connect(store), a, b).metrics}
    [alone] = compare(connect(store), a, b, metrics=["train_seconds"]).metrics
    assert alone.metric == "train_seconds"
    assert alone.p_value == pytest.approx(2 / 2**8)
    assert both["train_seconds"].p_value == pytest.approx(2 * 2 / 2**8)
    with pytest.raises(SpecError, match="did you mean `tightness`"):
        compare(connect(store), a, b, metrics=["tightnes"])


def test_few_seeds_are_said_to_be_too_few(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    a, b = (put_values(store, n, {s: v for s, v in side.items() if s < 3})
            for n, side in (("a", A), ("b", B)))  # fmt: skip
    text = text_of(compare(connect(store), a, b))
    assert "3 seeds are too few to call any difference significant; 6 could be enough" in text


def test_each_seed_is_drawn(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    a, b, c = (put_values(store, n, v) for n, v in (("a", A), ("b", B), ("c", A)))
    [axes] = seeds_figure(compare(connect(store), a, b)).axes
    drawn = [tuple(line.get_ydata()) for line in axes.lines[:8]]
    assert drawn == [(A[seed], B[seed]) for seed in A]
    assert axes.get_ylabel() == "tightness"
    alike = [put_values(store, name, {0: 1.0}) for name in "de"]
    same = compare(connect(store), *alike)
    with pytest.raises(NotFoundError, match="nothing to draw"):
        seeds_figure(same)
    assert save_for_paper(seeds_figure(compare(connect(store), a, c)), tmp_path / "x.png").exists()


def test_one_seed_gives_no_test(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    a, b = put_values(store, "a", {0: 1.0}), put_values(store, "b", {0: 2.0})
    text = text_of(compare(connect(store), a, b))
    assert "too few seeds for a test: tightness" in text


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    store = demo_store(tmp_path / "store")
    good = SweepTrials("", "good", ("maxmin-8-0",))
    with pytest.raises(SpecError, match="the same trials"):
        compare(connect(store), good, good)
    with pytest.raises(SpecError, match="none of its 1 trials has completed"):
        compare(connect(store), good, SweepTrials("", "bad", ("bad",)))


def test_specs_differ_in_their_leaves() -> None:
    a = {"x": 1, "section": {"same": [1], "other": {"type": "a"}}}
    b = {"x": 1, "section": {"same": [1], "other": {"type": "b"}, "new": True}}
    assert differing(a, b) == {"section.other.type": ("a", "b"), "section.new": (None, True)}
    assert differing(a, a) == {}
