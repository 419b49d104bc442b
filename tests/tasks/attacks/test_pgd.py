"""Our own projected gradients beside foolbox's, and beside boundaries that are known."""

import pytest
import torch
from torch import Tensor, nn

from lnets.functional.margins import margins
from lnets.nn import GroupSort
from lnets.nn.certificate import Norm
from lnets.tasks.attacks.attack import distances
from lnets.tasks.attacks.libraries import foolbox
from lnets.tasks.attacks.pgd import pgd, random_start, strongest
from tests.tasks.attacks.linear import boundary, example

NORMS: tuple[Norm, ...] = ("l2", "linf")
EPSILON = 0.4
# Sums in another order, over the steps.
ROUNDING = 1e-5


def network() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    layers = (nn.Flatten(), nn.Linear(16, 12), GroupSort(2), nn.Linear(12, 5))
    images = torch.rand(20, 1, 4, 4)
    return nn.Sequential(*layers).eval().requires_grad_(False), images, torch.randint(5, (20,))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("step_size", [None, 0.15])
def test_it_has_the_numbers_of_foolbox(norm: Norm, step_size: float | None) -> None:
    model, images, labels = network()
    ours = pgd(model, images, labels, EPSILON, norm=norm, steps=7, step_size=step_size)
    attacks = foolbox.attacks
    kind = {"l2": attacks.L2PGD, "linf": attacks.LinfPGD}[norm]
    theirs = kind(abs_stepsize=step_size or 2.5 * EPSILON / 7, steps=7, random_start=False).run(
        foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), images, labels, epsilon=EPSILON
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=ROUNDING)
    assert (ours - images).abs().max() > 0.1


@pytest.mark.parametrize("norm", NORMS)
def test_several_classifiers_are_attacked_as_each_alone(norm: Norm) -> None:
    model, images, labels = network()
    both, all_labels = torch.stack((images, images.flip(0))), torch.stack((labels, labels.flip(0)))
    together = pgd(
        lambda x: torch.stack([model(one) for one in x]), both, all_labels, 0.2, norm=norm, steps=4
    )
    for x, y, found in zip(both, all_labels, together, strict=True):
        assert torch.equal(pgd(model, x, y, 0.2, norm=norm, steps=4), found)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_random_start_is_anywhere_in_the_ball(norm: Norm, dtype: torch.dtype) -> None:
    images, radii = torch.rand(400, 1, 3, 3, dtype=dtype), torch.linspace(0.1, 1, 400, dtype=dtype)
    moved = random_start(images, radii, norm, torch.Generator().manual_seed(0))
    share = distances(moved, images, norm) / radii
    assert moved.dtype == dtype
    assert share.max() <= 1 + ROUNDING
    # Nine numbers are so far out at the median.
    assert abs(share.median() - 0.5 ** (1 / 9)) < 0.02


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
def test_the_strongest_search_ends_at_the_boundary(
    norm: Norm, dtype: torch.dtype, scale: float
) -> None:
    """Beyond a margin of a thousandth of the radius, whatever radius each image has."""
    model, images, labels = example(dtype=dtype, scale=scale)
    radii = boundary(model, images, labels, norm)
    assert (radii > 0.005).any()
    for factor, turned in ((0.999, False), (1.001, True)):
        moved = strongest(
            model,
            images,
            labels,
            factor * radii,
            norm=norm,
            restarts=2,
            generator=torch.Generator().manual_seed(0),
        )
        assert moved.dtype == dtype
        assert (distances(moved, images, norm) <= factor * radii + 1e-6).all()
        wrong = margins(model(moved), labels) <= 0
        far = radii > 0.005  # in float32 the thousandth of a smaller radius is rounding
        assert (wrong[far] == turned).all()


def test_restarts_find_more() -> None:
    model, images, labels = network()
    radii = torch.full((20,), 0.3)
    found = []
    for restarts in (1, 6):
        generator = torch.Generator().manual_seed(0)
        moved = strongest(
            model,
            images,
            labels,
            radii,
            norm="linf",
            steps=5,
            restarts=restarts,
            generator=generator,
        )
        found.append(margins(model(moved), labels))
    assert (found[1] <= found[0]).all()
    assert (found[1] < found[0]).any()
