"""Many replicas of one network as one stacked network, trained at once."""

import copy
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lnets.functional.tracing import without_autocast
from lnets.nn.activations import Abs, GroupSort, Householder, Maxout, NActivation
from lnets.nn.effective import EffectiveWeight
from lnets.nn.linear import LipschitzLinear, affine
from lnets.nn.orthogonal import keeps_orthonormal
from lnets.nn.rotated import RotatedLinear
from lnets.nn.scale import Scale

_OF_UNITS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Identity, Abs, Scale)
_OPTION = (bool, int, float, str, tuple)
_ALONG_AN_AXIS = (GroupSort, Maxout, Householder, NActivation)


class Replicas:
    """Networks of one architecture side by side, each with its weights in a row of one matrix.

    An optimizer works on `rows` and `gradients` instead of on every weight. Several networks are
    stacked, so that a layer does one batched product for all of them; none ever reads another's
    numbers. A single one stays as it is, whatever its architecture.

    Args:
        models: The networks, on the device where they are to train. Their weights are copied.
        compiled: Whether they are compiled when they are first called.

    Raises:
        ValueError: If there are several that cannot be stacked.
    """

    def __init__(self, models: Sequence[nn.Module], *, compiled: bool = False) -> None:
        self._pattern = copy.deepcopy(models[0])
        self._stacked = len(models) > 1
        if self._stacked:
            _refuse_unequal(models)
            self.network = _stacked(models[0])
        else:
            self.network = copy.deepcopy(models[0])
        self._sizes = _column_counts(self._pattern)
        self._projecting = [m for m in self.network.modules() if isinstance(m, EffectiveWeight)]
        self.rows = torch.stack(
            [
                torch.cat([model.get_parameter(name).detach().flatten() for name in self._sizes])
                for model in models
            ]
        )
        """What is trained, first that which moves weights that layers keep orthonormal."""
        self.gradients = torch.zeros_like(self.rows)
        """Gradients of `rows`, as of the last `backward`."""
        if self._stacked:
            alike = zip(*(_untrained(model).values() for model in models), strict=True)
            own = _untrained(self.network).items()
            for (name, tensor), each in zip(own, alike, strict=True):
                tensor.data = torch.stack(each).view(self._shape(name, each[0].shape))
        self._bind()
        self._forward = torch.compile(self.network) if compiled else self.network

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, x: Float[Tensor, "replicas batch *shape"]) -> Float[Tensor, "replicas ..."]:
        """Each network's outputs for its own batch."""
        return self._forward(x) if self._stacked else self._forward(x[0]).unsqueeze(0)

    def backward(self, outputs: Tensor, gradient: Tensor) -> None:
        """Set `gradients` to those of the sum of outputs times their own gradient."""
        gradients = torch.autograd.grad(outputs, self._parameters, gradient)
        flat = [g.reshape(len(self.rows), -1) for g in gradients]
        torch.cat(flat, dim=1, out=self.gradients)

    @property
    def num_kept_orthonormal(self) -> int:
        """How many of the first columns of `rows` layers keep orthonormal themselves."""
        return sum(self._sizes[name] for name in _kept_orthonormal(self._pattern))

    @property
    def largest_weight(self) -> int:
        """Numbers in the largest weight of one network."""
        return max(self._sizes.values())

    def project_(self) -> None:
        """Let every layer do what it does after an optimizer update."""
        with torch.no_grad(), without_autocast(self.rows):
            for layer in self._projecting:
                layer.project_()

    def model(self, index: int) -> nn.Module:
        """One network with its weights of now, as it would be had it been trained alone."""
        model = copy.deepcopy(self._pattern)
        with torch.no_grad():
            values = self.rows[index].split(list(self._sizes.values()))
            for name, value in zip(self._sizes, values, strict=True):
                parameter = model.get_parameter(name)
                parameter.copy_(value.view(parameter.shape))
            trained = _untrained(self.network)
            for name, own in _untrained(model).items():
                now = trained[name]
                own.copy_((now[index] if self._stacked else now).view(own.shape))
        return model

    def keep(self, indices: Sequence[int]) -> None:
        """Go on with some of the networks only."""
        self.rows = self.rows[list(indices)]
        self.gradients = torch.zeros_like(self.rows)
        if self._stacked:
            for tensor in _untrained(self.network).values():
                tensor.data = tensor.data[list(indices)]
            self.network.train(self.network.training)  # lets layers forget what they have kept
        self._bind()

    def untrained(self, index: int) -> dict[str, Tensor]:
        """Buffers and frozen parameters of one network, by name."""
        return _untrained(self.model(index))

    def load_untrained(self, values: Sequence[Mapping[str, Tensor]]) -> None:
        """Set them.

        Args:
            values: Of each network, as from `untrained`.
        """
        for name, tensor in _untrained(self.network).items():
            tensor.copy_(torch.stack([own[name] for own in values]).view(tensor.shape))

    def _bind(self) -> None:
        """Make the network's parameters views of the rows.

        New parameters, since one with new `.data` would not count the changes of its rows, by which
        layers in evaluation know that their weight has changed.
        """
        views: dict[Tensor, nn.Parameter] = {}
        columns = self.rows.split(list(self._sizes.values()), dim=1)
        for name, values in zip(self._sizes, columns, strict=True):
            old = self.network.get_parameter(name)
            shape = self._pattern.get_parameter(name).shape
            views[old] = nn.Parameter(values.view(self._shape(name, shape)))
        for module in self.network.modules():
            for name, old in list(module.named_parameters(recurse=False)):
                if old in views:
                    setattr(module, name, views[old])
        self._parameters = list(views.values())

    def _shape(self, name: str, shape: Sequence[int]) -> tuple[int, ...]:
        """Of a parameter or buffer in the network that trains."""
        if not self._stacked:
            return tuple(shape)
        owner, _, last = name.rpartition(".")
        matrix = last in ("weight", "rotation") and isinstance(
            self._pattern.get_submodule(owner), (nn.Linear, LipschitzLinear)
        )
        # Whatever belongs to units gets a dimension for the batch.
        return (len(self.rows), *shape) if matrix else (len(self.rows), 1, *shape)


def why_not_stacked(model: nn.Module) -> str | None:
    """The reason why several such networks must be trained one by one; None if they need not."""
    for name, module in model.named_modules():
        sequence = isinstance(module, nn.Sequential)
        if sequence and type(module).forward is nn.Sequential.forward:
            continue
        if isinstance(module, nn.Dropout):
            return f"`{name}`: Dropout draws one mask for all networks"
        flattens = isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1)
        along = isinstance(module, _ALONG_AN_AXIS) and module.axis == -1
        if not (flattens or along or isinstance(module, (nn.Linear, LipschitzLinear, *_OF_UNITS))):
            return f"`{name}`: a {type(module).__name__} works on one network at a time"
    if len(list(model.named_parameters(remove_duplicate=False))) > len(list(model.parameters())):
        return "layers that share a weight have one row each"
    return None


def _refuse_unequal(models: Sequence[nn.Module]) -> None:
    reason = why_not_stacked(models[0])
    if reason is not None:
        raise ValueError(f"Networks cannot be stacked, {reason}.")
    first = _architecture(models[0])
    if any(_architecture(model) != first for model in models[1:]):
        raise ValueError("Networks must have the same layers, shapes and options to be stacked.")


def _architecture(model: nn.Module) -> list[object]:
    """All that decides what a network computes from its weights."""
    shapes = [(name, tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()]
    options = [
        (name, type(module), {k: v for k, v in vars(module).items() if isinstance(v, _OPTION)})
        for name, module in model.named_modules()
    ]
    return [shapes, options]


def _stacked(module: nn.Module) -> nn.Module:
    match module:
        case nn.Sequential():
            return nn.Sequential(*(_stacked(child) for child in module))
        case nn.Flatten():
            return nn.Flatten(2)
        case nn.Linear():
            linear = _StackedLinear(1, 1, bias=module.bias is not None)
            linear.in_features, linear.out_features = module.in_features, module.out_features
            return linear
        case _:
            return copy.deepcopy(module)


class _StackedLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)


def _column_counts(model: nn.Module) -> dict[str, int]:
    """How many columns each trained parameter has, in their order."""
    kept = _kept_orthonormal(model)
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    return dict(sorted(trained.items(), key=lambda item: item[0] not in kept))


def _kept_orthonormal(model: nn.Module) -> set[str]:
    """Names of the parameters that move weights which a layer keeps orthonormal itself."""
    kept = [(name, m) for name, m in model.named_modules() if keeps_orthonormal(m)]
    rotated = {f"{name}.rotation" for name, m in kept if isinstance(m, RotatedLinear)}
    return rotated | {f"{name}.weight" for name, m in kept if not isinstance(m, RotatedLinear)}


def _untrained(model: nn.Module) -> dict[str, Tensor]:
    """Buffers and frozen parameters, which belong to a network but to no optimizer."""
    frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    return dict(model.named_buffers()) | frozen
