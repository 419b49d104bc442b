"""Which trials are trained together."""

import itertools
import math
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING

from lnets.errors import SpecError
from lnets.specs.experiment import ExperimentSpec, TrainingSpec
from lnets.specs.identity import fusion_key
from lnets.specs.model import FullyConnectedSpec
from lnets.specs.optim import AdamSpec, AggMoSpec, OptimSpec
from lnets.specs.sweep import ResourcesSpec
from lnets.sweep.plan import Trial

if TYPE_CHECKING:
    from torch import Tensor, nn

# Most trials that one core gains from training together, by the widest layer: what
# `make bench ONLY=fused` showed. Above, products are as fast one by one.
_CPU_GAINS = ((144, 16), (256, 8))
# A GPU waits for its kernels' launches until they are far larger.
_GPU_GAINS = ((512, 64), (1024, 16), (2048, 4))
_FLOAT_BYTES = 4


def make_groups(
    trials: Sequence[Trial],
    resources: ResourcesSpec,
    workers: int,
    tried: Container[str] = frozenset(),
) -> list[tuple[Trial, ...]]:
    """Put trials into groups, each of which one worker trains at once.

    Together are only trials whose experiments differ in learning rate, weight decay, clipping and
    seed. With `auto` there are no fewer groups than workers while that is possible.

    Args:
        trials: In the order that they are wanted.
        resources: Says whether to fuse, and how much memory a group may take.
        workers: Groups that run at the same time.
        tried: Keys of trials that have failed before; each is trained alone, so that it takes no
            other with it.

    Returns:
        Groups in the order of their first trials.

    Raises:
        SpecError: If a single trial needs more memory than a group may take.
    """
    alike: dict[tuple[str, int | None], list[Trial]] = {}
    for trial in trials:
        alone = trial.trial_key in tried
        key = trial.trial_key if alone else fusion_key(trial.experiment)
        alike.setdefault((key, trial.until), []).append(trial)
    order = {trial.trial_key: i for i, trial in enumerate(trials)}
    groups: list[tuple[Trial, ...]] = []
    for members in alike.values():
        most = most_together(members[0].experiment, resources)
        count = math.ceil(len(members) / most)
        if resources.fuse == "auto":
            count = max(count, min(workers, len(members)))
        groups += _evenly(members, count)
    return sorted(groups, key=lambda group: min(order[t.trial_key] for t in group))


def _evenly(members: Sequence[Trial], count: int) -> Iterator[tuple[Trial, ...]]:
    ends = [round(len(members) * i / count) for i in range(count + 1)]
    for first, last in itertools.pairwise(ends):
        # Neighbours with equal hyperparameters share an optimizer's passes.
        yield tuple(sorted(members[first:last], key=lambda trial: trial.config_key))


def most_together(experiment: ExperimentSpec, resources: ResourcesSpec) -> int:
    """How many trials of an experiment one worker trains at once.

    Raises:
        SpecError: If one alone needs more memory than a group may take.
    """
    if not isinstance(experiment, TrainingSpec):
        return 1
    fitting = _fitting(experiment, resources)
    if resources.fuse == "off" or why_alone(experiment, resources) is not None:
        return 1
    if resources.fuse != "auto":
        return min(resources.fuse, fitting)
    assert isinstance(experiment.model, FullyConnectedSpec)
    width = max(experiment.model.layers)
    gains = _GPU_GAINS if resources.gpu else _CPU_GAINS
    return min(next((most for limit, most in gains if width <= limit), 1), fitting)


def why_alone(experiment: ExperimentSpec, resources: ResourcesSpec) -> str | None:
    """The reason why trials of an experiment are trained one by one; None if they need not be."""
    if resources.workers > 1:
        return f"resources.workers: {resources.workers} processes train each"
    return experiment.why_alone()


def _fitting(experiment: TrainingSpec, resources: ResourcesSpec) -> int:
    if resources.memory is None:
        return 2**31
    needed = _bytes(experiment, resources.workers)
    fitting = int(resources.memory * 2**30 // needed)
    if fitting < 1:
        raise SpecError(
            f"`resources.memory` must hold a trial at least, got {resources.memory:g} GiB, and one "
            f"needs about {needed / 2**30:.2g} GiB; raise it, or take a smaller model or batch"
        )
    return fitting


def _bytes(experiment: TrainingSpec, workers: int) -> int:
    """About what one trial takes: weights, gradients, optimizer of each worker, and activations."""
    import torch

    from lnets.build import build_model

    with torch.device("meta"):
        model = build_model(experiment.model, experiment.input_batch[1:])
        batch = torch.empty(experiment.input_batch)
    weights = sum(parameter.numel() for parameter in model.parameters())
    activations = batch.numel() + _activations(model, batch)
    copies = 2 + _state_copies(experiment.optim)
    return _FLOAT_BYTES * (workers * copies * weights + 2 * activations)


def _activations(model: "nn.Module", batch: "Tensor") -> int:
    """Numbers that come out of all layers."""
    sizes: list[int] = []
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _, __, output: sizes.append(output.numel()))
    model(batch)
    return sum(sizes)


def _state_copies(optim: OptimSpec) -> int:
    match optim:
        case AdamSpec():
            return 2
        case AggMoSpec():
            return sum(beta > 0 for beta in optim.betas)
        case _:
            return int(optim.momentum > 0)
