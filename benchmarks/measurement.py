"""One ratio, and the files that ratios are kept in."""

import json
import math
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lnets.sweep.code import code_commit

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Measurement:
    """Ours beside a baseline, measured in the same run."""

    bench: str
    case: str
    ours: float
    """Infinite where ours never gets there."""
    baseline: float
    unit: str
    """Of both; smaller is better."""

    @property
    def ratio(self) -> float:
        """Baseline ÷ ours: how many times better ours is."""
        return self.baseline / self.ours

    def __str__(self) -> str:
        return (
            f"{self.bench} · {self.case}: ours {self.ours:.4g} {self.unit}, "
            f"baseline {self.baseline:.4g} {self.unit}, ratio {_brief(self.ratio)}"
        )


def save(measurements: list[Measurement], *, only: str = "") -> None:
    """Replace what was measured before of the same benches, and write the page of all.

    Args:
        measurements: What was measured.
        only: How the cases begin that were measured, where not all of a bench were.
    """
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    measured = {measurement.bench for measurement in measurements}
    rows = [row for row in rows if row["bench"] not in measured or not row["case"].startswith(only)]
    stamp = {
        "machine": f"{_processor()}, {platform.system()}",
        "commit": code_commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    for measurement in measurements:
        row = {**asdict(measurement), "ratio": measurement.ratio, **stamp}
        # JSON has no infinity.
        rows.append({**row, "ours": row["ours"] if math.isfinite(row["ours"]) else None})
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. A ratio is baseline ÷ ours in one run; larger is better.",
        "",
        "| bench | case | ratio | ours | baseline | unit | machine | commit | date |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['bench']} | {row['case']} | {_brief(row['ratio'])} | {_shown(row['ours'])} | "
        f"{row['baseline']:.4g} | {row['unit']} | {row['machine']} | {row['commit']} | "
        f"{row['date']} |"
        for row in rows
    ]
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + "\n")


def _brief(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 1e4 else f"{ratio:.3g}"


def _shown(value: float | None) -> str:
    return "never" if value is None else f"{value:.4g}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    return f"{len(models)} × {models[0]}" if models else platform.machine()
