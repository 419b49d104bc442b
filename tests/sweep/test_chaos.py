"""Workers, a node and drivers of a sweep are killed by seeded plans; `make chaos` runs twenty."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(2400)
def test_a_sweep_on_two_nodes_survives_three_plans() -> None:
    command = [sys.executable, "-m", "benchmarks.chaos", "--plans", "3"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as undisturbed") == 3
