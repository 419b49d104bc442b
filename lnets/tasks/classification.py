"""Train classifiers of images, then certify what they say of images that they have not seen."""

import functools
import math
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

from lnets.build import build_classifier, build_data, build_loss, build_projections, iterate_
from lnets.data.images import ImageSplits
from lnets.nn.jacobian import SpectralJacobianPenalty
from lnets.specs.classification import ClassificationSpec
from lnets.tasks import processes
from lnets.tasks.adversarial import TrainingAttack
from lnets.tasks.files import TrialFiles, load_state, load_weights, save_state
from lnets.tasks.outcome import PAUSED_AT, Outcome, Report, evaluated
from lnets.tasks.products import fast_products, training_precision
from lnets.tasks.selection import Selection
from lnets.tasks.spectra import SingularValues
from lnets.tasks.streams import stream_seed
from lnets.tasks.testing import metrics_of_tests
from lnets.tasks.training import Training, is_finite
from lnets.tasks.watching import watch


def train(
    specs: Sequence[ClassificationSpec],
    seeds: Sequence[int],
    *,
    device: torch.device,
    report: Report,
    compiled: bool,
    files: TrialFiles,
    until: int | None = None,
) -> list[Outcome]:
    """Train classifiers side by side, then evaluate them on the test images.

    Args:
        specs: The experiment of each trial; they differ in learning rate, weight decay and
            gradient clipping only.
        seeds: Of each trial's weights, and the order and augmentation of its images.
        device: Where to train and evaluate.
        report: Called for each trial every `log_every` steps with `train_loss`, after every epoch
            with figures of validation, and with singular values, if they are asked for.
        compiled: Whether classifiers are compiled before they are trained.
        files: Weights to start from, the checkpoint of a single trial, and where figures' data go.
        until: Epoch after which a single trial pauses; None goes to the end.

    Raises:
        LnetsError: If the data, or weights to start from, are not there or do not fit.
    """
    data = build_data(specs[0].data, device)
    run = _Run(specs, seeds, data, device, report, compiled, files)
    if not run.resume():
        run = _Run(specs, seeds, data, device, report, compiled, files)
    run.train(until)
    return [] if processes.rank() else [run.outcome(i) for i in range(len(specs))]


class _Run:
    """Classifiers in training, fewer as some diverge."""

    def __init__(
        self,
        specs: Sequence[ClassificationSpec],
        seeds: Sequence[int],
        data: ImageSplits,
        device: torch.device,
        report: Report,
        compiled: bool,
        files: TrialFiles,
    ) -> None:
        self._spec = spec = specs[0]
        self._optims = [spec.optim for spec in specs]
        self._seeds, self._data, self._device, self._told = seeds, data, device, report
        models = []
        for seed in seeds:
            torch.manual_seed(seed)
            model = build_classifier(
                spec.model, spec.normalization, spec.data.image_shape, faithful=spec.faithful
            )
            if spec.init_from is not None:
                load_weights(model, files.weights(spec.init_from))
            models.append(model.to(device))
        self._loss = build_loss(spec.loss, spec.lipschitz_constant())
        self._attack = TrainingAttack(spec.adversarial, spec.lipschitz_constant())
        self._penalty = SpectralJacobianPenalty(spec.data.num_classes).to(device)
        self._precision = training_precision(spec.precision, device)
        self._batch = min(spec.batch_size, len(data.train))
        self._steps_per_epoch = len(data.train) // self._batch
        self._checkpoint, self._folders = files.checkpoint, files.folders
        steps = spec.epochs * self._steps_per_epoch
        self._begin = functools.partial(
            Training, projections=build_projections(spec), compiled=compiled
        )
        self._training = self._begin(models, self._optims, steps=steps)
        self._watchers = [SingularValues(spec.singular_values, steps, files.folders, self._report)]
        self._selection = Selection(spec, data.validation, self._loss)
        self._curve: list[tuple[int, dict[str, float]]] = []
        self._epoch, self._finetuning, self._paused = 0, False, False
        self._seconds, self._steps = [0.0] * len(specs), [0] * len(specs)
        # Where seconds decide, they are the first process's.
        clock = time.perf_counter
        self._now = clock if spec.max_train_seconds is None else lambda: processes.of_first(clock)

    @property
    def alive(self) -> list[int]:
        """Trials that have not diverged, all their numbers being finite."""
        return self._training.alive

    def train(self, until: int | None) -> None:
        """All epochs up to one, or as many as time, patience and finite numbers allow."""
        rows = self._batch * len(self.alive) // processes.count()
        with fast_products(rows * self._training.replicas.largest_weight):
            if not self._steps[0]:
                watch(self._watchers, self._training, 0, self._now)
            while not self._finetuning and self._goes_on() and self._epoch != until:
                self._train_epoch()
            self._paused = not self._finetuning and self._goes_on()
            if self._paused or self._spec.finetune is None or not self.alive:
                return
            if not self._finetuning:
                self._begin_finetuning()
            while self._epoch < self._spec.finetune.epochs and self.alive:
                self._train_epoch()

    def resume(self) -> bool:
        """Go on from the checkpoint; False if it does not fit, and no more can be done here."""
        file = self._checkpoint
        state = None if file is None else processes.of_first(load_state, file)
        if state is None:
            return True
        tensors, values = state
        try:
            if values["finetuning"]:
                self._begin_finetuning()
            self._training.load((tensors, values["training"]))
            self._selection.load(tensors, values, self._training.model(0))
            self._penalty.u.copy_(tensors["penalty"])
            self._epoch, self._seconds = values[PAUSED_AT], values["seconds"]
            self._steps, self._curve = values["steps"], values["curve"]
        except (KeyError, RuntimeError, TypeError, ValueError):  # of another version of this code
            return False
        for step, metrics in self._curve:
            self._told(0, step, metrics)
        return True

    def outcome(self, index: int) -> Outcome:
        """A trial's classifier as it is kept, or was when it diverged, and its metrics."""
        spec, seconds = self._spec, self._seconds[index]
        speed = self._steps[index] / seconds if seconds else 0.0
        # Classifiers in training at the same time share the time.
        cost = {"train_seconds": seconds, "steps_per_second": speed}
        model, figures = self._result(index)
        if index not in self.alive:
            return Outcome("diverged", cost, model)
        seed, folder = self._seeds[index], self._folders[index] if self._folders else None
        found = metrics_of_tests(spec, model, self._data.test, self._loss, seed, folder)
        if not all(map(math.isfinite, found.values())):
            return Outcome("diverged", cost, model)
        return evaluated(found | figures | cost, model, self._epoch if self._paused else None)

    def _result(self, index: int) -> tuple[nn.Module, dict[str, float]]:
        """A trial's classifier, and what validation said of it."""
        kept = self._selection.kept.get(index)
        if index not in self.alive or kept is None:
            return self._training.model(index), {}
        return kept.model, kept.figures

    def _begin_finetuning(self) -> None:
        finetune = self._spec.finetune
        assert finetune is not None
        self._finetuning, self._epoch = True, 0
        models = [self._result(i)[0].train() for i in self.alive]
        for model in models:
            iterate_(model, finetune)
        changes = {"lr": finetune.lr, "schedule": None}
        optims = [self._optims[i].model_copy(update=changes) for i in self.alive]
        steps = finetune.epochs * self._steps_per_epoch
        before, self._training = self._training, self._begin(models, optims, steps=steps)
        self._training.alive, self._training.diverged = before.alive, before.diverged
        self._selection.begin()

    def _goes_on(self) -> bool:
        return (
            bool(self.alive)
            and self._epoch < self._spec.epochs
            and not self._late(0.0)
            and not self._selection.out_of_patience
        )

    def _late(self, more: float) -> bool:
        """Whether time is up when the present epoch has taken so many seconds."""
        limit = None if self._finetuning else self._spec.max_train_seconds
        return limit is not None and self._seconds[self.alive[0]] + more >= limit

    def _train_epoch(self) -> None:
        # Every epoch has streams of its own, so that training can go on from any of them.
        epoch = self._epoch + self._finetuning * self._spec.epochs
        # Of dropout, which several networks in training at once never have.
        torch.manual_seed(stream_seed(self._seeds[self.alive[0]], "dropout", epoch))
        seeds = [stream_seed(self._seeds[i], "images", epoch) for i in self.alive]
        generators = [Generator(self._device).manual_seed(seed) for seed in seeds]
        count = len(self._data.train)
        orders = [torch.randperm(count, generator=g, device=self._device) for g in generators]
        clock, recent, since = self._now(), torch.zeros(len(orders)), 0
        self._training.start_epoch(self._epoch)
        for k in range(self._steps_per_epoch):
            batch = slice(k * self._batch, (k + 1) * self._batch)
            self._follow_time(self._now() - clock)
            recent = recent.to(self._device) + self._update([o[batch] for o in orders], generators)
            since += 1
            step = self._steps[self.alive[0]] + since
            clock += watch(self._watchers, self._training, step, self._now)
            late = self._late(self._now() - clock)
            if not late and (k + 1) % self._spec.log_every and k + 1 < self._steps_per_epoch:
                continue
            processes.sum_(recent)
            losses = (recent / since).tolist()
            before, clock = clock, self._now()
            kept = self._account(losses, since, clock - before)
            if kept is not None:
                orders = [orders[i] for i in kept]
                generators = [generators[i] for i in kept]
            recent, since = torch.zeros(len(orders)), 0
            if late or not orders:
                break
        self._epoch += 1
        self._validate()
        self._save()

    def _update(self, index: Sequence[Tensor], generators: Sequence[Generator]) -> Tensor:
        """Change every classifier once; this process's share of its loss on its batch before."""
        batches = [self._data.training_batch(i, g) for i, g in zip(index, generators, strict=True)]
        share = processes.share(self._batch)
        x, labels = (torch.stack(parts) for parts in zip(*batches, strict=True))
        starts = self._attack.starts(x, generators)
        x, labels, starts = (part[:, share] for part in (x, labels, starts))
        with self._precision:
            x = self._attack(self._training.replicas, x, labels, starts)
            logits = self._training(x)
        losses = self._loss(logits, labels).sum(dim=-1) / self._batch
        if self._spec.spectral_jacobian:
            network = self._training.replicas.network
            losses = losses + self._spec.spectral_jacobian * self._penalty(network, x[0])
        self._training.update(losses, torch.ones_like(losses))
        return losses.detach()

    def _account(self, losses: Sequence[float], steps: int, seconds: float) -> list[int] | None:
        """Book steps, and go on without classifiers whose loss is not finite."""
        for i, loss in zip(self.alive, losses, strict=True):
            self._steps[i] += steps
            self._seconds[i] += seconds / len(losses)
            if math.isfinite(loss):
                self._report(i, self._steps[i], {"train_loss": loss})
        return self._training.keep([math.isfinite(loss) for loss in losses])

    def _follow_time(self, seconds: float) -> None:
        """Let the learning rate fall by the share of limited time that has passed."""
        limit, schedule = self._spec.max_train_seconds, self._spec.optim.schedule
        if limit is None or schedule is None or self._finetuning:
            return
        share = (self._seconds[self.alive[0]] + seconds) / limit
        share = max(share, self._steps[self.alive[0]] / (self._spec.epochs * self._steps_per_epoch))
        for group in self._training.optimizer.param_groups:
            group["lr"] = self._spec.optim.lr * max(0.0, 1 - share)

    def _validate(self) -> None:
        """Keep weights where they are to be kept, and go on without those that are not finite."""
        finite = []
        for i in self.alive:
            model = self._training.model(i)
            finite.append(is_finite(model))
            figures = self._selection.consider(i, self._epoch, model) if finite[-1] else {}
            finite[-1] &= all(map(math.isfinite, figures.values()))
            if figures and finite[-1]:
                self._report(i, self._steps[i], figures)
        self._training.keep(finite)

    def _report(self, index: int, step: int, metrics: Mapping[str, float]) -> None:
        self._curve.append((step, dict(metrics)))
        self._told(index, step, metrics)

    def _save(self) -> None:
        if self._checkpoint is None or not self.alive or processes.rank():
            return
        tensors, numbers = self._training.state()
        kept, values = self._selection.state()
        values |= {
            "training": numbers,
            PAUSED_AT: self._epoch,
            "finetuning": self._finetuning,
            "seconds": self._seconds,
            "steps": self._steps,
            "curve": self._curve,
        }
        save_state(self._checkpoint, tensors | kept | {"penalty": self._penalty.u}, values)
