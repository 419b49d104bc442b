"""Run the benchmarks: all, or those named. `python -m benchmarks step --only absolute_value`."""

import argparse
from collections.abc import Sequence

from benchmarks import (
    attack,
    certificate,
    evaluation,
    fused,
    gan,
    layers,
    limit,
    quality,
    report,
    robustness,
    step,
    submit,
    sweep,
    tables,
)
from benchmarks.measurement import Measurement, save
from benchmarks.workloads import WORKLOADS

BENCHES = {
    "attack": attack.measure,
    "certificate": certificate.measure,
    "evaluation": evaluation.measure,
    "fused": fused.measure,
    "gan": gan.measure,
    "layers": layers.measure,
    "report": report.measure,
    "robustness": robustness.measure,
    "submit": submit.measure,
    "sweep": sweep.measure,
    "tables": tables.measure,
}
BY_WORKLOAD = {"step": step.measure, "quality": quality.measure, "limit": limit.measure}


def main() -> None:
    """Measure, print and keep."""
    every = [*BENCHES, *BY_WORKLOAD]
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"one of {', '.join(every)}")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload of those by workload")
    given = parser.parse_args()
    known = list(BY_WORKLOAD) if given.only else every
    names = given.benches or known
    if unknown := set(names) - set(known):
        parser.error(f"no bench {', '.join(sorted(unknown))} here; there are: {', '.join(known)}")
    workloads = [given.only] if given.only else WORKLOADS
    measurements = []
    for name in names:
        measurements += _measured(name, workloads)
    for measurement in measurements:
        print(measurement)
    save(measurements, only=given.only or "")


def _measured(name: str, workloads: Sequence[str]) -> list[Measurement]:
    if name in BY_WORKLOAD:
        return BY_WORKLOAD[name](workloads)
    return BENCHES[name]()


if __name__ == "__main__":
    main()
