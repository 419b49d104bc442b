import pytest
import torch

from lnets.optim import AggMo


def test_constant_gradients_give_the_published_path() -> None:
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = AggMo([weight], lr=0.1, betas=[0.0, 0.9, 0.99])
    path = []
    for _ in range(3):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        path.append(weight.item())
    assert path == pytest.approx([0.9, 0.737, 0.51433], abs=1e-5)


def test_weight_decay_is_added_to_the_gradient() -> None:
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = AggMo([weight], lr=0.1, betas=[0.0, 0.9], weight_decay=0.1)
    loss = optimizer.step(lambda: (optimizer.zero_grad(), (weight**2).sum().backward())[1] or 1.0)
    assert loss == 1.0
    assert weight.item() == pytest.approx(0.79)


def test_one_beta_is_heavy_ball() -> None:
    paths = []
    for make in (
        lambda p: AggMo(p, lr=0.005, betas=[0.9]),
        lambda p: torch.optim.SGD(p, lr=0.005, momentum=0.9),
    ):
        weight = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True)
        optimizer = make([weight])
        for _ in range(20):
            optimizer.zero_grad()
            (weight**4).sum().backward()
            optimizer.step()
        paths.append(weight.detach())
    assert torch.allclose(*paths, rtol=1e-12)


def test_its_state_can_be_stored() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = AggMo([weight])
    weight.grad = torch.ones(2)
    optimizer.step()
    copy = AggMo([weight])
    copy.load_state_dict(optimizer.state_dict())
    assert torch.equal(copy.state[weight]["momentum_1"], optimizer.state[weight]["momentum_1"])


@pytest.mark.parametrize(
    "bad", [{"lr": -1.0}, {"betas": []}, {"betas": [1.0]}, {"weight_decay": -1.0}]
)
def test_bad_hyperparameters_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        AggMo([torch.ones(1, requires_grad=True)], **bad)  # type: ignore[arg-type]
