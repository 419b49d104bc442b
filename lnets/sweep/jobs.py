"""Ray clusters that others have started: their jobs from outside, their machines from inside."""

import asyncio
import logging
import os
import socket
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lnets.sweep.ray_environment  # noqa: F401

# isort: split
import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lnets.errors import ClusterError
from lnets.specs.sweep import ResourcesSpec
from lnets.sweep.fits import misfit, taken
from lnets.sweep.handover import STOPPED, SweepJob
from lnets.sweep.tokens import ensure_token

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_PROBE_SECONDS = 60
_AGENT_SECONDS = 120
_OBJECT_STORE_BYTES = 200 * 2**20
_API_ADDRESS = "RAY_API_SERVER_ADDRESS"
_log = logging.getLogger(__name__)


class Jobs:
    """The jobs of a cluster, through the address of its dashboard.

    Args:
        address: As in `http://head:8265`.
        token: What the cluster asks for, if it does.
    """

    def __init__(self, address: str, token: str | None) -> None:
        self._address = address
        self._client = _client(address, token)

    def all(self) -> list[SweepJob]:
        """Sweeps that were handed to it since it was started, the latest first.

        Raises:
            ClusterError: If the cluster does not tell.
        """
        with self._errors():
            details = self._client.list_jobs()
        ours = [job for one in details if (job := SweepJob.of(one)) is not None]
        return sorted(ours, key=lambda job: job.submitted_at, reverse=True)

    def submit(
        self,
        job: str,
        entrypoint: str,
        folder: Path,
        variables: Mapping[str, str],
        metadata: Mapping[str, str],
    ) -> bool:
        """Hand over a job.

        Args:
            job: Its id, which makes it one job however often it is handed over.
            entrypoint: Shell command.
            folder: Its working directory.
            variables: Environment variables of it and its workers.
            metadata: What `all` tells of it; none for a job that is no sweep.

        Returns:
            Whether it is new.

        Raises:
            ClusterError: If the cluster does not take it.
        """
        deadline = time.monotonic() + _AGENT_SECONDS
        while True:
            try:
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=job,
                    runtime_env={"working_dir": str(folder), "env_vars": dict(variables)},
                    metadata=dict(metadata),
                )
            except Exception as error:  # Ray documents no narrower class
                if "already exists" in str(error):
                    return False
                # A cluster that has just begun answers before it can take jobs.
                if "No available agent" not in str(error):
                    raise self._refused(error) from None
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"{self._address}: no agent of its machines takes jobs, after "
                        f"{_AGENT_SECONDS} s. Try again; or look whether another Ray of theirs "
                        "has the port of the agent, which `--dashboard-agent-listen-port` sets."
                    ) from None
                time.sleep(1)
            else:
                return True

    def end(self, job: str) -> None:
        """Ask a job's driver to end now; Ray kills it should it take a minute."""
        with self._errors():
            self._client.stop_job(job)

    def exit_code(self, job: str) -> int | None:
        """How a job has ended: of its driver, 130 if it was stopped, 3 if it never began.

        None while it has not ended.
        """
        with self._errors():
            info = self._client.get_job_info(job)
        if not info.status.is_terminal():
            return None
        if info.driver_exit_code is not None:
            return int(info.driver_exit_code)
        return STOPPED if info.status == "STOPPED" else ClusterError.exit_code

    def log(self, job: str) -> str:
        """What a job's driver has written so far."""
        with self._errors():
            return str(self._client.get_job_logs(job))

    def follow(self, job: str) -> Iterator[str]:
        """What a job's driver writes, until it ends."""
        texts = self._client.tail_job_logs(job)
        with self._errors(), asyncio.Runner() as runner:
            while True:
                with warnings.catch_warnings():  # Ray's call of aiohttp is deprecated there
                    warnings.simplefilter("ignore", DeprecationWarning)
                    text = runner.run(anext(texts, None))
                if text is None:
                    return
                yield text

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Ray documents no narrower class
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> ClusterError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"
        return ClusterError(f"{self._address}: {reason}")


def _client(address: str, token: str | None) -> "JobSubmissionClient":
    from ray.job_submission import JobSubmissionClient

    for name in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk"):
        logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)
    logging.getLogger("ray._private.runtime_env.packaging").setLevel(logging.WARNING)
    before = os.environ.get(_API_ADDRESS)
    os.environ[_API_ADDRESS] = address  # which Ray prefers to whatever it is told
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return JobSubmissionClient(address, headers=headers)
    except Exception as error:  # Ray documents no narrower class
        raise ClusterError(f"{address}: {error}") from None
    finally:
        if before is None:
            del os.environ[_API_ADDRESS]
        else:
            os.environ[_API_ADDRESS] = before


def which_ray(shared: Path | None) -> dict[str, Any]:
    """What `ray.init` is told: to join the cluster of this job, or to start a Ray of its own.

    Args:
        shared: As of `check_machines`.

    Raises:
        ClusterError: If the token of a Ray of its own cannot be kept.
    """
    if shared is not None:
        return {"address": "auto"}
    ensure_token()
    return {
        "address": "local",
        "include_dashboard": True,
        "dashboard_host": "127.0.0.1",
        "object_store_memory": _OBJECT_STORE_BYTES,
    }


def machines() -> list[dict[str, float]]:
    """What each machine of the Ray that this process has joined has in all."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def check_machines(resources: ResourcesSpec, shared: Path | None, *, wait: bool) -> None:
    """Check that trials can run on the Ray that this process has joined.

    Args:
        resources: What one group of trials takes.
        shared: Store that all machines must reach; None for a Ray of this machine only.
        wait: Whether to wait for what is lacking, which an autoscaler may bring.

    Raises:
        ClusterError: If something is lacking.
    """
    reason = misfit(resources, machines(), "this machine" if shared is None else "the cluster")
    if reason is not None and not wait:
        hint = "" if shared is None else ", or let it come by --wait-for-resources"
        raise ClusterError(f"{reason}{hint}.")
    if reason is not None:
        _log.warning("%s; waiting for it", reason.partition(";")[0])
        group = placement_group([taken(resources)] * resources.workers)
        ray.get(group.ready())
        remove_placement_group(group)
    if shared is not None:
        _check_store(shared)


def _check_store(store: Path) -> None:
    """Let every machine read what this one writes into the store, and write there, too."""
    probe = store / "live" / f"probe-{uuid.uuid4().hex}"
    probe.parent.mkdir(exist_ok=True)
    probe.write_text(probe.name, encoding="utf-8")
    try:
        found = _looks_of_machines(str(probe))
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ClusterError(f"The cluster's workers do not start: {reason}") from None
    finally:
        probe.unlink()
    for host, answer in found:
        if answer is not None:
            raise ClusterError(
                f"{store}: {host} does not reach the store that {socket.gethostname()} has there: "
                f"{answer}; name a folder that all machines of the cluster mount and may write."
            )


def _looks_of_machines(probe: str) -> list[tuple[str, str | None]]:
    """By the names of the machines that are there; one may just have been lost."""
    looks = ray.remote(num_cpus=0)(_look)
    deadline = time.monotonic() + _PROBE_SECONDS
    while True:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        tasks = [
            looks.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(probe)
            for node in nodes
        ]
        try:
            answers = ray.get(tasks, timeout=max(1, deadline - time.monotonic()))
        except ray.exceptions.TaskUnschedulableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
            continue
        return [(node["NodeManagerHostname"], a) for node, a in zip(nodes, answers, strict=True)]


def _look(probe: str) -> str | None:
    """In a worker: why the store cannot be used; None if it can."""
    file = Path(probe)
    answer = file.with_name(f"{file.name}-{uuid.uuid4().hex}")
    try:
        if file.read_text(encoding="utf-8") != file.name:
            return "another folder is there"
        answer.write_text("here", encoding="utf-8")
        answer.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None
