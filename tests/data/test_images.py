import pytest
import torch
from torch import Generator, Tensor

from lnets.data.images import Augmentation, ImageData, ImageSplits
from lnets.errors import DataError


def generator() -> Generator:
    return Generator().manual_seed(0)


def numbered(n: int, channels: int, height: int, width: int) -> Tensor:
    """Images without two equal pixels, and none that is black."""
    return torch.arange(1, n * channels * height * width + 1).view(n, channels, height, width)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pixels_are_from_0_to_1(dtype: torch.dtype) -> None:
    bytes_ = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    images = bytes_ if dtype == torch.uint8 else bytes_ / 255
    data = ImageData("x", images, torch.arange(4), 4)
    before = images.clone()
    pixels = data.pixels(torch.tensor([3, 0]))
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels, bytes_[[3, 0]].float() / 255)
    assert torch.equal(data.pixels(slice(None)).flatten() * 255, torch.arange(256.0))
    assert torch.equal(data.images, before)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.1, 1.1])
def test_pixels_that_are_none_are_refused(wrong: float) -> None:
    images = torch.rand(5, 1, 2, 2)
    images[3, 0, 1, 1] = wrong
    with pytest.raises(DataError, match=r"x: pixels must be finite .* image 3 has others"):
        ImageData("x", images, torch.zeros(5, dtype=torch.int64), 10)


@pytest.mark.parametrize("wrong", [-1, 10])
def test_labels_that_are_none_are_refused(wrong: int) -> None:
    with pytest.raises(DataError, match=f"x: labels must be 0 to 9, got {wrong}"):
        ImageData("x", torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([9, wrong]), 10)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_augmentation_changes_nothing(dtype: torch.dtype) -> None:
    images = (numbered(2, 3, 4, 5) % 256).to(dtype)
    assert torch.equal(Augmentation()(images, generator()), images)


def test_crops_are_windows_of_the_padded_images() -> None:
    images = numbered(200, 3, 5, 4)
    crops = Augmentation(crop_padding=2)(images, generator())
    padded = torch.nn.functional.pad(images, [2] * 4)
    seen = set()
    for image, crop in zip(padded, crops, strict=True):
        found = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if torch.equal(image[:, row : row + 5, column : column + 4], crop)
        ]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) == 25  # every shift is drawn


def test_flips_change_left_and_right_in_half_of_the_images() -> None:
    images = numbered(400, 2, 3, 3)
    flipped = Augmentation(flip=True)(images, generator())
    as_they_were = (flipped == images).flatten(1).all(dim=1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(dim=1)
    assert torch.equal(as_they_were, ~mirrored)
    # Five standard deviations of 400 throws of a coin.
    assert abs(int(mirrored.sum()) - 200) < 50


def test_every_image_has_its_own_label_after_augmentation() -> None:
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 6, 6)
    data = ImageData("x", images, torch.arange(10), 10)
    splits = ImageSplits(data, data, data, Augmentation(crop_padding=2, flip=True))
    index = torch.tensor([4, 9, 4, 0])
    pixels, labels = splits.training_batch(index, generator())
    assert torch.equal(labels, index)
    assert torch.equal((pixels.amax(dim=(1, 2, 3)) * 255).long(), index)
    again, _ = splits.training_batch(index, generator())
    assert torch.equal(pixels, again)


def test_some_images_are_spread_over_all() -> None:
    """Sorted by class, as some data sets are."""
    data = ImageData("x", torch.zeros(10, 1, 2, 2), torch.arange(10) // 2, 5)
    assert data.spread(5).labels.tolist() == [0, 1, 2, 3, 4]
    assert data.spread(3).labels.tolist() == [0, 1, 3]
    for every in (None, 10, 11):
        assert data.spread(every) is data
