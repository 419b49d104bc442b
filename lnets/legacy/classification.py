"""Configurations of classifiers."""

from typing import Any

from lnets.legacy.fields import ClassifierFields, DataFields
from lnets.legacy.networks import fully_connected, lenet, projections, resnet
from lnets.legacy.optim import optimizer
from lnets.legacy.translation import Translation
from lnets.specs.data import DATASETS
from lnets.specs.layers import norm_kept

_DATASETS = {
    "mnist": "mnist",
    "fashion-mnist": "fashion_mnist",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "imagenet-torchvision": "imagenet",
}
_LOSSES = {
    "classify_fc": None,
    "classify_fc_dropout": None,
    "classify_fc_spec_jac": None,
    "classify_fc_margin": "margin",
    "classify_fc_hinge": "multi_margin",
    "lenet_classify": None,
    "resnet32": None,
    "wide-resnet32": None,
}
_METRICS = {"acc": ("validation_accuracy", "max"), "loss": ("validation_loss", "min")}
_CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)}
_IMAGENET_SIZE = 224
_LINF_EPSILONS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def classification(t: Translation, fields: ClassifierFields) -> dict[str, Any]:
    """The experiment, as data of a spec."""
    data: dict[str, Any] = {"task": "classification"}
    loss = t.one_of("model.name", "classifier", fields.model.name, _LOSSES)
    data["data"] = _data(t, fields.data)
    data["model"] = _network(t, fields)
    data |= _normalization(t, fields.data)
    if loss is not None:
        margin = t.required("model.margin", fields.model.margin)
        data["loss"] = {"type": loss, "margin": margin}
        t.account.comment("loss.margin", "multiplied by l_constant, here as there")
    if fields.model.name == "classify_fc_spec_jac":
        data["spectral_jacobian"] = t.required("model.sn_reg", fields.model.sn_reg)
    t.account.ignore("nothing reads it", "model.hinge_order")
    batch = t.required("optim.batch_size", fields.optim.batch_size)
    steps = _steps_per_epoch(fields.data, data["data"], batch)
    data["optim"] = optimizer(t, fields.optim, steps)
    t.account.ignore("an epoch is a pass over the images", "optim.epoch_len")
    data |= projections(t, fields.model)
    data |= {"epochs": fields.optim.epochs, "batch_size": batch}
    t.account.comment(
        "batch_size", f"{steps} steps an epoch; a last batch that is not full is left out"
    )
    data |= _selection(t, fields, data["data"]) | _certificate(t, data)
    _leave_out(t)
    return data


def _network(t: Translation, fields: ClassifierFields) -> dict[str, Any]:
    model, name = fields.model, fields.model.name
    if name == "lenet_classify":
        t.account.drop("the images decide", "data.in_channels")
        return lenet(t, model)
    if name in ("resnet32", "wide-resnet32"):
        t.account.ignore(f"{name} has none", "model.linear", "model.activation")
        classes = DATASETS[_DATASETS[fields.data.name]].num_classes  # type: ignore[index]
        return resnet(t, model, classes)
    data = fully_connected(t, model)
    if name == "classify_fc_dropout":
        data |= {"input_dropout": 0.2, "dropout": 0.5}
        t.account.comment("model.input_dropout", "fixed in the original's code, like the other")
    return data


def _data(t: Translation, fields: DataFields) -> dict[str, Any]:
    data: dict[str, Any] = {
        "dataset": t.one_of("data.name", "data set", fields.name, _DATASETS),
        "split": _split(t, fields),
    }
    if data["dataset"] == "imagenet":
        data["image_size"] = _IMAGENET_SIZE
    kind = None if fields.transform is None else fields.transform.type
    t.account.carry("data.transform.type")
    if kind == "cifar":
        data["augment"] = {"crop_padding": 4, "flip": True}
    elif kind == "imagenet":
        data["augment"] = {"flip": True}
        t.account.differs.append(
            "the original trained on random crops of random sizes of ImageNet; here on whole "
            "images, flipped at random"
        )
    t.account.drop("the images decide", "data.input_dim", "data.class_count", "data.in_channels")
    return data


def _split(t: Translation, fields: DataFields) -> dict[str, Any]:
    t.account.carry("data.validation", "data.indices_path")
    if fields.indices_path is None:
        t.account.ignore("it only names index files", "data.per_class_count")
        t.account.carry("data.train_size")
        t.account.comment(
            "data.split", "drawn from every class; the original took the first images of its file"
        )
        rest = round(1 - fields.train_size, 12)
        validation = rest if fields.validation else 0.0
        return {"type": "fraction", "train": fields.train_size, "validation": validation}
    t.account.ignore("index files decide", "data.train_size")
    if t.source.overridden("data.indices_path"):
        t.account.ignore("train.txt and validation.txt decide", "data.per_class_count")
        return {"type": "files", "folder": fields.indices_path}
    count = t.required("data.per_class_count", fields.per_class_count)
    t.account.comment(
        "data.split",
        f"drawn anew: the index files in {fields.indices_path} were drawn at random, and are not "
        "opened; to take theirs, write them as train.txt and validation.txt into a folder below "
        "LNETS_DATA, and give it by -o data.indices_path=FOLDER",
    )
    # As many as the original's instructions hold out of MNIST, if it looks at them at all.
    held_out = 500 if fields.validation else 0
    return {"type": "per_class", "train": count, "validation": held_out}


def _steps_per_epoch(fields: DataFields, data: dict[str, Any], batch: int) -> int:
    known = DATASETS[data["dataset"]]
    split = data["split"]
    count = known.train_images
    if split["type"] == "fraction":
        count = int(count * split["train"])
    elif split["type"] == "per_class":
        count = known.num_classes * split["train"]
    elif fields.per_class_count is not None:
        count = known.num_classes * fields.per_class_count
    return max(1, count // batch)


def _normalization(t: Translation, fields: DataFields) -> dict[str, Any]:
    transform = fields.transform
    kind = None if transform is None else transform.type
    found = {}
    if kind == "cifar":
        found = {"normalization": _CIFAR}
    elif kind == "imagenet":
        assert transform is not None
        names = {"mean": transform.norm_mean, "std": transform.norm_std}
        found = {
            "normalization": {
                name: t.required(f"data.transform.norm_{name}", value)
                for name, value in names.items()
            }
        }
    if found:
        t.account.comment(
            "normalization", "a layer of the classifier, whose Lipschitz constant it multiplies"
        )
    unread = ("data.transform.norm_mean", "data.transform.norm_std")
    t.account.ignore(f"transform {kind} does not read it", *unread)
    return found


def _selection(t: Translation, fields: ClassifierFields, data: dict[str, Any]) -> dict[str, Any]:
    criterion = fields.optim.criterion
    if not fields.logging.save_best or criterion is None:
        why = "the last weights are evaluated, because logging.save_best is false"
        t.account.ignore(why, "optim.criterion", "logging.save_best")
        return {}
    t.account.carry("logging.save_best")
    metric, best = t.one_of("optim.criterion.tag", "criterion", criterion.tag, _METRICS)
    if criterion.minmax != best:
        message = f"must be {best} with {criterion.tag}, else the worst weights are kept; change it"
        raise t.source.refusal("optim.criterion.minmax", message)
    t.account.carry("optim.criterion.minmax")
    if data["split"].get("validation") == 0:
        t.account.differs.append("no images are held out, so the last weights are kept")
        return {}
    return {"selection": {"metric": metric}}


def _certificate(t: Translation, data: dict[str, Any]) -> dict[str, Any]:
    """In the norm in which the network is bounded; not needed where that is L2."""
    kinds = [data["model"].get(name, {}).get("type", "standard") for name in ("linear", "conv")]
    kinds += [p["type"] for name in ("per_update_proj", "per_epoch_proj") if (p := data.get(name))]
    if t.faithful:
        t.account.comment("certificate", "nothing is certified under faithful")
    if any(norm_kept(kind) == "linf" for kind in kinds):
        t.account.comment("certificate.norm", "in which its layers keep a bound")
        t.account.comment("certificate.epsilons", "those that are filled in else are for L2")
        return {"certificate": {"norm": "linf", "epsilons": _LINF_EPSILONS}}
    return {}


def _leave_out(t: Translation) -> None:
    t.account.drop("figures of every epoch are in the learning curve", "logging.report_freq")
    t.account.ignore("nothing reads it", "data.im_height", "data.im_width")
