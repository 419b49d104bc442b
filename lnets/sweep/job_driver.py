"""What runs inside a Ray Job: `python -m lnets.sweep.job_driver` beside the file of a handover.

Only Python's own library is imported until versions are known to fit.
"""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lnets.sweep.handover import Handover

_FILE = "handover.json"


def main() -> int:
    """Do what the handover says.

    Returns:
        Exit code: as of `lnets-sweep`.
    """
    data = json.loads(Path(_FILE).read_text(encoding="utf-8"))
    # Ray unpacks the working directory anew where a second node of the same machine needs it, and
    # Tune fails in a folder that is gone. Modules are found by its absolute path.
    os.chdir("/")
    problem = _misfit(data)
    if problem is not None:
        print(f"error: {problem}", file=sys.stderr)
        return 3
    from lnets.errors import LnetsError

    try:
        from lnets.sweep.handover import Handover

        return _drive(Handover.model_validate(data))
    except LnetsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(f"error: {_lacks(str(error.name))}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


def _misfit(data: dict[str, Any]) -> str | None:
    """How the versions here differ from those of who handed it over."""
    try:
        ray = version("ray")
    except PackageNotFoundError:
        return _lacks("ray")
    for what, ours, theirs, parts in (
        ("Python", platform.python_version(), data["python"], 2),
        ("Ray", ray, data["ray"], 3),
    ):
        if ours.split(".")[:parts] != theirs.split(".")[:parts]:
            return (
                f"the cluster's `python`, {sys.executable}, has {what} {ours}, and the sweep was "
                f"handed over from {what} {theirs}; use the same on both sides."
            )
    return None


def _lacks(module: str) -> str:
    return (
        f"the cluster's `python`, {sys.executable}, has no {module}; install what lnets needs "
        "there, and start Ray with that environment first on the PATH."
    )


def _drive(handover: "Handover") -> int:
    from lnets.results.formats import to_text
    from lnets.results.store import Store
    from lnets.sweep.control import await_driver, end, retried
    from lnets.sweep.local import ClusterRun, submit_here
    from lnets.sweep.overview import sweep_named
    from lnets.sweep.plan import make_plan

    folder = Path(handover.store)
    if handover.action == "stop":
        print(end(Store(folder), handover.sweep_id, "stop", patient=True))
        return 0
    if handover.action == "watch":
        from lnets.sweep.watch import changes, looks

        await_driver(Store(folder), handover.sweep_id)
        for look in changes(looks(folder, handover.sweep_id)):
            print(look.model_dump_json(), flush=True)
        return 0
    if handover.spec is not None:
        from lnets.specs.sweep import SweepSpec

        plan = make_plan(SweepSpec.model_validate_json(handover.spec))
    else:
        plan = make_plan(sweep_named(Store(folder), handover.sweep_id))
    chosen = None if handover.again is None else retried(Store(folder), plan, handover.again)
    cluster = ClusterRun(handover.address, wait=handover.wait)
    table, progress = submit_here(plan, folder, "ray", chosen, cluster)
    print(
        to_text(
            table, "markdown", title=plan.sweep.name, command=f"lnets-sweep table {plan.sweep.name}"
        )
    )
    return 1 if progress.failed or progress.blocked else 0


if __name__ == "__main__":
    sys.exit(main())
