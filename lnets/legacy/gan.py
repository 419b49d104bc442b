"""Configurations of GANs."""

from typing import Any

from lnets.legacy.fields import GanFields
from lnets.legacy.translation import Translation
from lnets.specs.data import DATASETS

_DATASETS = {
    "mnist": "mnist",
    "fashion-mnist": "fashion_mnist",
    "cifar10": "cifar10",
    "svhn": "svhn",
    "stl10": "stl10",
    "lsun-bed": "lsun_bed",
}
TRAIN_GAN: dict[str, Any] = {
    "seed": 0,
    "task": "gan",
    "output_root": "out/gan/LGANS",
    "exp_name": "LWGAN",
    "gan_type": "WGAN",
    "data_root": "data/LNets/gan",
    "dataset": "mnist",
    "epoch": 50,
    "batch_size": 64,
    "input_size": 28,
    "lrG": 0.0002,
    "lrD": 0.0002,
    "beta1": 0.5,
    "beta2": 0.999,
    "gpu_mode": False,
    "benchmark_mode": True,
}
"""The original's train_GAN.json, as far as anything reads it."""
_TYPES = ("WGAN", "WGAN_GP", "LWGAN")
_STANDARD = {"conv": {"type": "standard_conv2d"}, "linear": {"type": "standard"}}


def gan(t: Translation, fields: GanFields) -> dict[str, Any]:
    """The experiment, as data of a spec."""
    kind = t.one_of("gan_type", "GAN", fields.gan_type, dict.fromkeys(_TYPES, fields.gan_type))
    betas = (fields.beta1, fields.beta2)
    t.account.carry("lrG", "lrD", "beta1", "beta2", "epoch", "batch_size")
    data: dict[str, Any] = {"task": "gan", "gan_type": kind, "data": images_of(t, fields)}
    data["generator_optim"] = {"type": "adam", "lr": fields.lrG, "betas": betas}
    data["model"] = _critic(t, kind)
    data["optim"] = {"type": "adam", "lr": fields.lrD, "betas": betas}
    data |= {"epochs": fields.epoch, "batch_size": fields.batch_size}
    t.account.comment("model", "fixed in the original's code, like noise, clipping and penalty")
    t.account.ignore("nothing reads it", "split")
    if t.faithful:
        data["quality"] = None
        t.account.comment("quality", "it would prove a bound")
    else:
        _differences(t, kind)
    return data


def images_of(t: Translation, fields: GanFields) -> dict[str, Any]:
    """Its data set, and the size of the images where that can be chosen."""
    dataset = t.one_of("dataset", "data set of GANs", fields.dataset, _DATASETS)
    side = DATASETS[dataset].side
    t.account.carry("input_size")
    if side is None:
        return {"dataset": dataset, "image_size": fields.input_size}
    if fields.input_size != side:
        message = (
            f"must be {side} with {fields.dataset}, whose images are taken as they are, got "
            f"{fields.input_size}; add -o input_size={side}"
        )
        raise t.source.refusal("input_size", message)
    return {"dataset": dataset}


def _critic(t: Translation, kind: str) -> dict[str, Any]:
    data: dict[str, Any] = {"type": "infogan_discriminator", "output_dim": 1}
    if kind == "LWGAN":
        linear = {"type": "bjorck", "bjorck_iter": 12, "safe_scaling": t.faithful}
        conv = {"type": "bjorck_conv2d", "bjorck_iter": 20}
        return {**data, "activation": "maxmin", "conv": conv, "linear": linear}
    normalized = kind == "WGAN"
    return {**data, "activation": "leaky_relu", **_STANDARD, "batch_norm": normalized}


def _differences(t: Translation, kind: str) -> None:
    differs = t.account.differs
    differs.append("pixels are in [0, 1]; in the original in [−1, 1]")
    differs.append("the generator learns from noise of its own, not from the critic's last")
    if kind == "WGAN":
        differs.append("batch normalisation's own weights are not clipped")
    if kind == "WGAN_GP":
        differs.append(
            "the critic does not normalise batches, under which a penalty on gradients at single "
            "images means nothing"
        )
    if kind == "LWGAN":
        differs.append(
            "the critic is proven to be 1-Lipschitz and nearly reaches it; the original's was "
            "0.0001-Lipschitz in the beginning, to which its learning rate belongs"
        )
