from typing import Any

import pytest
import torch
from torch import nn

from lnets.optim import AggMo, clip_row_norms_, keep_rows_, row_groups

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9),
    "adam": lambda groups: torch.optim.Adam(groups),
    "aggmo": lambda groups: AggMo(groups, betas=(0.0, 0.9)),
}
HYPERPARAMETERS = [
    {"lr": 0.1, "weight_decay": 0.0},
    {"lr": 0.1, "weight_decay": 0.0},
    {"lr": 0.2, "weight_decay": 0.5},
    {"lr": 0.1, "weight_decay": 0.5},
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_row_is_optimized_as_if_alone(name: str) -> None:
    torch.manual_seed(0)
    rows, gradients = torch.randn(4, 5), torch.zeros(4, 5)
    alone = [nn.Parameter(row.clone()) for row in rows]
    single = [
        OPTIMIZERS[name]([{"params": [p], **h}])
        for p, h in zip(alone, HYPERPARAMETERS, strict=True)
    ]
    optimizer = OPTIMIZERS[name](row_groups(rows, gradients, HYPERPARAMETERS))
    assert len(optimizer.param_groups) == 3
    kept = [0, 1, 2, 3]
    for step in range(6):
        if step == 3:
            kept = [1, 3]
            rows, gradients = rows[kept], gradients[kept]
            keep_rows_(optimizer, kept, rows, gradients)
        upstream = torch.randn(4, 5)
        gradients.copy_(upstream[kept])
        optimizer.step()
        for i, p in enumerate(alone):
            p.grad = upstream[i]
            single[i].step()
        assert torch.allclose(rows, torch.stack([alone[i].detach() for i in kept]), atol=1e-6)


def test_weight_decay_spares_the_first_columns() -> None:
    rows = torch.ones(2, 4)
    groups = row_groups(
        rows, torch.zeros(2, 4), [{"lr": 1.0, "weight_decay": 0.5}] * 2, num_undecayed=3
    )
    torch.optim.SGD(groups).step()
    assert torch.equal(rows, torch.tensor([[1.0, 1, 1, 0.5]] * 2))


def test_clipping_is_that_of_torch_for_each_row() -> None:
    gradients = torch.randn(3, 7)
    expected = []
    for row, most in zip(gradients, (0.5, torch.inf, 100.0), strict=True):
        p = nn.Parameter(torch.zeros(7))
        p.grad = row.clone()
        nn.utils.clip_grad_norm_([p], most)
        expected.append(p.grad)
    clip_row_norms_(gradients, torch.tensor([[0.5], [torch.inf], [100.0]]))
    assert torch.allclose(gradients, torch.stack(expected))
