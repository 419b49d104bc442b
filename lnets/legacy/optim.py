"""`optim` of a configuration."""

from typing import Any

from lnets.legacy.fields import OptimFields
from lnets.legacy.translation import Translation

_READ = {"sgd": ("momentum",), "nesterov": ("momentum",), "adam": (), "aggmo": ("betas",)}


def optimizer(t: Translation, optim: OptimFields, steps_per_epoch: int) -> dict[str, Any]:
    """The optimizer and its schedule, which counts steps here and epochs there."""
    options = t.one_of("optim.optimizer", "optimizer", optim.optimizer, _READ)
    data: dict[str, Any] = {"type": optim.optimizer, "lr": optim.lr_schedule.lr_init}
    t.account.carry("optim.lr_schedule.lr_init", "optim.epochs")
    data |= t.account.take("optim", optim, *options)
    if optim.optimizer == "adam" and t.account.given("optim.momentum"):
        t.account.carry("optim.momentum")
        data["betas"] = (optim.momentum, 0.999)
    t.account.ignore(f"{optim.optimizer} has none", "optim.momentum", "optim.betas")
    if t.account.given("optim.wdecay"):
        t.account.carry("optim.wdecay")
        data["weight_decay"] = optim.wdecay
    data |= t.account.take("optim", optim, "max_grad_norm")
    data["schedule"] = _schedule(t, optim, steps_per_epoch)
    t.account.ignore("it never stopped early", "optim.patience")
    return data


def _schedule(t: Translation, optim: OptimFields, steps: int) -> dict[str, Any] | None:
    schedule, section = optim.lr_schedule, "optim.lr_schedule"
    t.one_of(f"{section}.name", "schedule", schedule.name, {"step": None, "exp": None})
    t.account.carry(f"{section}.lr_decay")
    if schedule.name == "exp":
        t.account.ignore("exp has none", f"{section}.milestones")
        if schedule.last_epoch != -1:
            message = "must be -1, because the original could not begin anywhere else; change it"
            raise t.source.refusal(f"{section}.last_epoch", message)
        t.account.carry(f"{section}.last_epoch")
        t.account.comment("optim.schedule.every_n_steps", f"an epoch of {steps} steps")
        return {"type": "exp", "decay": schedule.lr_decay, "every_n_steps": steps}
    t.account.ignore("step does not read it", f"{section}.last_epoch")
    epochs = t.required(f"{section}.milestones", schedule.milestones)
    if not epochs:
        return None
    shown = ", ".join(map(str, epochs))
    t.account.comment("optim.schedule.milestones", f"epochs {shown} of {steps} steps")
    milestones = tuple(epoch * steps for epoch in epochs)
    return {"type": "step", "milestones": milestones, "decay": schedule.lr_decay}
