"""The figures of the book: one size, one font, one palette that colour-blind readers can tell apart."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .drawing import Look, to_uint8

# Okabe & Ito 2008
PALETTE = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#E69F00",
    "black": "#000000",
}
STYLE: Any = {
    "figure.facecolor": "white",  # a light card on dark pages
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "font.size": 11,
    "axes.prop_cycle": plt.cycler(color=list(PALETTE.values())),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2,
    "lines.markersize": 6,
}


def plot(xlabel: str, ylabel: str, width: float = 7.0, height: float = 3.8) -> tuple[Figure, Axes]:
    """An empty plot in the book's style, in inches; labels carry their units."""
    plt.rcParams.update(STYLE)
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def show_pictures(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str],
    columns: int = 4,
    side: float = 2.1,
    bands: Sequence[int] = (),
) -> Figure:
    """Pictures (H, W, C) or (H, W) in [0, 1] in a grid, each under its title, their pixels left square and sharp.

    Of other bands than gray or colour, and where `bands` are named (one or three, counted from 1), those are shown, all
    stretched by the quantiles of the first picture, which a line below says.
    """
    rows = -(-len(pictures) // columns)
    plt.rcParams.update(STYLE)
    size = (side * columns, (side + 0.45) * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    if bands or pictures[0].shape[2:] not in ((), (1,), (3,)):
        look = Look.of(pictures[0], bands)
        pictures = [to_uint8(picture, look) for picture in pictures]
        figure.supxlabel(look.words, fontsize=9)
    for axes in grid.flat:
        axes.axis("off")
    for axes, picture, title in zip(grid.flat, pictures, titles, strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=10)
    return figure
