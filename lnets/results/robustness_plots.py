"""Pictures of a classifier under attack: accuracies, images, gradients and Jacobians."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lnets.results.canvas import COLORS, GREY, draw_bands, legend_below, new_figure, save, style
from lnets.specs.figures import GALLERY, INPUT_GRADIENTS, JACOBIANS, ROBUSTNESS, ROBUSTNESS_NOTES

_NORMS = {"l2": "L2", "linf": "L∞"}
_DISTANCE = "_distance"
_POINTS = 500
_TILE = 0.95
# Red is positive, blue negative, white nothing.
_SIGNED = "RdBu_r"


def draw_robustness(folder: Path, label: str, out: Path) -> Iterator[Path]:
    """Draw what attacks on a classifier have left.

    Args:
        folder: Of the trial; what is not there is not drawn.
        label: What to call the trial.
        out: Where pictures go.
    """
    if (folder / ROBUSTNESS).exists():
        notes = json.loads((folder / ROBUSTNESS_NOTES).read_text(encoding="utf-8"))
        figure = _accuracies(_arrays(folder / ROBUSTNESS), notes, label)
        yield save(figure, out / "accuracy_epsilon.png")
    for name, draw in ((GALLERY, _gallery), (INPUT_GRADIENTS, _gradients), (JACOBIANS, _jacobians)):
        arrays = _arrays(folder / name) if (folder / name).exists() else {}
        if all(len(array) for array in arrays.values()) and arrays:  # maybe nothing was turned
            yield save(draw(arrays, label), out / Path(name).with_suffix(".png"))


def _arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _accuracies(arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any], label: str) -> Figure:
    """What is certified below, what attacks leave above, and between them what nobody knows."""
    norm, clean = _NORMS[notes["norm"]], float(arrays["clean_accuracy"])
    epsilons = np.append(0.0, arrays["epsilon"])
    fine = np.linspace(0, epsilons[-1], _POINTS)
    kinds = [name.removesuffix(_DISTANCE) for name in arrays if name.endswith(_DISTANCE)]
    apart = np.min([arrays[kind + _DISTANCE] for kind in kinds], axis=0)
    upper, lower = (apart > fine[:, None]).mean(axis=1), np.zeros_like(fine)
    # What no attack has answered for is no robustness.
    tried = np.append(clean, arrays["adversarial_accuracy"])[np.searchsorted(epsilons, fine)]
    upper[np.isnan(tried)] = np.nan
    failed = "no line where every attack has failed on some image" if np.isnan(tried).any() else ""
    title = f"{label}\naccuracy of {notes['images']:,} test images under attack"
    figure = new_figure(6.8, 4.6, title)
    axes: Any = figure.add_subplot()
    if notes["why_not_certified"] is None:
        lower = (arrays["certified_radius"] > fine[:, None]).mean(axis=1)
        axes.plot(fine, lower, color=COLORS[0], linewidth=1.8, label="certified")
    axes.fill_between(fine, lower, upper, color=GREY, alpha=0.18, linewidth=0, label="unknown")
    axes.plot(fine, upper, color=COLORS[1], linewidth=1.8, label="under all attacks")
    for kind, color in zip(kinds, COLORS[2:] * 4, strict=False):
        shares = np.append(clean, arrays[f"{kind}_accuracy"])
        axes.plot(epsilons, shares, ":o", color=color, linewidth=1, markersize=4, label=kind)
    axes.axhline(clean, color=GREY, linewidth=1, linestyle="--", label="clean")
    axes.set(xlim=(0, epsilons[-1]), ylim=(0, 1))
    axes.set(xlabel=f"ε in {norm} (pixels are in [0, 1])", ylabel="share of test images")
    style(axes, "\n".join(filter(None, (notes["why_not_certified"], failed))))
    legend_below(figure, axes)
    return figure


def _gallery(arrays: Mapping[str, np.ndarray], label: str) -> Figure:
    """Of each class an image, what was added, and the sum."""
    rows = ("clean", "perturbation", "adversarial")
    title = f"{label}\nimages that attacks have turned, and what they are classified as"
    figure, grid = _tiles(3, len(arrays["label"]), title)
    captions = zip(
        arrays["prediction"],
        arrays["adversarial_prediction"],
        arrays["distance"],
        arrays["attack"],
        strict=True,
    )
    for column, (before, after, distance, attack) in enumerate(captions):
        grid[0][column].set_title(f"{before}", fontsize=9)
        grid[2][column].set_title(f"{after}", fontsize=9, color=COLORS[1])
        grid[2][column].set_xlabel(f"{attack}\n{distance:.3g} away", fontsize=7)
        for axes, name in zip(grid[:, column], rows, strict=True):
            _show(axes, arrays[name][column], signed=name == "perturbation")
    for axes, name in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(name, fontsize=9)
    return figure


def _gradients(arrays: Mapping[str, np.ndarray], label: str) -> Figure:
    """Beside an image of each class the gradients of the cross entropy with each class."""
    images, gradients = arrays["image"], arrays["gradient"]
    title = f"{label}\ngradients of the cross entropy with each class, each at its own scale"
    figure, grid = _tiles(len(images), 1 + gradients.shape[1], title)
    for row, (image, own) in enumerate(zip(images, gradients, strict=True)):
        _show(grid[row][0], image)
        grid[row][0].set_ylabel(f"{arrays['label'][row]}", fontsize=9)
        for axes, gradient in zip(grid[row][1:], own, strict=True):
            _show(axes, gradient, signed=True)
    grid[0][0].set_title("image", fontsize=9)
    for other, axes in enumerate(grid[0][1:]):
        axes.set_title(f"{other}", fontsize=9)
    return figure


def _jacobians(arrays: Mapping[str, np.ndarray], label: str) -> Figure:
    """How many directions a classifier looks at, and how steep it is along each."""
    values = arrays["singular_values"]
    ranks = np.arange(1, values.shape[1] + 1)
    title = f"{label}\nsingular values of the Jacobians of logits at {len(values)} test images"
    figure = new_figure(6.4, 4.2, title)
    axes: Any = figure.add_subplot()
    draw_bands(axes, ranks, values.T)
    axes.set(xlabel="singular value, the largest first", ylabel="logits per pixel (L2)")
    axes.set(xticks=ranks[:: max(1, len(ranks) // 10)], ylim=(0, 1.05 * float(values.max()) or 1.0))
    style(axes)
    legend_below(figure, axes)
    return figure


def _tiles(rows: int, columns: int, title: str) -> tuple[Figure, Any]:
    """Axes for small pictures, below and beside each other."""
    figure = new_figure(max(4.0, _TILE * columns + 0.5), _TILE * rows + 1.2, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
    return figure, grid


def _show(axes: Any, image: np.ndarray, *, signed: bool = False) -> None:
    """Channels, height and width; signed numbers are scaled by the largest."""
    largest = float(np.abs(image).max()) or 1.0
    if len(image) == 1:
        look = {"cmap": _SIGNED, "vmin": -largest, "vmax": largest}
        axes.imshow(image[0], **(look if signed else {"cmap": "gray", "vmin": 0, "vmax": 1}))
        return
    pixels = np.moveaxis(0.5 + image / (2 * largest) if signed else image, 0, -1)
    axes.imshow(pixels.clip(0, 1))
