"""Seconds of an epoch of 60,000 images of 28 × 28 pixels on one core, beside the original's."""

import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.measurement import Measurement
from benchmarks.original_gan import BATCH, CRITIC_STEPS, OriginalGan
from lnets.specs.gan import GanSpec, GanType
from lnets.tasks.files import NO_FILES, TrialFiles
from lnets.tasks.run import run_trials

ITERATIONS = 60_000 // BATCH
TYPES: tuple[GanType, ...] = ("WGAN", "WGAN_GP", "LWGAN")
ROUNDS = 3
# Passes of ours over the 2,500 digits that it is trained on, and what the original does meanwhile.
EPOCHS = 2
ORIGINAL_SECONDS = 5.0


def measure() -> list[Measurement]:
    """Medians over rounds that alternate, extrapolated from fewer iterations to an epoch.

    Ours is the whole task: the curve, a grid of images, a checkpoint, and the certificate.
    """
    torch.set_num_threads(1)
    found = []
    for gan_type in TYPES:
        with tempfile.TemporaryDirectory() as folder:
            original = OriginalGan(gan_type, Path(folder))
            rounds = [(_ours(gan_type), _originals(original)) for _ in range(ROUNDS)]
        ours, baseline = (statistics.median(times) for times in zip(*rounds, strict=True))
        found.append(Measurement("gan", f"{gan_type}, epoch of 60,000 images", ours, baseline, "s"))
        print(f"  {found[-1]}", flush=True)
    return found


def _ours(gan_type: GanType) -> float:
    experiment = GanSpec.model_validate(
        {
            "task": "gan",
            "gan_type": gan_type,
            "data": {"dataset": "mnist_5k"},
            "optim": {"type": "adam", "lr": 2e-4, "betas": (0.5, 0.999)},
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "critic_steps": CRITIC_STEPS,
            "sample_every": EPOCHS,
            "checkpoint_every": EPOCHS,
            "quality": None,
        }
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = TrialFiles(NO_FILES.weights, folder / "checkpoint.safetensors", [folder])
        start = time.perf_counter()
        (ended,) = run_trials(
            [experiment], [0], device="cpu", threads=1, report=lambda *_: None, files=files
        )
        seconds = time.perf_counter() - start
    if ended.status != "completed":
        raise RuntimeError(f"A GAN must not diverge, got {ended}.")
    beside = seconds - ended.metrics["train_seconds"]
    return ITERATIONS / ended.metrics["steps_per_second"] + beside


def _originals(gan: OriginalGan) -> float:
    """As many iterations as fill a turn, the generator's share of them included."""
    real = torch.rand(BATCH, 1, 28, 28)
    count, start, seconds = 0, time.perf_counter(), 0.0
    while seconds < ORIGINAL_SECONDS:
        for _ in range(CRITIC_STEPS):
            gan.step(real)
        count += CRITIC_STEPS
        seconds = time.perf_counter() - start
    return ITERATIONS * seconds / count
