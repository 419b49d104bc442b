import pytest
import torch
from torch import Generator

from lnets.data.distributions import ImageSamples, MultiSphericalShell, known_wasserstein
from lnets.data.images import load_digits
from lnets.data.splits import halves
from lnets.functional.transport import exact_wasserstein

CPU = torch.device("cpu")


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_samples_lie_on_the_shells(dim: int) -> None:
    shell = MultiSphericalShell(dim=dim, radius=2, center_x=(-10, 0, 10), empty_dim=3)
    samples = shell.held_out(500, generator())
    assert samples.shape == (500, dim + 3)
    assert torch.equal(samples[:, dim:], torch.zeros(500, 3, dtype=torch.float64))
    centers = torch.zeros(3, dim + 3, dtype=torch.float64)
    centers[:, 0] = torch.tensor([-10.0, 0, 10])
    distances, nearest = torch.cdist(samples, centers).min(dim=1)
    assert torch.allclose(distances, torch.tensor(2.0, dtype=torch.float64), atol=1e-12)
    assert all(count > 100 for count in nearest.bincount())
    assert torch.cdist(samples, samples).max() <= shell.diameter


def test_a_line_has_two_points_per_shell() -> None:
    samples = MultiSphericalShell(dim=1, radius=1.5).sample(200, generator())
    assert samples.dtype == torch.float32
    assert {round(value, 5) for value in samples.flatten().tolist()} == {-1.5, 1.5}


def test_grids_hold_the_same_numbers() -> None:
    flat = MultiSphericalShell(dim=4, radius=1, empty_dim=2)
    grid = MultiSphericalShell(dim=4, radius=1, empty_dim=2, reshape_to_grid=(2, 3))
    samples = grid.sample(7, generator())
    assert samples.shape == (7, 1, 2, 3)
    assert torch.equal(samples.flatten(1), flat.sample(7, generator()))


def test_the_known_distance_is_that_of_large_samples() -> None:
    first = MultiSphericalShell(dim=2, radius=0.25, center_x=(-2, 0, 2))
    second = MultiSphericalShell(dim=2, radius=1, center_x=(2, 0, -2))
    known = known_wasserstein(first, second)
    assert known == 0.75
    sampled = exact_wasserstein(
        first.held_out(1500, generator(1)), second.held_out(1500, generator(2))
    )
    # Samples of 1,500 points are off by the unequal counts around the centres: a few percent.
    assert sampled == pytest.approx(known, rel=0.15)


@pytest.mark.parametrize(
    "other",
    [
        {"dim": 2, "radius": 1.0, "center_x": (0, 1)},
        {"dim": 3, "radius": 1.0},
        {"dim": 2, "radius": 1.0, "center_x": (1,)},
        {"dim": 2, "radius": 1.0, "empty_dim": 1},
    ],
)
def test_no_distance_is_claimed_where_none_is_known(other: dict[str, object]) -> None:
    centers = other.get("center_x", (0,)) if other.get("center_x") == (0, 1) else (0,)
    first = MultiSphericalShell(dim=2, radius=0, center_x=centers)  # type: ignore[arg-type]
    assert known_wasserstein(first, MultiSphericalShell(**other)) is None  # type: ignore[arg-type]


def test_the_digits_are_the_real_ones() -> None:
    images, labels = load_digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.min() == 0
    assert images.max() == 1
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize("others", [(3,), (8,), (3, 8), None], ids=str)
def test_training_and_held_out_images_are_disjoint(others: tuple[int, ...] | None) -> None:
    """Also where the two are asked for by different classes."""
    first, second = halves(1797)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(1797))
    _, labels = load_digits()
    samples, other = (ImageSamples(classes=classes, device=CPU) for classes in ((3,), others))
    trained = samples.sample(5_000, generator()).unique(dim=0).double()
    held_out = other.held_out(10_000, generator())
    assert len(torch.cat((held_out, trained)).unique(dim=0)) == len(held_out) + len(trained)
    threes = (labels == 3).nonzero().squeeze(1)
    assert set(threes.tolist()) & set(first.tolist())
    assert len(trained) == sum(index in set(first.tolist()) for index in threes.tolist())
    assert len(samples.held_out(5, generator())) == 5


def test_images_that_are_not_flattened_hold_the_same_pixels() -> None:
    flat, images = (ImageSamples(classes=(3,), flatten=f, device=CPU) for f in (True, False))
    assert images.sample(5, generator()).shape == (5, 1, 8, 8)
    for name in ("sample", "held_out"):
        one, other = (getattr(samples, name)(5, generator()) for samples in (flat, images))
        assert torch.equal(one, other.flatten(1))
    assert flat.diameter == images.diameter


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        ImageSamples(classes=(77,), device=CPU)
