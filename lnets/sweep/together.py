"""Processes of Ray Train that train one trial together."""

import socket
import traceback
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import ray
import torch.distributed as dist
from ray import train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _set_torch_distributed_env_vars, _TorchBackend

from lnets.errors import ClusterError, LnetsError, TrialError
from lnets.results.records import TrialRecord
from lnets.sweep.messages import Group, Job
from lnets.sweep.runner import train_here


def train_together(
    jobs: Sequence[Job],
    group: Group,
    *,
    workers: int,
    each: dict[str, float],
    folder: str,
    name: str,
) -> list[TrialRecord]:
    """Let several processes train one trial.

    Args:
        jobs: The trial's.
        group: Whose it is.
        workers: How many processes.
        each: What each of them takes of its machine.
        folder: Where Ray Train may write; all machines reach it.
        name: Of what it writes there.

    Raises:
        TrialError: If the trial raises.
        ClusterError: If a process is lost.
    """
    group = group.model_copy(update={"jobs": tuple(jobs)})
    trainer = TorchTrainer(
        _train_share,
        train_loop_config={"group": group.model_dump_json()},
        torch_config=_Config(),
        scaling_config=train.ScalingConfig(
            num_workers=workers, use_gpu="GPU" in each, resources_per_worker=each
        ),
        run_config=train.RunConfig(storage_path=folder, name=name),
    )
    try:
        records = trainer.fit().return_value
    except (train.TrainingFailedError, ray.exceptions.RayError) as error:
        raise _as_one_failure(error) from None
    return [TrialRecord.model_validate_json(record) for record in records]


class _RaisedError(Exception):
    """What a trial raised in a worker, as text."""


def _train_share(config: dict[str, str]) -> list[str]:
    """In each of the workers that train a trial together; the first one has its record."""
    group = Group.model_validate_json(config["group"])
    try:
        return [record.model_dump_json() for record in train_here(group.jobs, group)]
    except Exception:
        raise _RaisedError(traceback.format_exc()) from None


def _as_one_failure(error: Exception) -> LnetsError:
    """Whether a trial raised, or a worker died: then others raise, too, as they wait for it."""
    failures = getattr(error, "worker_failures", {}).values()
    if failures and all(isinstance(failure, _RaisedError) for failure in failures):
        return TrialError(str(next(iter(failures))))
    return ClusterError(f"Workers were lost: {error}")


class _Config(TorchConfig):
    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Backend


class _Backend(_TorchBackend):
    """Workers find each other where Ray listens.

    What Ray lets torch open for that listens on all interfaces, and asks nobody for a token.
    """

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        where = worker_group.execute_single(0, _listen)
        worker_group.execute(_set_torch_distributed_env_vars)
        size = len(worker_group)
        ray.get(
            [
                worker_group.execute_single_async(rank, _join, where, rank, size, backend_config)
                for rank in range(size)
            ]
        )


class _Place(NamedTuple):
    host: str
    port: int
    socket: int
    """File descriptor in the first worker."""


def _listen() -> _Place:
    host = ray.util.get_node_ip_address()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ours = socket.socket(family, socket.SOCK_STREAM)
    ours.bind((host, 0))
    return _Place(host, ours.getsockname()[1], ours.detach())


def _join(where: _Place, rank: int, size: int, config: TorchConfig) -> None:
    timeout, first = timedelta(seconds=config.timeout_s), rank == 0
    store = dist.TCPStore(  # type: ignore[attr-defined]
        where.host,
        where.port,
        size,
        first,
        timeout,
        master_listen_fd=where.socket if first else None,
    )
    dist.init_process_group(
        config.backend, store=store, rank=rank, world_size=size, timeout=timeout
    )
