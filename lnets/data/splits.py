"""Which images are trained on, and which are held out; always the same for the same seed."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from lnets.errors import SpecError


class Split(NamedTuple):
    """Disjoint indices of images."""

    train: Int[Tensor, " n"]
    validation: Int[Tensor, " m"]


def split_by_fraction(
    labels: Int[Tensor, " all"], train: float, validation: float, seed: int
) -> Split:
    """Shares of every class.

    Args:
        labels: Of all images.
        train: Share that is trained on; above 0.
        validation: Share that is held out; at most 1 − train.
        seed: Of the draw.

    Raises:
        SpecError: If a share above 0 holds no image.
    """

    def counts(size: int) -> tuple[int, int]:
        held_out = round(validation * size)
        return min(round(train * size), size - held_out), held_out

    split = _split_classes(labels, counts, seed)
    for name, share, indices in (
        ("train", train, split.train),
        ("validation", validation, split[1]),
    ):
        if share > 0 and not len(indices):
            raise SpecError(
                f"`{name}` must be a share that holds at least one image of a class, got {share} "
                f"of {len(labels)} images; ask for more"
            )
    return split


def split_per_class(labels: Int[Tensor, " all"], train: int, validation: int, seed: int) -> Split:
    """The same number of images of every class.

    With one seed and one `validation`, a larger `train` adds images to those of a smaller one.

    Args:
        labels: Of all images.
        train: Images of each class that are trained on.
        validation: Images of each class that are held out.
        seed: Of the draw.

    Raises:
        SpecError: If a class has fewer.
    """
    sizes = labels.bincount()
    smallest = min(sizes[sizes > 0].tolist(), default=0)
    if train + validation > smallest:
        raise SpecError(
            f"train + validation must be at most {smallest:,} images per class, which is what "
            f"class {int((sizes == smallest).nonzero()[0])} has, got {train} + {validation}; ask "
            "for fewer"
        )
    return _split_classes(labels, lambda _: (train, validation), seed)


def halves(n: int) -> tuple[Int[Tensor, " half"], Int[Tensor, " rest"]]:
    """Indices of two disjoint halves of n images, drawn once and for all.

    Args:
        n: How many images there are; the first half is the larger one.
    """
    order = torch.randperm(n, generator=Generator().manual_seed(0))
    middle = (n + 1) // 2
    return order[:middle], order[middle:]


def _split_classes(labels: Tensor, counts: Callable[[int], tuple[int, int]], seed: int) -> Split:
    order = torch.randperm(len(labels), generator=Generator().manual_seed(seed))
    by_class = order[labels[order].argsort(stable=True)].split(labels.bincount().tolist())
    train, validation = [], []
    for indices in by_class:
        wanted, held_out = counts(len(indices)) if len(indices) else (0, 0)
        validation.append(indices[:held_out])
        train.append(indices[held_out : held_out + wanted])
    return Split(torch.cat(train).sort().values, torch.cat(validation).sort().values)
