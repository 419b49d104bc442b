"""Run the benchmarks: all, or those named. `python -m benchmarks step --only absolute_value`."""

import argparse
from collections.abc import Sequence

from benchmarks import layers, limit, quality, step, sweep
from benchmarks.measurement import Measurement, save
from benchmarks.workloads import WORKLOADS

BENCHES = {"layers": layers.measure, "sweep": sweep.measure}
BY_WORKLOAD = {"step": step.measure, "quality": quality.measure, "limit": limit.measure}


def main() -> None:
    """Measure, print and keep."""
    names = [*BENCHES, *BY_WORKLOAD]
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"one of {', '.join(names)}")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload of those by workload")
    given = parser.parse_args()
    unknown = set(given.benches) - set(names)
    if unknown:
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    workloads = [given.only] if given.only else WORKLOADS
    measurements = []
    for name in given.benches or names:
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
