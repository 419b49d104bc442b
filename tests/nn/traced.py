"""What every Lipschitz layer must do where `torch.compile` or `torch.export` traces it."""

import copy

import torch
from torch.func import functional_call

from tests.nn.layers import KINDS, Case, trained

# Float32 sums of at most 32 products.
FLOAT32 = 1e-5
# Two roundings to bfloat16 per product, relative to the largest sum of products.
BFLOAT16 = 2.0**-6


def training_compiles_without_breaks(case: Case, *, autocast: bool) -> None:
    torch.manual_seed(0)
    layer, x = case.make(), case.inputs(3)
    twin = copy.deepcopy(layer)
    # Autocast changes what is traced, not what becomes of the graph.
    backend = "eager" if autocast else "aot_eager"
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    tolerance = BFLOAT16 if autocast else FLOAT32
    outputs = []
    for one in (compiled, twin):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = one(x)
        y.sum().backward()
        outputs.append(y)
    assert torch.allclose(*outputs, atol=tolerance)
    for got, expected in zip(layer.parameters(), twin.parameters(), strict=True):
        if not got.requires_grad:
            continue
        assert got.grad is not None
        assert torch.allclose(got.grad, expected.grad, atol=tolerance * float(x.abs().sum()))


def evaluation_is_proven_without_breaks(case: Case) -> None:
    torch.manual_seed(0)
    layer, x = case.make(), case.inputs(3)
    with torch.no_grad():  # far from what training would make of it
        layer.weight.mul_(1.5).add_(0.2 * torch.randn_like(layer.weight))
        proven = layer.eval()(x)
        # So far that the norm of what training uses is far from 1 where it may be.
        assert not (case.approximate and torch.allclose(layer.train()(x), proven, rtol=0.01))
    layer.eval()
    state = {name: tensor.detach() for name, tensor in layer.state_dict().items()}
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    exported = torch.export.export(layer, (x,)).module()
    for y in (compiled(x), exported(x), functional_call(layer, state, (x,))):
        assert torch.allclose(y, proven, atol=FLOAT32)
    compiled(x).sum().backward()
    assert trained(layer)[1].grad is not None


if __name__ == "__main__":
    for kind in KINDS.values():
        torch.compiler.reset()
        training_compiles_without_breaks(kind, autocast=False)
        training_compiles_without_breaks(kind, autocast=True)
        evaluation_is_proven_without_breaks(kind)
