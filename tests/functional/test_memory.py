from pathlib import Path

import psutil
import pytest

from lnets.functional.memory import free_memory


def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    for name, text in files.items():
        (tmp_path / name.replace("_", ".", 1)).write_text(text)
    monkeypatch.setattr("lnets.functional.memory._CGROUP", tmp_path)


def test_it_is_what_the_machine_has_left() -> None:
    # Other processes take and give back memory meanwhile.
    assert free_memory() <= psutil.virtual_memory().available + 2**30
    assert free_memory() > 2**20


def test_a_container_may_leave_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        monkeypatch,
        memory_max="5000000\n",
        memory_current="3000000\n",
        memory_stat="anon 1000\ninactive_file 500000\n",
    )
    assert free_memory() == 2_500_000
    (tmp_path / "memory.current").write_text("6000000")
    assert free_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 5_000_000


def test_a_system_without_such_files_has_all_of_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, monkeypatch)
    monkeypatch.setattr("lnets.functional.memory._MEMINFO", tmp_path / "nowhere")
    assert free_memory() == pytest.approx(psutil.virtual_memory().total, rel=0.01)
