"""Configurations of Wasserstein estimations."""

from typing import Any

from lnets.legacy.fields import DistribFields, DualFields, PlaneFields
from lnets.legacy.networks import fully_connected, fully_conv, projections
from lnets.legacy.optim import optimizer
from lnets.legacy.translation import Translation

GAN = "gan"
"""What the experiment calls the GAN that its samples are of."""
_NETWORKS = {"dual_fc": fully_connected, "dual_fully_conv": fully_conv}
_DISTRIBUTIONS = {"MultiSphericalShell": "shell", "GANSampler": GAN}
_FIGURES = {"contour": "contour", "contourf": "contourf", "plot_surface": "surface"}


def dual(t: Translation, fields: DualFields, images: dict[str, Any] | None) -> dict[str, Any]:
    """The experiment, as data of a spec.

    Args:
        t: What is translated.
        fields: The configuration.
        images: `dataset` and `image_size` of the GAN that samples are of; None without one.
    """
    epoch = t.required("optim.epoch_len", fields.optim.epoch_len)
    network = t.one_of("model.name", "critic", fields.model.name, _NETWORKS)
    data: dict[str, Any] = {"task": "wasserstein"}
    for name in ("distrib1", "distrib2"):
        data[name] = _distribution(t, name, getattr(fields, name), images)
    data["model"] = network(t, fields.model)
    if fields.model.name == "dual_fully_conv":
        t.account.comment("model.type", "its input is one channel; there, distrib1.dim of them")
    data["optim"] = optimizer(t, fields.optim, epoch)
    data |= projections(t, fields.model)
    if data.get("per_epoch_proj") is not None:
        data["epoch_steps"] = epoch
    data["steps"] = fields.optim.epochs * epoch
    t.account.comment("steps", f"{fields.optim.epochs} epochs of {epoch} steps")
    for name, here in (("sample_size", "batch_size"), ("test_sample_size", "test_sample_size")):
        data[here] = _common(t, name, fields)
    data |= _landscape(t, fields, epoch)
    data["log_every"] = epoch
    _leave_out(t, fields)
    return data


def samples_of_gans(fields: DualFields) -> list[tuple[str, DistribFields]]:
    """The distributions that are samples of a GAN, by name."""
    both = [("distrib1", fields.distrib1), ("distrib2", fields.distrib2)]
    return [(name, distrib) for name, distrib in both if distrib.name == "GANSampler"]


def _common(t: Translation, name: str, fields: DualFields) -> int:
    one, other = getattr(fields.distrib1, name), getattr(fields.distrib2, name)
    t.account.carry(f"distrib1.{name}", f"distrib2.{name}")
    if one != other:
        message = f"must be that of distrib1, {one}, got {other}; make them equal"
        raise t.source.refusal(f"distrib2.{name}", message)
    return int(one)


def _distribution(
    t: Translation, name: str, distrib: DistribFields, images: dict[str, Any] | None
) -> dict[str, Any]:
    kind = t.one_of(f"{name}.name", "distribution", distrib.name, _DISTRIBUTIONS)
    t.account.ignore("nothing reads it", f"{name}.num_shells")
    t.account.drop("it names code, and an experiment does not", f"{name}.filepath")
    if kind == "shell":
        return _shell(t, name, distrib)
    assert images is not None
    return _gan_samples(t, name, distrib, images)


def _shell(t: Translation, name: str, distrib: DistribFields) -> dict[str, Any]:
    data = {
        "type": "multi_spherical_shell",
        "dim": distrib.dim,
        "radius": t.required(f"{name}.radius", distrib.radius),
    }
    t.account.carry(f"{name}.dim", f"{name}.reshape_to_grid")
    data |= t.account.take(name, distrib, "center_x", "empty_dim")
    data["reshape_to_grid"] = distrib.reshape_to_grid or None
    unread = [f"{name}.{field}" for field in ("gan_config_json_path", "generate_type")]
    t.account.ignore("a shell does not read it", *unread)
    return data


def _gan_samples(
    t: Translation, name: str, distrib: DistribFields, images: dict[str, Any]
) -> dict[str, Any]:
    side = t.required(f"{name}.generate_type", distrib.generate_type)
    t.account.drop("a sample has as many numbers as the GAN's images have", f"{name}.dim")
    unread = ("empty_dim", "radius", "center_x", "reshape_to_grid")
    t.account.ignore("samples of GANs do not read it", *(f"{name}.{field}" for field in unread))
    t.account.comment(
        f"{name}.type",
        "pixels in [0, 1]; in the original in [−1, 1], where distances are twice as large",
    )
    if side == "generated":
        t.account.comment(
            f"{name}.side",
            "in evaluation mode; the original's generator went on normalising by batches",
        )
    return {"type": "gan_samples", "gan": GAN, "side": side, **images}


def _landscape(t: Translation, fields: DualFields, epoch: int) -> dict[str, Any]:
    """Where the critic is drawn; the original drew those of one or two dimensions."""
    sections = ("visualize_1d", "visualize_2d")
    dim = fields.distrib1.dim
    view = {1: fields.visualize_1d, 2: fields.visualize_2d}.get(dim)
    undrawn = f"samples of dimension {dim} are not drawn by it"
    t.account.carry("visualize")
    if not fields.visualize or view is None:
        t.account.drop("nothing is drawn every so many epochs", "logging.report_freq")
        why = undrawn if fields.visualize else "visualize is false"
        t.account.ignore(why, *sections)
        return {}
    t.account.comment("landscape.every", f"every {fields.logging.report_freq} epochs")
    data: dict[str, Any] = {"type": "line", "xrange": view.xrange, "step": view.step}
    if isinstance(view, PlaneFields):
        kinds = (view.fig_types,) if isinstance(view.fig_types, str) else view.fig_types
        path = "visualize_2d.fig_types"
        data |= {
            "type": "plane",
            "yrange": view.yrange,
            "fig_types": tuple(t.one_of(path, "figure", kind, _FIGURES) for kind in kinds),
        }
        for name in ("elev", "azim"):
            angles = getattr(view, name)
            data[name] = angles if isinstance(angles, tuple) else (angles,)
    t.account.carry(f"visualize_{dim}d", "logging.report_freq")
    t.account.ignore(undrawn, *sections)
    return {"landscape": {**data, "every": epoch * fields.logging.report_freq}}


def _leave_out(t: Translation, fields: DualFields) -> None:
    if fields.logging.save_best:
        t.account.differs.append(
            "the original kept the weights with the best loss in training; here the last are kept"
        )
        t.account.carry("logging.save_best", "optim.criterion")
    t.account.ignore("the last weights are evaluated", "optim.criterion", "logging.save_best")
    t.account.ignore("steps draw samples instead", "optim.batch_size")
    if fields.model.l_constant != 1 and not t.faithful:
        t.account.differs.append(
            "the original did not divide its estimate by l_constant; here a proven constant "
            "divides it"
        )
