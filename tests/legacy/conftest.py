"""What tests of configurations share."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.tiny import tiny_mnist
from tests.legacy.configurations import (
    file,
)

Write = Callable[..., Path]


@pytest.fixture
def _tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNETS_DATA", str(tmp_path / "data"))
    tiny_mnist(tmp_path / "data", monkeypatch)


@pytest.fixture
def hparams(write: Write) -> Path:
    """What a short run of train_gan.py writes."""
    written = json.loads(file("train_GAN").read_text()) | {"epoch": 1, "logs_dir": "/private/logs"}
    return write(json.dumps(written), "hparams.json")
