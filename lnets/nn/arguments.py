"""Arguments that have no meaning, refused where a module is built."""

from collections.abc import Iterable, Sequence
from numbers import Integral

import torch

from lnets.functional.orthonormalize import bjorck_iteration


def refuse_below(least: int, /, **arguments: int | Iterable[int]) -> None:
    """Sizes and counts must be whole numbers, none of them too small.

    Args:
        least: The smallest number that is allowed.
        **arguments: A number, or several, under the argument's name.

    Raises:
        ValueError: If one is smaller, or not whole.
    """
    for name, value in arguments.items():
        numbers = value if isinstance(value, Iterable) else (value,)
        if not all(isinstance(number, Integral) and number >= least for number in numbers):
            raise ValueError(f"`{name}` must be whole and at least {least}, got {value!r}.")


def pair(name: str, value: int | tuple[int, int], *, least: int) -> tuple[int, int]:
    """A number for each of two axes.

    Args:
        name: The argument's name.
        value: The two, or one for both.
        least: The smallest number that is allowed.

    Raises:
        ValueError: If one is smaller, or not whole, or there are not two.
    """
    refuse_below(least, **{name: value})
    both = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(both) != 2:
        raise ValueError(f"`{name}` must be one number, or two for both axes, got {value!r}.")
    return both[0], both[1]


def refuse_wide_padding(padding: Sequence[int], kernel_size: Sequence[int]) -> None:
    """Padding must be smaller than the kernel, so that every patch sees the image.

    Args:
        padding: Pixels on each side, along each axis.
        kernel_size: Pixels along each axis.

    Raises:
        ValueError: If one is not.
    """
    if any(p >= k for p, k in zip(padding, kernel_size, strict=True)):
        raise ValueError(
            "`padding` must be smaller than the kernel, since patches farther out see nothing of "
            f"the image, got padding={padding} and kernel_size={kernel_size}."
        )


def refuse_bjorck(bjorck_iter: int, bjorck_beta: float, bjorck_order: int = 1) -> None:
    """Björck's iteration must happen, and converge from norms of at most 1.

    Args:
        bjorck_iter: Iterations.
        bjorck_beta: Step size of order 1.
        bjorck_order: 1 to 4.

    Raises:
        ValueError: If one is out of range, or the step size does not fit the order.
    """
    refuse_below(1, bjorck_iter=bjorck_iter)
    if not 0 < bjorck_beta <= 0.5:
        raise ValueError(
            "`bjorck_beta` must be in (0, 0.5], else the iteration stands still or overshoots, got "
            f"{bjorck_beta}."
        )
    bjorck_iteration(torch.ones(1, 1), order=bjorck_order, beta=bjorck_beta)  # refuses the rest
