"""What a network's Jacobians and activations tell: a penalty for training, and units that died."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from lnets.functional.jacobian import power_step
from lnets.nn.activations import Abs, GroupSort, Householder, Maxout, NActivation
from lnets.nn.arguments import refuse_below

ACTIVATIONS = (
    GroupSort,
    Maxout,
    Householder,
    NActivation,
    Abs,
    nn.ReLU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
)
"""The modules whose units `dead_unit_rates` counts."""


class SpectralJacobianPenalty(nn.Module):
    """Norm of the batch's mean Jacobian-vector product, by one power iteration per call.

    The iteration's state `u` is a buffer, saved along with everything else. It moves in training
    only, so validation leaves no trace in it.

    Args:
        output_dim: Outputs of the network, such as classes.

    Raises:
        ValueError: If `output_dim` is not positive.
    """

    def __init__(self, output_dim: int) -> None:
        super().__init__()
        refuse_below(1, output_dim=output_dim)
        self.u: Tensor
        self.register_buffer("u", F.normalize(torch.randn(output_dim), dim=0))

    def forward(
        self, model: Callable[[Tensor], Tensor], x: Float[Tensor, "batch *in"]
    ) -> Float[Tensor, ""]:
        """At most the mean of the largest singular values, in output per input unit.

        Args:
            model: Maps a batch to a batch, each sample for itself; is run once, in its own mode.
            x: Where.
        """
        size, u = power_step(model, x, self.u)
        if self.training:
            with torch.no_grad():
                self.u.copy_(u)
        return size

    def extra_repr(self) -> str:
        """Shown by `print(module)`."""
        return f"{len(self.u)}"


def dead_unit_rates(
    model: nn.Module,
    batches: Iterable[Tensor],
    thresholds: Float[Tensor, " thresholds"],
) -> dict[str, Float[Tensor, " thresholds"]]:
    """The fraction of each activation's units that are positive on at least a share of the data.

    A unit is one number of an activation's output per sample, so each pixel of each channel. Every
    sample counts the same, in whatever batch. The data are passed through once, in evaluation mode;
    afterwards every module is in the mode it was in.

    Args:
        model: Any model with modules of `ACTIVATIONS`.
        batches: Inputs, on the model's device.
        thresholds: Shares of samples, from 0 to 1.

    Returns:
        By name of the module, the fraction of units for each threshold. A module that one forward
        runs several times has an entry for each, the second of which is "name (call 2)".

    Raises:
        ValueError: If there is no such module, or no sample reaches one.
    """
    if not any(isinstance(module, ACTIVATIONS) for module in model.modules()):
        names = ", ".join(kind.__name__ for kind in ACTIVATIONS)
        raise ValueError(
            f"A model must have an activation to have units, one of {names}; got none."
        )
    counts = _Counts()
    with _evaluating(model), counts.watching(model), torch.no_grad():
        for x in batches:
            counts.calls.clear()
            model(x)
    if not any(counts.samples.values()):
        raise ValueError("`batches` must have a sample that reaches an activation, got none.")
    rates = {}
    for name, positive in counts.positive.items():
        # In one dtype, else a share of 3/10 may miss a threshold of 0.3.
        share = (positive.double() / counts.samples[name]).flatten().to(thresholds)
        rates[name] = (share >= thresholds.unsqueeze(1)).to(thresholds).mean(dim=1)
    return rates


class _Counts:
    """How often each unit was positive, and of how many samples."""

    def __init__(self) -> None:
        self.positive: dict[str, Tensor] = {}
        self.samples: dict[str, int] = {}
        self.calls: dict[str, int] = {}

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Counts what the activations of a model give while it lasts."""
        handles = [
            module.register_forward_hook(self._hook(name))
            for name, module in model.named_modules()
            if isinstance(module, ACTIVATIONS)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def count(module: nn.Module, inputs: object, output: Tensor) -> None:
            call = self.calls[name] = self.calls.get(name, 0) + 1
            key = name if call == 1 else f"{name} (call {call})"
            positive = (output > 0).sum(dim=0)
            self.positive[key] = self.positive[key] + positive if key in self.positive else positive
            self.samples[key] = self.samples.get(key, 0) + len(output)

        return count


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode while it lasts; then every module is back in its own."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
