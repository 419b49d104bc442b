"""Sweeps on a cluster: handing them over and asking after them, by its dashboard's address."""

import hashlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from lnets.errors import ClusterError, NotFoundError, SpecError
from lnets.results.live import Heartbeat, Request
from lnets.results.store import Store
from lnets.specs.identity import sweep_id
from lnets.specs.load import load_sweep
from lnets.specs.spec import nearest
from lnets.sweep.code import code_commit
from lnets.sweep.dashboard import Dashboard
from lnets.sweep.fits import misfit
from lnets.sweep.handed import Handed, JobStatus
from lnets.sweep.handover import (
    ENTRYPOINT,
    Again,
    Handover,
    SweepJob,
    job_environment,
    metadata,
    packed,
)
from lnets.sweep.jobs import Jobs
from lnets.sweep.overview import find_submission, is_file
from lnets.sweep.plan import Plan
from lnets.sweep.watch import Looks

_ATTEMPTS = 10_000
_STOP_SECONDS = 90
_LOOK_SECONDS = 0.3


class Cluster:
    """A Ray cluster that has the sweeps.

    Args:
        address: Of its dashboard, as in `http://head:8265`.

    Raises:
        SpecError: If that is no such address.
        ClusterError: If it cannot be used; see `Dashboard`.
    """

    def __init__(self, address: str) -> None:
        self._dashboard = Dashboard(address)
        self.address = self._dashboard.address
        self._jobs = Jobs(self.address, self._dashboard.token)

    def submit(self, plan: Plan, store: Path, *, wait: bool) -> Handed:
        """Hand over a sweep.

        Args:
            plan: What it asks for.
            store: Folder that all machines of the cluster reach.
            wait: Whether it waits until the cluster has what a trial takes.

        Raises:
            SpecError: If the store is not named by a whole path.
            ClusterError: If the cluster does not take it, or lacks what a trial takes.
        """
        where = _whole(store)
        there = self._dashboard.machines()
        reason = misfit(plan.sweep.resources, there, "the cluster") if there and not wait else None
        if reason is not None:
            raise ClusterError(f"{self.address}: {reason}, or let it come by --wait-for-resources.")
        return self._hand_over(
            Handover(
                action="run",
                sweep_id=plan.sweep_id,
                name=plan.sweep.name,
                store=where,
                spec=plan.sweep.model_dump_json(),
                address=self.address,
                wait=wait,
            )
        )

    def resume(self, named: str, store: Path, again: Again | None, *, wait: bool) -> Handed:
        """Go on with a sweep from what its store has.

        Args:
            named: Name, id or file of the sweep.
            store: Which of several it is, where it is a whole path.
            again: Which of its trials run again; None: all that are missing.
            wait: Whether it waits until the cluster has what a trial takes.

        Raises:
            NotFoundError: If neither the cluster nor a store here knows it.
            ClusterError: If the cluster does not take it.
        """
        job = self._find(self.all(), named, store)
        if job is not None:
            identity, name, where = job.sweep_id, job.name, job.store
        else:  # a cluster that was started anew
            row = find_submission(Store(Path(_whole(store))), named)
            identity, name, where = row["sweep_id"], row["name"], str(store)
        return self._hand_over(
            Handover(
                action="run",
                sweep_id=identity,
                name=name,
                store=where,
                again=again,
                address=self.address,
                wait=wait,
            )
        )

    def end(self, named: str, request: Request, store: Path) -> str:
        """Let what runs of a sweep end, and nothing further begin; or end it now.

        Args:
            named: Name, id or file of the sweep.
            request: Which of these.
            store: Which of several it is, where it is a whole path.

        Returns:
            What was asked of whom.

        Raises:
            NotFoundError: If the cluster does not know the sweep.
            ClusterError: If that could not be asked.
        """
        job = self.find(named, store)
        if not job.alive:
            return f"{job.name} is not at work: its job {job.job} has {job.state}"
        if request == "cancel":
            self._jobs.end(job.job)
            return f"asked job {job.job} to end now"
        asking = self._send(job, "stop")
        until = time.monotonic() + _STOP_SECONDS
        while (code := self._jobs.exit_code(asking)) is None and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        said = self._last_line(asking)
        if code != 0:
            raise ClusterError(f"{self.address}: {job.name} could not be stopped: {said}")
        return said

    def looks(self, named: str, store: Path) -> Looks:
        """What a sweep's driver tells whenever something has changed, as long as it is at work.

        Args:
            named: Name, id or file of the sweep.
            store: Which of several it is, where it is a whole path.

        Raises:
            NotFoundError: If the cluster does not know the sweep.
            ClusterError: If its driver has not begun, or could not be watched.
        """
        job = self.find(named, store)
        if not job.alive:
            return
        watching, rest = self._send(job, "watch"), ""
        try:
            for text in self._jobs.follow(watching):
                *lines, rest = (rest + text).split("\n")
                for line in lines:
                    if line.startswith("{"):
                        yield Heartbeat.model_validate_json(line)
        finally:
            code = self._jobs.exit_code(watching)
            if code is None:
                self._jobs.end(watching)
        if code:
            said = self._last_line(watching)
            raise ClusterError(f"{self.address}: {job.name} could not be watched: {said}")

    def follow(self, job: str) -> Iterator[str]:
        """What a job's driver writes, until it ends."""
        return self._jobs.follow(job)

    def log(self, job: str) -> str:
        """What a job's driver has written so far."""
        return self._jobs.log(job)

    def exit_code(self, job: str) -> int:
        """How a job has ended; 0 while it has not."""
        return self._jobs.exit_code(job) or 0

    def all(self) -> list[SweepJob]:
        """The latest job of each sweep and store, the latest first."""
        latest: dict[tuple[str, str], SweepJob] = {}
        for job in self._jobs.all():
            latest.setdefault((job.sweep_id, job.store), job)
        return list(latest.values())

    def find(self, named: str, store: Path) -> SweepJob:
        """The latest job of a sweep.

        Args:
            named: Name, id or file.
            store: Which of several it is, where it is a whole path.

        Raises:
            NotFoundError: If the cluster has none.
        """
        jobs = self.all()
        found = self._find(jobs, named, store)
        if found is None:
            elsewhere = self._find(jobs, named, Path())
            known = sorted({job.name for job in jobs})
            hint = nearest(named, known) if known else "it has none yet"
            if elsewhere is not None:
                hint = f"not with the store {store}, but with {elsewhere.store}"
            raise NotFoundError(f"{self.address}: no sweep `{named}`; {hint}")
        return found

    def statuses(self, named: str | None, store: Path) -> list[JobStatus]:
        """How far the jobs of a sweep are, or of all; and the sweeps, where the store is here, too.

        Raises:
            NotFoundError: If the cluster has no such sweep.
        """
        jobs = self.all() if named is None else [self.find(named, store)]
        return [JobStatus.of(job) for job in jobs]

    def _find(self, jobs: list[SweepJob], named: str, store: Path) -> SweepJob | None:
        if is_file(named):
            named = sweep_id(load_sweep(Path(named)))
        stores = {str(store)} if store.is_absolute() else {job.store for job in jobs}
        for job in jobs:
            if named in (job.name, job.sweep_id) and job.store in stores:
                return job
        return None

    def _send(self, job: SweepJob, action: Literal["stop", "watch"]) -> str:
        """Let another job deal with a driver's store, which may be out of reach from here."""
        sent = f"{job.job}-{action}-{uuid.uuid4().hex[:8]}"
        told = Handover(
            action=action,
            sweep_id=job.sweep_id,
            name=job.name,
            store=job.store,
            address=self.address,
        )
        with packed(told) as folder:
            self._jobs.submit(sent, ENTRYPOINT, folder, {}, {})
        return sent

    def _last_line(self, job: str) -> str:
        return (self._jobs.log(job).strip().splitlines() or [""])[-1]

    def _hand_over(self, handover: Handover) -> Handed:
        """Submit a job of the next number, unless the last one has not ended."""
        of_store = hashlib.sha256(handover.store.encode()).hexdigest()[:8]
        identity = f"lnets-{handover.sweep_id}-{of_store}"
        jobs = {job.job: job for job in self._jobs.all()}
        number = next(n for n in range(1, _ATTEMPTS) if f"{identity}-{n}" not in jobs)
        last = jobs.get(f"{identity}-{number - 1}")
        if last is not None and last.alive:
            return Handed(last.job, new=False)
        commit = code_commit()
        job = f"{identity}-{number}"
        with packed(handover) as folder:
            new = self._jobs.submit(
                job,
                ENTRYPOINT,
                folder,
                job_environment(job, commit),
                metadata(handover, commit),
            )
        return Handed(job, new)


def _whole(store: Path) -> str:
    if not store.is_absolute():
        raise SpecError(
            f"--address needs --store with a whole path, such as /shared/results, got {store}: it "
            "names a folder that all machines of the cluster mount."
        )
    return str(store)
