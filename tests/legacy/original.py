"""The original's algorithm, read off its own configuration files: what a faithful experiment is
compared with. Nothing of lnets is used."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Parameters = list[Tensor]
"""Weight and bias of every layer in turn."""


def bjorck(w: Tensor, iterations: int, beta: float = 0.5) -> Tensor:
    for _ in range(iterations):
        w = (1 + beta) * w - beta * w @ (w.T @ w)
    return w


def on_l1_sphere(w: Tensor, *, zeros_grow: bool) -> Tensor:
    rows = []
    for row in w:
        size = row.abs()
        total, theta = 0.0, 0.0
        for k, entry in enumerate(sorted(size.tolist(), reverse=True), start=1):
            total += entry
            if total < 1 + k * entry:
                theta = (total - 1) / k
        sign = torch.where(row < 0, -1.0, 1.0) if zeros_grow else row.sign()
        rows.append(sign * (size - theta).clamp_min(0))
    return torch.stack(rows)


class Original:
    """A network and its training by a configuration file.

    Args:
        config: What the file says.
        weights: Initial ones, in the order of the layers; of its MaxMin.
        u: Of every spectrally normalised layer.
    """

    def __init__(self, config: dict[str, Any], weights: Parameters, u: list[Tensor]) -> None:
        self.config, self.u = config, u
        self.weights = [w.clone().requires_grad_() for w in weights]
        self._optimizer = self._new_optimizer()
        self._buffers = [
            [torch.zeros_like(w) for _ in config["optim"]["betas"]] for w in self.weights
        ]

    def __call__(self, x: Tensor) -> Tensor:
        model = self.config["model"]
        if model["name"] == "lenet_classify":
            return self._lenet(x)
        scale = model["l_constant"] ** (1 / len(model["layers"]))
        x = x.flatten(1)
        for i in range(len(model["layers"])):
            x = self._linear(i, x) * scale
            if i < len(model["layers"]) - 1:
                x = self._activation(x, model["groupings"][i])
        return x

    def classify(self, x: Tensor, labels: Tensor, u: Tensor | None = None) -> Tensor:
        """One step; the loss before."""
        model = self.config["model"]
        logits = self(x)
        if model["name"] == "classify_fc_hinge":
            margin = model["margin"] * model["l_constant"]
            loss = F.multi_margin_loss(logits, labels, margin=margin)
        else:
            loss = F.cross_entropy(logits, labels)
        if model["name"] == "classify_fc_spec_jac":
            assert u is not None
            loss = loss + model["sn_reg"] * self._jacobian_norm(x, u)
        return self._update(loss)

    def separate(self, x: Tensor, y: Tensor) -> Tensor:
        """One step of a critic; the loss before."""
        return self._update(self(y).mean() - self(x).mean())

    def _lenet(self, x: Tensor) -> Tensor:
        for i in range(2):
            weight, bias = self.weights[2 * i : 2 * i + 2]
            if self.config["model"]["linear"]["type"] == "bjorck":
                matrix = weight.flatten(1)
                weight = bjorck(matrix / math.sqrt(matrix.numel()), 20).view_as(weight)
            x = F.relu(F.max_pool2d(F.conv2d(x, weight, bias), 2))
        x = F.relu(self._linear(2, x.flatten(1)))
        return self._linear(3, x)

    def _linear(self, i: int, x: Tensor) -> Tensor:
        weight, bias = self.weights[2 * i : 2 * i + 2]
        linear = self.config["model"]["linear"]
        match linear["type"]:
            case "bjorck":
                scale = math.sqrt(weight.numel()) if linear["safe_scaling"] else 1.0
                weight = bjorck(weight.T / scale, linear["bjorck_iter"]).T
            case "l_inf_projected":
                with torch.no_grad():
                    moved = on_l1_sphere(weight, zeros_grow=False) - weight
                # Its gradient is that of entries which are not 0, the threshold being a constant.
                weight = (weight + moved) * ((weight + moved) != 0)
            case "spectral_normal":
                with torch.no_grad():
                    for _ in range(linear["power_iters"]):
                        v = F.normalize(weight.T @ self.u[i], dim=0)
                        self.u[i] = F.normalize(weight @ v, dim=0)
                weight = weight / (self.u[i] @ weight @ v)
        return x @ weight.T + bias

    def _activation(self, x: Tensor, size: int) -> Tensor:
        groups = x.unflatten(1, (-1, size))
        match self.config["model"]["activation"]:
            case "relu":
                return F.relu(x)
            case "maxmin":
                return torch.cat((groups.amax(dim=2), groups.amin(dim=2)), dim=1)
            case _:
                return groups.sort(dim=2).values.flatten(1)

    def _jacobian_norm(self, x: Tensor, u: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        u = u.clone().requires_grad_()
        (pulled,) = torch.autograd.grad(self(x).mean(dim=0), x, u, create_graph=True)
        v = pulled.detach()
        v = v / v.flatten(1).norm(dim=1).view(-1, *[1] * (v.ndim - 1))
        (j,) = torch.autograd.grad(pulled, u, v, create_graph=True)
        return (j.detach() / j.detach().norm()) @ j

    def _update(self, loss: Tensor) -> Tensor:
        optim = self.config["optim"]
        for weight, gradient in zip(
            self.weights, torch.autograd.grad(loss, self.weights), strict=True
        ):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(self.weights, optim["max_grad_norm"])
        if self._optimizer is None:
            self._aggregated_momentum(optim)
        else:
            self._optimizer.step()
        projection = self.config["model"]["per_update_proj"]
        if projection["turned_on"]:
            with torch.no_grad():
                for weight in self.weights[::2]:
                    weight.copy_(_projected(weight, projection))
        return loss.detach()

    def _new_optimizer(self) -> torch.optim.Optimizer | None:
        optim = self.config["optim"]
        rate = optim["lr_schedule"]["lr_init"]
        match optim["optimizer"]:
            case "adam":
                return torch.optim.Adam(self.weights, lr=rate, betas=(optim["momentum"], 0.999))
            case "sgd":
                return torch.optim.SGD(self.weights, lr=rate, momentum=optim["momentum"])
        return None

    @torch.no_grad()
    def _aggregated_momentum(self, optim: dict[str, Any]) -> None:
        rate = optim["lr_schedule"]["lr_init"] / len(optim["betas"])
        for weight, buffers in zip(self.weights, self._buffers, strict=True):
            for beta, buffer in zip(optim["betas"], buffers, strict=True):
                buffer.mul_(beta).add_(weight.grad)
                weight.sub_(rate * buffer)


def _projected(weight: Tensor, projection: dict[str, Any]) -> Tensor:
    if projection["type"] == "l_inf_projected":
        return on_l1_sphere(weight, zeros_grow=True)
    return bjorck(weight, projection["bjorck_iter"], projection["bjorck_beta"])
