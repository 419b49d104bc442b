"""Run the benchmarks: all, or those named. `python -m benchmarks sweep`."""

import sys

from benchmarks import certificate, evaluation, layers, sweep
from benchmarks.measurement import save

BENCHES = {
    "certificate": certificate.measure,
    "evaluation": evaluation.measure,
    "layers": layers.measure,
    "sweep": sweep.measure,
}


def main() -> None:
    """Measure, print and keep."""
    names = sys.argv[1:] or list(BENCHES)
    unknown = set(names) - set(BENCHES)
    if unknown:
        sys.exit(f"no bench {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}")
    measurements = [measurement for name in names for measurement in BENCHES[name]()]
    for measurement in measurements:
        print(measurement)
    save(measurements)


if __name__ == "__main__":
    main()
