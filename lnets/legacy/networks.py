"""`model` of a configuration: the network, and what projects its weights."""

from typing import Any

from lnets.legacy.fields import EpochProjectionFields, LinearFields, ModelFields, ProjectionFields
from lnets.legacy.translation import Translation

_ACTIVATIONS = {
    name: name
    for name in ("relu", "maxmin", "group_sort", "maxout", "abs", "tanh", "sigmoid", "identity")
} | {"tahn": "tanh"}
_GROUPED = ("maxmin", "group_sort", "maxout")
_BJORCK = ("bjorck_iter", "bjorck_order", "bjorck_beta")
_OPTIONS = {
    "standard": (),
    "bjorck": ("safe_scaling", *_BJORCK),
    "l_inf_projected": (),
    "spectral_normal": ("power_iters",),
    "parseval_l2": (),
}
_PROJECTIONS = {"l_2": _BJORCK, "l_inf_projected": (), "l_inf_scaled": ("scale_all",)}
_CONVS = ("standard_conv2d", "bjorck_conv2d", "l_inf_projected_conv2d")
_SPHERE = "moved rows to the L1 sphere, so that rows inside the ball grew; here they stay inside"


def fully_connected(t: Translation, model: ModelFields) -> dict[str, Any]:
    """The network of `dual_fc` and `classify_fc`."""
    data = {"type": "fully_connected", "layers": t.required("model.layers", model.layers)}
    data |= _activation(t, model, len(data["layers"]))
    data["linear"] = _linear(t, model, _OPTIONS)
    return data | t.account.take("model", model, "l_constant")


def fully_conv(t: Translation, model: ModelFields) -> dict[str, Any]:
    """The network of `dual_fully_conv`."""
    data: dict[str, Any] = {"type": "fully_conv"}
    for name in ("channels", "kernels", "strides"):
        data[name] = t.required(f"model.{name}", getattr(model, name))
    for name in ("dilation", "groups"):
        if getattr(model, name) != 1:
            raise t.source.refusal(
                f"model.{name}", "must be 1, the only case for which a bound is proven; change it"
            )
    t.account.carry("model.dilation", "model.groups")
    data |= t.account.take("model", model, "padding", "l_constant")
    data |= _activation(t, model, len(data["channels"]))
    data["conv"] = _conv(t, model, dict.fromkeys(_CONVS, ()))
    t.account.ignore("biases of convolutions were always there", "model.linear.bias")
    if model.l_correction_constant != 1 and t.faithful:
        data["l_constant"] = model.l_constant * model.l_correction_constant
        t.account.carry("model.l_correction_constant")
        t.account.comment("model.l_constant", "l_constant × l_correction_constant")
    t.account.drop(
        "convolutions are divided by how often their patches overlap, so nothing is to correct",
        "model.l_correction_constant",
    )
    return data


def lenet(t: Translation, model: ModelFields) -> dict[str, Any]:
    """The network of `lenet_classify`."""
    t.account.comment("model.type", "channels and units are fixed: 10, 20, 50")
    data: dict[str, Any] = {
        "type": "lenet",
        "output_dim": t.required("model.output_dim", model.output_dim),
    }
    data |= _activation(t, model, 0)
    if data["activation"] == "group_sort":
        data["groupings"] = "full"
    kind = model.linear.type
    data["conv"] = {"type": "bjorck_conv2d" if kind == "bjorck" else "standard_conv2d"}
    data["linear"] = _linear(t, model, {k: _OPTIONS[k] for k in ("standard", "bjorck")})
    if kind == "bjorck":
        data["conv"]["bjorck_iter"] = 20
        t.account.comment(
            "model.conv.bjorck_iter",
            "the original's convolutions always took 20, of order 1, whatever the file said",
        )
        _overlap(t)
    if t.account.given("model.dropout_on"):
        t.account.carry("model.dropout_on")
        data["dropout"] = 0.5 if model.dropout_on else 0.0
    return data | t.account.take("model", model, "l_constant")


def resnet(t: Translation, model: ModelFields, classes: int) -> dict[str, Any]:
    """The networks of `resnet32` and `wide-resnet32`."""
    t.account.comment("model.type", "its own scripts could not train it")
    if model.name == "resnet32":
        return {"type": "resnet32", "output_dim": classes}
    if t.faithful:
        t.account.comment("model.widen", "the original never reads that it should be 10")
    else:
        t.account.differs.append("wide-resnet32 was as narrow as resnet32; here it is 10 × as wide")
    return {"type": "wide_resnet32", "widen": 1 if t.faithful else 10, "output_dim": classes}


def projections(t: Translation, model: ModelFields) -> dict[str, Any]:
    """What projects raw weights: the fields of the experiment."""
    of_layers = model.linear.type == "parseval_l2"
    found: dict[str, Any] = {}
    for name in ("per_update_proj", "per_epoch_proj"):
        fields: ProjectionFields | None = getattr(model, name)
        section = f"model.{name}"
        if fields is None or (name == "per_update_proj" and of_layers):
            continue
        if not fields.turned_on:
            t.account.ignore("it is turned off", section)
            found[name] = None
            continue
        t.account.carry(f"{section}.turned_on")
        found[name] = _projection(t, section, name, fields)
        if isinstance(fields, EpochProjectionFields):
            names = ("every_n_epochs", "reset_optimizer")
            found[name] |= t.account.take(section, fields, *names)
    return found


def _projection(
    t: Translation, section: str, name: str, fields: ProjectionFields
) -> dict[str, Any]:
    options = t.one_of(f"{section}.type", "projection", fields.type, _PROJECTIONS)
    data = {"type": fields.type, **t.account.take(section, fields, *options)}
    unread = [f"{section}.{option}" for option in (*_BJORCK, "scale_all")]
    t.account.ignore(f"projection {fields.type} does not read it", *unread)
    if not t.faithful and fields.type == "l_inf_projected":
        t.account.comment(f"{name}.type", f"the original {_SPHERE}")
    if not t.faithful and fields.type == "l_2":
        t.account.comment(
            f"{name}.type",
            "from norm 1 or less; the original iterated from any norm, and diverged from √5 on",
        )
    return data


def _activation(t: Translation, model: ModelFields, layers: int) -> dict[str, Any]:
    """Activation and group sizes; `layers` of a network whose sizes are given is 0."""
    name = t.one_of("model.activation", "activation", model.activation, _ACTIVATIONS)
    data: dict[str, Any] = {"activation": name}
    if model.activation == "abs":
        t.account.comment("model.activation", "which the original could not build")
    groupings = model.groupings or ()
    if groupings[:1] == (-1,):
        groupings = groupings[1:]
        t.account.comment("model.groupings", "without the −1 that the original put first")
    if name not in _GROUPED or not layers:
        why = "lenet fixes its groups" if not layers else f"{name} has no groups"
        t.account.ignore(why, "model.groupings")
        t.account.beside.pop(("model", "groupings"), None)
        return data
    if len(groupings) != layers:
        message = f"must have an entry per layer, {layers}, got {len(groupings)}; add or leave out"
        raise t.source.refusal("model.groupings", message)
    t.account.carry("model.groupings")
    # The last layer has no activation, whatever stands there.
    return {**data, "groupings": (*groupings[:-1], max(1, groupings[-1]))}


def _linear(t: Translation, model: ModelFields, known: dict[str, Any]) -> dict[str, Any]:
    linear = model.linear
    options = t.one_of("model.linear.type", "linear layer", linear.type, known)
    data = {"type": linear.type, **t.account.take("model.linear", linear, *options)}
    data |= t.account.take("model.linear", linear, "bias")
    if linear.type == "bjorck":
        _scaling(t, data, linear)
    if linear.type == "l_inf_projected" and not t.faithful:
        t.account.comment("model.linear.type", f"the original {_SPHERE}")
    if linear.type == "spectral_normal":
        _power_iteration(t)
    if linear.type == "parseval_l2":
        data |= _parseval(t, model.per_update_proj)
    if not t.faithful:
        t.account.differs.append(
            "initial weights: all singular values of a dense layer were 1/√in; here they are "
            "orthonormal, or torch's own of standard layers"
        )
    _unread(t, linear)
    return data


def _unread(t: Translation, linear: LinearFields) -> None:
    names = ("safe_scaling", *_BJORCK, "power_iters")
    t.account.ignore(
        f"layers of type {linear.type} do not read it", *(f"model.linear.{name}" for name in names)
    )
    t.account.ignore("nothing reads it", "model.linear.parseval")


def _scaling(t: Translation, data: dict[str, Any], linear: LinearFields) -> None:
    if t.faithful:
        data["safe_scaling"] = linear.safe_scaling
        scale = "√(out·in)" if linear.safe_scaling else "no scale at all"
        t.account.comment("model.linear.safe_scaling", f"{scale}, as the original computes it")
        return
    data["safe_scaling"] = False
    was = "divided by √(out·in), from where wide layers do not converge"
    if not linear.safe_scaling:
        was = "iterated from any norm, and diverged from √5 on"
    t.account.comment("model.linear.safe_scaling", f"a proven scale; the original {was}")


def _power_iteration(t: Translation) -> None:
    was = "in the original the optimizer trained its vectors, and evaluation moved them"
    if not t.faithful:
        was = "evaluation divides by a proven bound, where the original's divided by less; " + was
    t.account.comment("model.linear.type", f"{was}; here they only move in training")


def _parseval(t: Translation, fields: ProjectionFields | None) -> dict[str, Any]:
    """Options of layers that project themselves by what `per_update_proj` says."""
    section = "model.per_update_proj"
    if fields is None or fields.type != "l_2":
        raise t.source.refusal(
            f"{section}.type", "must be l_2 with parseval_l2, which reads it; change it"
        )
    t.account.ignore("parseval_l2 projects whether or not", f"{section}.turned_on")
    t.account.carry(f"{section}.type")
    t.account.comment("model.linear.type", "projects after each update; there, in each forward")
    return t.account.take(section, fields, "bjorck_iter", "bjorck_beta")


def _conv(t: Translation, model: ModelFields, known: dict[str, Any]) -> dict[str, Any]:
    t.one_of("model.linear.type", "convolution", model.linear.type, known)
    data: dict[str, Any] = {"type": model.linear.type}
    if model.linear.type == "bjorck_conv2d":
        data["bjorck_iter"] = 20
        _overlap(t)
    if model.linear.type == "l_inf_projected_conv2d" and not t.faithful:
        t.account.comment("model.conv.type", f"the original {_SPHERE}")
    _unread(t, model.linear)
    return data


def _overlap(t: Translation) -> None:
    if not t.faithful:
        t.account.comment(
            "model.conv.type",
            "divided by how often patches overlap; the original's norms were up to 5 for a 5 × 5 "
            "kernel",
        )
