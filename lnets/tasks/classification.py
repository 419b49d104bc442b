"""Train classifiers of images, then certify what they say of images that they have not seen."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

from lnets.build import build_classifier, build_data, build_loss
from lnets.data.images import ImageSplits
from lnets.nn import BjorckLinear
from lnets.nn.jacobian import SpectralJacobianPenalty
from lnets.specs.classification import ClassificationSpec, epsilon_value
from lnets.specs.optim import OptimSpec
from lnets.tasks.certified import certified_accuracy, evaluate, validate
from lnets.tasks.files import TrialFiles, load_state, load_weights, save_state
from lnets.tasks.outcome import Outcome, Report
from lnets.tasks.products import fast_products, training_precision
from lnets.tasks.streams import stream_seed
from lnets.tasks.training import Training

Named = TypeVar("Named")


def train(
    specs: Sequence[ClassificationSpec],
    seeds: Sequence[int],
    *,
    device: torch.device,
    report: Report,
    files: TrialFiles,
) -> list[Outcome]:
    """Train classifiers side by side, then evaluate them on the test images.

    Args:
        specs: The experiment of each trial; they differ in learning rate, weight decay and
            gradient clipping only.
        seeds: Of each trial's weights, and the order and augmentation of its images.
        device: Where to train and evaluate.
        report: Called for each trial every `log_every` steps with `train_loss`, and after every
            epoch with figures of validation.
        files: Where weights to start from are, and where a single trial that was cut off goes on.

    Raises:
        LnetsError: If the data, or weights to start from, are not there or do not fit.
    """
    spec = specs[0]
    data = build_data(spec.data, device)
    run = _Run(specs, seeds, data, device, files)
    run.train(report)
    loss = build_loss(spec.loss, spec.lipschitz_constant())
    epsilons = {str(epsilon): epsilon_value(epsilon) for epsilon in spec.certificate.epsilons}
    outcomes = []
    for i in range(len(specs)):
        model, figures = run.result(i)
        finite = all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
        if finite and i in run.alive:
            norm = spec.certificate.norm
            metrics = evaluate(model, data.test, loss, norm=norm, epsilons=epsilons)
            outcomes.append(Outcome("completed", metrics | figures | run.cost(i), model))
        else:
            outcomes.append(Outcome("diverged", run.cost(i), model))
    return outcomes


@dataclass(frozen=True)
class _Kept:
    """Weights of the end of an epoch, and what validation said of them."""

    score: float
    figures: dict[str, float]
    model: nn.Module


class _Run:
    """Classifiers in training, fewer as some diverge."""

    def __init__(
        self,
        specs: Sequence[ClassificationSpec],
        seeds: Sequence[int],
        data: ImageSplits,
        device: torch.device,
        files: TrialFiles,
    ) -> None:
        self._spec = spec = specs[0]
        self._optims = [spec.optim for spec in specs]
        self._seeds, self._data, self._device = seeds, data, device
        models = []
        for seed in seeds:
            torch.manual_seed(seed)
            model = build_classifier(spec.model, spec.normalization, spec.data.input_shape)
            if spec.init_from is not None:
                load_weights(model, files.weights(spec.init_from))
            models.append(model.to(device))
        self._loss = build_loss(spec.loss, spec.lipschitz_constant())
        self._penalty = SpectralJacobianPenalty(spec.data.num_classes).to(device)
        self._precision = training_precision(spec.precision, device)
        self._batch = min(spec.batch_size, len(data.train))
        self._steps_per_epoch = len(data.train) // self._batch
        self._training = self._begin(models, self._optims, spec.epochs)
        self._checkpoint = files.checkpoint
        self._kept: dict[int, _Kept] = {}
        self._epoch, self._finetuning, self._waited = 0, False, 0
        self._seconds, self._steps = [0.0] * len(specs), [0] * len(specs)

    @property
    def alive(self) -> list[int]:
        """Trials that have not diverged."""
        return self._training.alive

    def train(self, report: Report) -> None:
        """All epochs, or as many as time, patience and finite numbers allow."""
        spec = self._spec
        rows = self._batch * len(self.alive)
        with fast_products(rows * self._training.replicas.largest_weight):
            self._resume()
            while not self._finetuning and self._goes_on():
                self._train_epoch(report)
            if spec.finetune is None or not self.alive:
                return
            if not self._finetuning:
                self._begin_finetuning()
            while self._epoch < spec.finetune.epochs and self.alive:
                self._train_epoch(report)

    def result(self, index: int) -> tuple[nn.Module, dict[str, float]]:
        """A trial's classifier, as it is kept or was when it diverged, and what validation said."""
        kept = self._kept.get(index)
        if index not in self.alive or kept is None:
            return self._training.model(index), {}
        return kept.model, kept.figures

    def cost(self, index: int) -> dict[str, float]:
        """What training a trial has cost; classifiers in training at the same time share it."""
        seconds = self._seconds[index]
        speed = self._steps[index] / seconds if seconds else 0.0
        return {"train_seconds": seconds, "steps_per_second": speed}

    def _begin(
        self, models: Sequence[nn.Module], optims: Sequence[OptimSpec], epochs: int
    ) -> Training:
        return Training(
            models,
            optims,
            per_update_proj=self._spec.per_update_proj,
            per_epoch_proj=self._spec.per_epoch_proj,
            steps=epochs * self._steps_per_epoch,
        )

    def _begin_finetuning(self) -> None:
        finetune = self._spec.finetune
        assert finetune is not None
        self._finetuning, self._epoch, self._waited = True, 0, 0
        models = [self.result(i)[0].train() for i in self.alive]
        for layer in (layer for model in models for layer in model.modules()):
            if isinstance(layer, BjorckLinear):
                layer.bjorck_iter = finetune.bjorck_iter
        changes = {"lr": finetune.lr, "schedule": None}
        optims = [self._optims[i].model_copy(update=changes) for i in self.alive]
        before, self._training = self._training, self._begin(models, optims, finetune.epochs)
        self._training.alive, self._training.diverged = before.alive, before.diverged
        self._kept.clear()

    def _goes_on(self) -> bool:
        spec, patience = self._spec, None
        if spec.selection is not None:
            patience = spec.selection.patience
        return (
            bool(self.alive)
            and self._epoch < spec.epochs
            and not self._late(0.0)
            and (patience is None or self._waited < patience)
        )

    def _late(self, more: float) -> bool:
        """Whether time is up when the present epoch has taken so many seconds."""
        limit = None if self._finetuning else self._spec.max_train_seconds
        return limit is not None and self._seconds[self.alive[0]] + more >= limit

    def _train_epoch(self, report: Report) -> None:
        # Every epoch has streams of its own, so that training can go on from any of them.
        epoch = self._epoch + self._finetuning * self._spec.epochs
        seeds = [self._seeds[i] for i in self.alive]
        # Of dropout, which several networks in training at once never have.
        torch.manual_seed(stream_seed(seeds[0], "dropout", epoch))
        generators = [
            Generator(self._device).manual_seed(stream_seed(seed, "images", epoch))
            for seed in seeds
        ]
        count = len(self._data.train)
        orders = [torch.randperm(count, generator=g, device=self._device) for g in generators]
        clock, recent, since = time.perf_counter(), torch.zeros(len(orders)), 0
        self._training.start_epoch(self._epoch)
        for k in range(self._steps_per_epoch):
            batch = slice(k * self._batch, (k + 1) * self._batch)
            self._follow_time(time.perf_counter() - clock)
            recent = recent.to(self._device) + self._update([o[batch] for o in orders], generators)
            since += 1
            late = self._late(time.perf_counter() - clock)
            if not late and (k + 1) % self._spec.log_every and k + 1 < self._steps_per_epoch:
                continue
            losses = (recent / since).tolist()
            before, clock = clock, time.perf_counter()
            kept = self._account(losses, since, clock - before, report)
            if kept is not None:
                orders = [orders[i] for i in kept]
                generators = [generators[i] for i in kept]
            recent, since = torch.zeros(len(orders)), 0
            if late or not orders:
                break
        self._epoch += 1
        self._validate(report)
        self._save()

    def _update(self, index: Sequence[Tensor], generators: Sequence[Generator]) -> Tensor:
        """Change every classifier once; its loss on its batch before."""
        batches = [self._data.training_batch(i, g) for i, g in zip(index, generators, strict=True)]
        x, labels = (torch.stack(parts) for parts in zip(*batches, strict=True))
        with self._precision:
            logits = self._training(x)
        losses = self._loss(logits, labels).mean(dim=-1)
        if self._spec.spectral_jacobian:
            network = self._training.replicas.network
            losses = losses + self._spec.spectral_jacobian * self._penalty(network, x[0])
        self._training.update(losses, torch.ones_like(losses))
        return losses.detach()

    def _account(
        self, losses: Sequence[float], steps: int, seconds: float, report: Report
    ) -> list[int] | None:
        """Book steps, and go on without classifiers whose loss is not finite."""
        for i, loss in zip(self.alive, losses, strict=True):
            self._steps[i] += steps
            self._seconds[i] += seconds / len(losses)
            if math.isfinite(loss):
                report(i, self._steps[i], {"train_loss": loss})
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

    def _validate(self, report: Report) -> None:
        """Keep the weights of this epoch where they are to be kept, by validation images only."""
        images, selection = self._data.validation, self._spec.selection
        if not len(images):
            return
        self._waited += 1
        for i in self.alive:
            model = self._training.model(i).eval()
            figures = validate(model, images, self._loss) | {"epoch": float(self._epoch)}
            if selection is not None and selection.metric not in figures:
                figures[selection.metric] = self._certified(model)
            report(i, self._steps[i], figures)
            score = 0.0 if selection is None else figures[selection.metric]
            if selection is not None and selection.metric == "validation_loss":
                score = -score
            if selection is None or i not in self._kept or score > self._kept[i].score:
                self._kept[i] = _Kept(score, figures, model)
                self._waited = 0

    def _certified(self, model: nn.Module) -> float:
        certificate = self._spec.certificate
        epsilon = epsilon_value(certificate.epsilons[0])
        images = self._data.validation
        return certified_accuracy(model, images, norm=certificate.norm, epsilon=epsilon)

    def _save(self) -> None:
        if self._checkpoint is None or not self.alive:
            return
        tensors, numbers = self._training.state()
        tensors = tensors | {"penalty": self._penalty.u}
        numbers = numbers | {
            "epoch": self._epoch,
            "finetuning": self._finetuning,
            "waited": self._waited,
            "seconds": self._seconds[0],
            "steps": self._steps[0],
        }
        if 0 in self._kept:
            kept = self._kept[0]
            tensors |= {f"kept.{name}": t for name, t in kept.model.state_dict().items()}
            numbers |= {"score": kept.score} | {f"kept.{k}": v for k, v in kept.figures.items()}
        save_state(self._checkpoint, tensors, numbers)

    def _resume(self) -> None:
        if self._checkpoint is None or not self._checkpoint.exists():
            return
        tensors, numbers = load_state(self._checkpoint)
        if numbers["finetuning"]:
            self._begin_finetuning()
        self._training.load(tensors, numbers)
        self._penalty.u.copy_(tensors["penalty"])
        self._epoch, self._waited = int(numbers["epoch"]), int(numbers["waited"])
        self._seconds, self._steps = [numbers["seconds"]], [int(numbers["steps"])]
        if "score" in numbers:
            model = self._training.model(0).eval()
            model.load_state_dict(_below("kept.", tensors))
            self._kept[0] = _Kept(numbers["score"], _below("kept.", numbers), model)


def _below(prefix: str, named: dict[str, Named]) -> dict[str, Named]:
    """What is named with a prefix, without it."""
    return {k.removeprefix(prefix): value for k, value in named.items() if k.startswith(prefix)}
