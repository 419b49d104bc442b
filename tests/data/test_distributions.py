import math

import pytest
import torch
from torch import Generator

from lnets.data.distributions import (
    Distribution,
    Gaussian,
    ImageSamples,
    MultiSphericalShell,
    PointCloud,
)
from lnets.data.images import ImageData, load_digits
from lnets.data.min_funnels import MinFunnels

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


def test_the_digits_are_the_real_ones() -> None:
    images, labels = load_digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.min() == 0
    assert images.max() == 1
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def image_data(n: int, dtype: torch.dtype = torch.uint8) -> ImageData:
    images = torch.randint(256, (n, 1, 2, 3), generator=generator(n), dtype=torch.uint8)
    images = images if dtype == torch.uint8 else images / 255
    return ImageData("some", images, torch.arange(n) % 2, 2)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_become_pixels(dtype: torch.dtype) -> None:
    train, held_out = image_data(9, dtype), image_data(5, dtype)
    flat, images = (ImageSamples(train, held_out, flatten=flatten) for flatten in (True, False))
    assert images.sample(4, generator()).shape == (4, 1, 2, 3)
    for name in ("sample", "held_out"):
        one, other = (getattr(samples, name)(50, generator()) for samples in (flat, images))
        assert torch.equal(one, other.flatten(1))
    drawn = {tuple(row.tolist()) for row in flat.sample(200, generator())}
    assert drawn == {tuple(row.tolist()) for row in train.pixels(slice(None)).flatten(1)}
    kept = flat.held_out(50, generator())
    assert kept.dtype == torch.float64
    assert kept.unique(dim=0).shape == (5, 6)
    assert len(flat.held_out(3, generator())) == 3
    assert flat.diameter == 6**0.5
    assert flat.deviation == 6**0.5 / 2


def test_a_gaussian_has_its_means_and_deviations() -> None:
    gaussian = Gaussian(dim=3, mean=(1.0, -2.0, 0.0), std=(0.5, 2.0, 1.0), device=CPU)
    samples = gaussian.held_out(40_000, generator())
    assert samples.dtype == torch.float64
    # Standard errors are 0.01 at most.
    assert samples.mean(dim=0).tolist() == pytest.approx([1, -2, 0], abs=0.05)
    assert samples.std(dim=0).tolist() == pytest.approx([0.5, 2, 1], rel=0.02)
    assert samples.T.corrcoef().fill_diagonal_(0).abs().max() < 0.02
    assert gaussian.deviation == 2
    assert math.isinf(gaussian.diameter)
    broad = Gaussian(dim=2, mean=(3.0,), std=(0.1,), device=CPU).sample(1000, generator())
    assert broad.dtype == torch.float32
    assert broad.mean(dim=0).tolist() == pytest.approx([3, 3], abs=0.02)


def test_points_are_trained_on_or_held_out() -> None:
    points = torch.arange(14, dtype=torch.float64).view(7, 2)
    cloud = PointCloud(points, support=(0.0, 13.0), device=CPU)
    trained = cloud.sample(300, generator()).unique(dim=0).double()
    held_out = cloud.held_out(300, generator())
    assert (len(trained), len(held_out)) == (4, 3)
    assert torch.equal(torch.cat((trained, held_out)).sort(dim=0).values, points)
    assert cloud.diameter == pytest.approx(13 * 2**0.5)
    assert cloud.deviation == cloud.diameter / 2
    again = PointCloud(points, support=None, device=CPU)
    assert torch.equal(again.held_out(300, generator()), held_out)
    assert math.isinf(again.diameter)
    assert math.isinf(again.deviation)


def _targets(dim: int) -> MinFunnels:
    return MinFunnels(side="target", dim=dim, num_funnels=3, device=CPU)


@pytest.mark.parametrize(
    "distribution",
    [
        Gaussian(dim=4, mean=(0.0,), std=(1.0, 3.0, 0.1, 0.5), device=CPU),
        _targets(1),
        _targets(6),
        MultiSphericalShell(dim=3, radius=1.0, center_x=(-2.0, 2.0)),
    ],
    ids=["gaussian", "cube of 1", "cube of 6", "shells"],
)
def test_lipschitz_functions_of_samples_are_as_concentrated_as_claimed(
    distribution: Distribution,
) -> None:
    """Means of 5 values exceed the expectation by t with probability ≤ exp(−5t²/(2σ²))."""
    samples = distribution.held_out(200_000, generator())
    critics = [
        samples[:, 0],
        samples.sum(dim=1) / samples.shape[1] ** 0.5,
        samples.norm(dim=1),
        -(samples - samples[0]).norm(dim=1),
        samples[:, -1].abs(),
    ]
    for values in critics:
        means = values.view(-1, 5).mean(dim=1) - values.mean()
        for level in (0.5, 0.1, 0.01):
            t = distribution.deviation * math.sqrt(2 * math.log(1 / level) / 5)
            for side in (means, -means):
                # 40,000 means: a share of 0.01 is off by 0.0005.
                assert float((side > t).double().mean()) <= level + 0.003
