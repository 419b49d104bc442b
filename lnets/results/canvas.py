"""Figures without a window: made, titled and saved as PNG, and put one after another as GIF."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 120
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which people with any colour vision tell apart."""
MAP = "viridis"
GREY = "#666666"

_FRAME_MILLISECONDS = 400
_LAST_MILLISECONDS = 2000
# Entries of a legend.
_MOST_BESIDE = 7


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure.

    Args:
        width: In inches.
        height: In inches.
        title: Above everything, of one line or more; empty for none.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def style(axes: Any, title: str = "") -> None:
    """What all flat axes have in common."""
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def draw_bands(axes: Any, x: Any, values: np.ndarray) -> None:
    """From the smallest to the largest, the middle eight tenths, and the median.

    Args:
        axes: Where to.
        x: Along which.
        values: A row for each x.
    """
    bands = ((0, 100, 0.2, "smallest to largest"), (10, 90, 0.35, "middle 80%"))
    for low, high, alpha, label in bands:
        ends = np.percentile(values, (low, high), axis=1)
        axes.fill_between(x, *ends, color=COLORS[0], alpha=alpha, linewidth=0, label=label)
    axes.plot(x, np.median(values, axis=1), color=COLORS[0], label="median")


def legend_below(figure: Figure, axes: Any) -> None:
    """One legend for the whole figure, of what is on some axes."""
    handles, labels = axes.get_legend_handles_labels()
    place: Any = "outside lower center"
    figure.legend(
        handles, labels, loc=place, ncols=min(len(labels), _MOST_BESIDE), fontsize=8, frameon=False
    )


def save(figure: Figure, file: Path) -> Path:
    """Write a PNG; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    return file


def animate(frames: Sequence[Path], file: Path) -> Path:
    """Write a GIF of pictures of one size; the last one stays longer."""
    durations = [_FRAME_MILLISECONDS] * (len(frames) - 1) + [_LAST_MILLISECONDS]
    images = _images(frames)
    next(images).save(file, save_all=True, append_images=images, duration=durations, loop=0)
    return file


def _images(files: Sequence[Path]) -> Iterator[Image.Image]:
    """One after the other, so that not all are in memory."""
    for file in files:
        with Image.open(file) as image:
            yield image.convert("RGB")
