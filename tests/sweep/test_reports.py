"""Reports are written whole, and again while a sweep runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import NotFoundError, SpecError
from lnets.results.live import Live
from lnets.results.store import Store
from lnets.sweep import reports
from lnets.sweep.reports import watch_report, write_report
from tests.results.test_store import record
from tests.sweep.reported import fill, plan_of

RELOADS = '"reload":10'


def test_a_report_is_one_file(tmp_path: Path, tiny: dict[str, Any]) -> None:
    store = fill(tmp_path / "store", plan_of(tiny))
    file = write_report(store, "tiny", tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]
    page = file.read_text()
    assert RELOADS not in page
    assert "not running" in page
    assert write_report(store, "tiny", file).read_text() == page
    with pytest.raises(NotFoundError, match="no sweep `no`"):
        write_report(store, "no", file)
    with pytest.raises(SpecError, match="cannot be written"):
        write_report(store, "tiny", file / "report.html")


def test_it_is_named_after_the_sweep(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(tmp_path / "store", plan_of(tiny))
    monkeypatch.chdir(tmp_path)
    assert write_report(store, "tiny", None) == Path("tiny.html")


def test_watching_writes_whenever_there_is_something_new(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tiny)
    store = fill(tmp_path / "store", plan, ends={0: "failed"})
    file = tmp_path / "report.html"
    assert list(watch_report(store, "tiny", file)) == []
    live = Live(store.root, plan.sweep_id, "tiny", None)
    live.beat(("tiny lr=0.1",))
    looks: list[str] = []

    def look(_: float) -> None:
        looks.append(file.read_text())
        if len(looks) == 2:  # nothing was new at the first
            trial = plan.trials[0]
            store.put(record(trial.trial_key, config_key=trial.config_key, attempt=2))
            store.commit()
        if len(looks) == 3:
            live.stop()

    monkeypatch.setattr(reports.time, "sleep", look)
    assert list(watch_report(store, "tiny", file)) == [file, file]
    assert len(looks) == 3
    assert looks[0] == looks[1] != looks[2]
    for page, completed in zip(looks, ("3 of 4", "3 of 4", "4 of 4"), strict=True):
        assert RELOADS in page
        assert "running now on" in page
        assert f"{completed} trials completed" in page


def test_the_command_line_writes_reports_and_plots(
    tmp_path: Path,
    tiny: dict[str, Any],
    cli: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Store(tmp_path / "store", create=True)
    fill(tmp_path / "store", plan_of(tiny))
    monkeypatch.chdir(tmp_path)
    assert cli("report", "tiny", "--watch") == (0, "tiny.html\n", "")
    assert cli("report", "tiny", "-o", "other.html")[1] == "other.html\n"
    assert cli("plot", "curves", "tiny") == (0, "tiny_curves.pdf\n", "")
    code, out, err = cli("plot", "importance", "tiny", "-o", "x.png")
    assert (code, out, "need 8 configurations" in err) == (4, "", True)
    assert cli("plot", "pie", "tiny")[0] == 2
    code, _, err = cli("report", "tinny")
    assert (code, "did you mean `tiny`?" in err) == (4, True)
