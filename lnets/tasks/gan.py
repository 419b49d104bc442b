"""Train a generator of images against a critic, then bound how far it is from the data."""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from lnets.build import build_gan_images, build_gan_samples
from lnets.build.data import SampleImages
from lnets.data.distributions import Distribution, ImageSamples
from lnets.nn import certify
from lnets.specs.gan import GanSpec
from lnets.tasks import wasserstein
from lnets.tasks.adversaries import Adversaries
from lnets.tasks.files import NO_FILES, TrialFiles, load_state, save_state
from lnets.tasks.gan_features import Features
from lnets.tasks.gan_pictures import Pictures
from lnets.tasks.outcome import PAUSED_AT, Outcome, Report, evaluated
from lnets.tasks.products import fast_products
from lnets.tasks.streams import stream_seed


def train(
    specs: Sequence[GanSpec],
    seeds: Sequence[int],
    *,
    device: torch.device,
    report: Report,
    compiled: bool,
    files: TrialFiles,
    until: int | None = None,
) -> list[Outcome]:
    """Train a GAN, then bound the distance of its generator from images held out.

    Args:
        specs: The experiment; one, since GANs are trained one by one.
        seeds: Of weights, noise, the order of images, and the critic of `quality`.
        device: Where to train.
        report: Called every `log_every` updates of the critic with `critic_loss` and
            `generator_loss`, and for LWGAN at checkpoints with `lipschitz_upper_bound`.
        compiled: Whether the networks are compiled before they are trained.
        files: Where pictures go, from where training that was cut off goes on, and weights of the
            classifier of `features`.
        until: Epoch after which training pauses; None goes to the end.

    Raises:
        LnetsError: If the data, or the classifier, are not there or do not fit.
    """
    (spec,), (seed,) = specs, seeds
    images = build_gan_images(spec.data, device)
    run = _Run(spec, seed, images, device, report, compiled, files)
    if not run.resume():
        run = _Run(spec, seed, images, device, report, compiled, files)
    run.train(until)
    return [run.outcome()]


class _Losses(NamedTuple):
    """Of single updates, since the last point of the curve."""

    critic: list[Tensor]
    generator: list[Tensor]

    def means(self) -> dict[str, float]:
        """Those that there are."""
        return {f"{k}_loss": float(torch.cat(v).mean()) for k, v in self._asdict().items() if v}


class _Run:
    """A GAN in training."""

    def __init__(
        self,
        spec: GanSpec,
        seed: int,
        images: SampleImages,
        device: torch.device,
        report: Report,
        compiled: bool,
        files: TrialFiles,
    ) -> None:
        self._spec, self._seed, self._told = spec, seed, report
        self._images, self._held_out = images
        self._device, self._checkpoint = device, files.checkpoint
        self._batch = min(spec.batch_size, len(self._images))
        self._steps_per_epoch = len(self._images) // self._batch
        steps = spec.epochs * self._steps_per_epoch
        self._gan = Adversaries(spec, seed, steps, device, compiled=compiled)
        self._pictures = Pictures(files.folders, spec.generator.noise_dim, seed, device)
        self._features = None
        if spec.features is not None:
            self._features = Features(spec, files.weights(spec.features), device)
        self._curve: list[tuple[int, dict[str, float]]] = []
        self._epoch, self._step, self._seconds = 0, 0, 0.0
        self._certified: dict[str, float] = {}
        self._diverged, self._paused = False, False

    def train(self, until: int | None) -> None:
        """All epochs up to one, or as many as time and finite numbers allow."""
        trainings = (self._gan.generator, self._gan.critic)
        largest = max(training.replicas.largest_weight for training in trainings)
        with fast_products(2 * self._batch * largest):
            while not self._ended() and self._epoch != until:
                self._train_epoch()
                self._look()
        self._paused = not self._ended()
        if not self._paused:
            self._pictures.animate()

    def resume(self) -> bool:
        """Go on from the checkpoint; False if it does not fit, and no more can be done here."""
        state = None if self._checkpoint is None else load_state(self._checkpoint)
        if state is None:
            return True
        tensors, values = state
        try:
            self._gan.load(tensors, values["gan"])
            self._epoch, self._step = values[PAUSED_AT], values["step"]
            self._seconds, self._curve = values["seconds"], values["curve"]
            self._certified = values["certified"]
        except (KeyError, RuntimeError, TypeError, ValueError):  # of another version of this code
            return False
        for step, metrics in self._curve:
            self._told(0, step, metrics)
        return True

    def outcome(self) -> Outcome:
        """Both networks, and how good the generator is."""
        cost = {
            "train_seconds": self._seconds,
            "seconds_per_epoch": self._seconds * self._steps_per_epoch / self._step,
            "steps_per_second": self._step / self._seconds,
        }
        networks = self._gan.networks()
        quality = None if self._diverged else self._quality(networks["generator"])
        model = nn.ModuleDict(networks)
        if quality is None:
            return Outcome("diverged", cost, model)
        quality |= self._compare_features(networks["generator"])
        metrics = quality | self._certified | cost
        return evaluated(metrics, model, self._epoch if self._paused else None)

    def _ended(self) -> bool:
        return self._diverged or self._late(0.0) or self._epoch >= self._spec.epochs

    def _late(self, more: float) -> bool:
        """Whether time is up when the present epoch has taken so many seconds."""
        limit = self._spec.max_train_seconds
        return limit is not None and self._seconds + more >= limit

    def _train_epoch(self) -> None:
        # Every epoch has streams of its own, so that training can go on from any of them.
        torch.manual_seed(stream_seed(self._seed, "dropout", self._epoch))
        order, noise = (
            Generator(self._device).manual_seed(stream_seed(self._seed, stream, self._epoch))
            for stream in ("images", "noise")
        )
        count, n = len(self._images), self._steps_per_epoch
        batches = torch.randperm(count, generator=order, device=self._device).split(self._batch)
        self._gan.critic.start_epoch(self._epoch)
        self._epoch += 1
        clock, losses = time.perf_counter(), _Losses([], [])
        for k, batch in enumerate(batches[:n], start=1):
            losses.critic.append(self._gan.update_critic(self._images.pixels(batch), noise))
            self._step += 1
            # The original counts anew in every epoch.
            if (k if self._spec.faithful else self._step) % self._spec.critic_steps == 0:
                losses.generator.append(self._gan.update_generator(self._batch, noise))
            late = self._late(time.perf_counter() - clock)
            if self._step % self._spec.log_every and k < n and not late:
                continue
            metrics = losses.means()
            before, clock = clock, time.perf_counter()
            self._seconds += clock - before
            self._diverged = not all(map(math.isfinite, metrics.values()))
            if self._diverged:
                return
            self._report(metrics)
            losses = _Losses([], [])
            if late:
                return

    def _look(self) -> None:
        """See what an epoch has made of the networks, and keep it."""
        self._diverged |= not self._gan.finite()
        if self._diverged:
            return
        if self._due(self._spec.sample_every):
            self._pictures.draw(self._epoch, self._gan.networks()["generator"])
        if not self._due(self._spec.checkpoint_every):
            return
        if self._spec.gan_type == "LWGAN" and not self._spec.faithful:
            critic = self._gan.networks()["critic"]
            bound = certify(critic, self._spec.data.image_shape).lipschitz_upper_bound
            self._certified = {"lipschitz_upper_bound": bound}
            self._report(self._certified)
        self._save()

    def _due(self, every: int) -> bool:
        return self._epoch % every == 0 or self._ended()

    def _report(self, metrics: dict[str, float]) -> None:
        self._curve.append((self._step, metrics))
        self._told(0, self._step, metrics)

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        tensors, numbers = self._gan.state()
        values = {
            "gan": numbers,
            PAUSED_AT: self._epoch,
            "step": self._step,
            "seconds": self._seconds,
            "curve": self._curve,
            "certified": self._certified,
        }
        save_state(self._checkpoint, tensors, values)

    def _quality(self, generator: nn.Module) -> dict[str, float] | None:
        """Bounds on its distance from the data, if they are asked for; None if not finite."""
        experiment = self._spec.quality_experiment()
        if experiment is None:
            return {}
        (ended,) = wasserstein.train(
            [experiment],
            [stream_seed(self._seed, "quality")],
            device=self._device,
            report=lambda *_: None,
            compiled=False,
            files=NO_FILES,
            distribs=self._distribs(generator, flatten=len(experiment.distrib1.shape) == 1),
        )
        if ended.status != "completed":
            return None
        found = {f"quality_{name}": value for name, value in ended.metrics.items()}
        return {name: value for name, value in found.items() if name in self._spec.metrics}

    def _compare_features(self, generator: nn.Module) -> dict[str, float]:
        """Distances between what a classifier makes of both, if they are asked for."""
        if self._features is None:
            return {}
        draws = Generator(self._device).manual_seed(stream_seed(self._seed, "features"))
        return self._features.compare(*self._distribs(generator, flatten=False), draws)

    def _distribs(
        self, generator: nn.Module, *, flatten: bool
    ) -> tuple[Distribution, Distribution]:
        """Real and generated images."""
        real = ImageSamples(self._images, self._held_out, flatten=flatten)
        return real, build_gan_samples(self._spec, generator, flatten=flatten)
