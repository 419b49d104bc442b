"""Bound the Wasserstein-1 distance between two distributions with a Lipschitz critic."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from lnets.build import build_critic, build_distribution, build_projections
from lnets.data.distributions import Distribution
from lnets.errors import TrialError
from lnets.functional.transport import check_memory
from lnets.specs.wasserstein import WassersteinSpec
from lnets.tasks.dual_bounds import evaluate
from lnets.tasks.files import TrialFiles, load_state, save_state
from lnets.tasks.landscapes import Landscapes
from lnets.tasks.outcome import PAUSED_AT, Outcome, Report, evaluated
from lnets.tasks.products import fast_products, training_precision
from lnets.tasks.spectra import SingularValues
from lnets.tasks.streams import stream_seed
from lnets.tasks.training import Training, is_finite
from lnets.tasks.watching import Watcher, watch

# Samples are drawn for many steps at once, as many as hold about this many numbers.
_NUMBERS_AT_ONCE = 1 << 18
_MOST_STEPS_AT_ONCE = 64
# Between checkpoints: about what critics lose whose process is killed.
_CHECKPOINT_SECONDS = 30.0


def train(
    specs: Sequence[WassersteinSpec],
    seeds: Sequence[int],
    *,
    device: torch.device,
    report: Report,
    compiled: bool,
    files: TrialFiles,
    distribs: tuple[Distribution, Distribution] | None = None,
    until: int | None = None,
) -> list[Outcome]:
    """Train critics side by side, then bound the distance on samples that they have not seen.

    Args:
        specs: The experiment of each trial; they differ in learning rate, weight decay and
            gradient clipping only.
        seeds: Of each trial's weights, training samples and held-out samples. The held-out samples
            depend on nothing else, so that configurations are compared on the same ones.
        device: Where to train; the bounds are computed there too, in float64.
        report: Called for each trial every `log_every` steps with `train_dual`, the dual value on
            the training samples of these steps, not divided by a Lipschitz constant; and with
            singular values, if they are asked for.
        compiled: Whether critics are compiled before they are trained.
        files: Weights of GANs whose images are samples, where trials put what figures are drawn
            from, and where they go on after they have paused or were cut off.
        distribs: Between which they are trained; None builds those of the specs.
        until: Step at which training pauses; None goes to the end.

    Raises:
        LnetsError: If the data of a distribution, or its GAN, are not there, or are not what the
            spec says.
        MemoryError: If the exact distance of the held-out samples does not fit into memory.
    """
    common, folders = specs[0], files.folders
    if distribs is None:
        distribs = (
            build_distribution(common.distrib1, device, files.weights),
            build_distribution(common.distrib2, device, files.weights),
        )
    counts = [int(min(common.test_sample_size, distrib.available)) for distrib in distribs]
    if max(counts) <= common.exact_points:
        check_memory(*counts)
    run = _Run(specs, seeds, distribs, device, compiled, report)
    last = until or common.steps
    if not run.resume(files.pauses, last):
        run = _Run(specs, seeds, distribs, device, compiled, report)
    watchers = (
        Landscapes(common, seeds, distribs, device, folders),
        SingularValues(common.singular_values, common.steps, folders, run.report),
    )
    run.train(watchers, last, files.pauses)
    paused_at = None if until is None else run.save(files.pauses)
    outcomes = []
    for i, (spec, seed) in enumerate(zip(specs, seeds, strict=True)):
        critic, cost = run.critic(i), run.cost(i)
        bounds = {}
        if is_finite(critic) and i in run.alive:
            held_out = Generator(device).manual_seed(stream_seed(seed, "held out"))
            bounds = evaluate(critic, *distribs, spec.test_sample_size, spec.exact_points, held_out)
            bounds = {name: value for name, value in bounds.items() if name in spec.metrics}
        if bounds and all(math.isfinite(value) for value in bounds.values()):
            outcomes.append(evaluated(bounds | cost, critic, paused_at))
        else:
            outcomes.append(Outcome("diverged", cost, critic))
    return outcomes


class _Run:
    """Critics in training, fewer as some diverge."""

    def __init__(
        self,
        specs: Sequence[WassersteinSpec],
        seeds: Sequence[int],
        distribs: Sequence[Distribution],
        device: torch.device,
        compiled: bool,
        report: Report,
    ) -> None:
        critics = []
        for spec, seed in zip(specs, seeds, strict=True):
            torch.manual_seed(seed)
            critic = build_critic(spec.model, spec.distrib1.shape, faithful=spec.faithful)
            critics.append(critic.to(device))
        self._spec = spec = specs[0]
        self._training = Training(
            critics,
            [spec.optim for spec in specs],
            projections=build_projections(spec),
            steps=spec.steps,
            compiled=compiled,
        )
        self._device = device
        self._precision = training_precision(spec.precision, device)
        self._distribs = distribs
        self._generators = [
            Generator(device).manual_seed(stream_seed(seed, "training")) for seed in seeds
        ]
        self._drawn = torch.empty(0)
        # Training minimizes the second sample's mean minus the first's, whose gradient is constant.
        signs = torch.tensor([-1.0, 1.0], device=device).repeat_interleave(spec.batch_size)
        self._signed_means = signs.unsqueeze(1) / spec.batch_size
        self._starts: list[Tensor] = []  # of generators, before they drew the samples of now
        self._used = 0
        self._seconds = [0.0] * len(specs)
        self._steps = [0] * len(specs)
        self._taken = 0
        self._saved = time.perf_counter()
        self._told = report
        self._curves: list[list[tuple[int, dict[str, float]]]] = [[] for _ in specs]

    @property
    def alive(self) -> list[int]:
        """Trials that have not diverged."""
        return self._training.alive

    def train(self, watchers: Sequence[Watcher], until: int, files: Sequence[Path]) -> None:
        """Take all steps up to one, or as many as any critic can; checkpoints go into the files."""
        rows = 2 * self._spec.batch_size * len(self.alive)
        with fast_products(rows * self._training.replicas.largest_weight):
            self._train(watchers, until, files)

    def _train(self, watchers: Sequence[Watcher], until: int, files: Sequence[Path]) -> None:
        recent = torch.zeros(len(self.alive), *self._signed_means.shape, device=self._device)
        if not self._taken:
            watch(watchers, self._training, 0)
        since, clock = self._taken, time.perf_counter()
        for step, batch in zip(range(since + 1, until + 1), self._batches(), strict=False):
            self._start_epoch(step)
            recent += self._step(batch)
            clock += watch(watchers, self._training, step)
            if step % self._spec.log_every and step < self._spec.steps:
                continue
            duals = (-(recent * self._signed_means).sum(dim=(1, 2)) / (step - since)).tolist()
            since, before, clock = step, clock, time.perf_counter()
            self._taken = step
            for i, dual in zip(self.alive, duals, strict=True):
                self._seconds[i] += (clock - before) / len(self.alive)
                self._steps[i] = step
                if math.isfinite(dual):
                    self.report(i, step, {"train_dual": dual})
            self._keep([math.isfinite(dual) for dual in duals])
            if not self.alive:
                break
            recent = torch.zeros_like(recent[: len(self.alive)])
            if files and clock - self._saved > _CHECKPOINT_SECONDS:
                self.save(files)
                self._saved = clock = time.perf_counter()

    def report(self, index: int, step: int, metrics: Mapping[str, float]) -> None:
        """Add a point to a trial's curve."""
        self._curves[index].append((step, dict(metrics)))
        self._told(index, step, metrics)

    def save(self, files: Sequence[Path]) -> int:
        """Keep what is needed to go on from this point of the curve; returns its step."""
        for position, index in enumerate(self.alive):
            tensors, numbers = self._training.state(position)
            values = {
                "training": numbers,
                PAUSED_AT: self._taken,
                "used": self._used,
                "seconds": self._seconds[index],
                "curve": self._curves[index],
            }
            tensors = {**tensors, "generator": self._starts[position]}
            save_state(files[index], tensors, values)
        return self._taken

    def resume(self, files: Sequence[Path], until: int) -> bool:
        """Go on from where all have paused; False if they do not fit, and no more can be done here.

        Args:
            files: Their checkpoints.
            until: Where they pause next; one that was cut off may have come further.

        Raises:
            TrialError: If they have paused at different steps: each must go on alone.
        """
        states = [state for file in files if (state := load_state(file)) is not None]
        if not states:
            return True
        steps = {values.get(PAUSED_AT) for _, values in states}
        if len(states) < len(self.alive) or len(steps) > 1:
            raise TrialError("Trials that have paused at different steps cannot go on together.")
        try:
            self._training.load(*((tensors, values["training"]) for tensors, values in states))
            for generator, (tensors, _) in zip(self._generators, states, strict=True):
                generator.set_state(tensors["generator"])
            _, first = states[0]
            self._taken, self._used = first[PAUSED_AT], first["used"]
            if self._taken > until:
                return False
            # Nothing is drawn before it pauses again if it was cut off just after this was kept.
            self._starts = [tensors["generator"] for tensors, _ in states]
            self._steps = [self._taken] * len(states)
            self._seconds = [values["seconds"] for _, values in states]
            curves = [values["curve"] for _, values in states]
        except (KeyError, RuntimeError, TypeError, ValueError):  # of another version of this code
            return False
        for index, curve in enumerate(curves):
            for step, metrics in curve:
                self.report(index, step, metrics)
        return True

    def critic(self, index: int) -> nn.Module:
        """A trial's critic as it is now, or was when it diverged."""
        return self._training.model(index)

    def cost(self, index: int) -> dict[str, float]:
        """What training a trial has cost; critics in training at the same time share it."""
        seconds = self._seconds[index]
        return {"train_seconds": seconds, "steps_per_second": self._steps[index] / seconds}

    def _step(self, batch: Tensor) -> Tensor:
        """Update every critic once; what they said of the batch before."""
        # One forward for both samples: effective weights are computed once per step.
        with self._precision:
            values = self._training(batch)
        self._training.update(values, self._signed_means.expand_as(values))
        return values.detach()

    def _start_epoch(self, step: int) -> None:
        length = self._spec.epoch_steps
        if length is not None and (step - 1) % length == 0:
            self._training.start_epoch((step - 1) // length)

    def _batches(self) -> Iterator[Tensor]:
        """Samples of both distributions for each critic, one batch after the other."""
        spec = self._spec
        numbers = 2 * spec.batch_size * spec.distrib1.size
        steps = max(1, min(_MOST_STEPS_AT_ONCE, _NUMBERS_AT_ONCE // numbers))
        while True:
            self._starts = [generator.get_state() for generator in self._generators]
            self._drawn = torch.stack([self._draw(steps, g) for g in self._generators])
            for k in range(self._used, steps):
                self._used = k + 1
                yield self._drawn[:, k]
            self._used = 0

    def _draw(self, steps: int, generator: Generator) -> Tensor:
        n = self._spec.batch_size
        samples = [d.sample(steps * n, generator).unflatten(0, (steps, n)) for d in self._distribs]
        return torch.cat(samples, dim=1)

    def _keep(self, finite: Sequence[bool]) -> None:
        kept = self._training.keep(finite)
        if kept:
            self._generators = [self._generators[position] for position in kept]
            self._starts = [self._starts[position] for position in kept]
            self._drawn = self._drawn[kept]
