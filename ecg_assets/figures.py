"""One style for all pictures: colours, figures, heat maps, intervals, and PNG bytes.

A figure is made by itself, without pyplot: no display, and no state between pictures.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, ACCENT, LIGHT = "#1f2933", "#9aa5b1", "#1a6fb5", "#a9cbe8"
LINE, PALE = "#e4e7eb", "#f4f6f8"
CONTRAST, FLAG = "#c2571a", "#c0392b"
"""What stands beside the accent, and what is wrong."""

SERIES = (ACCENT, CONTRAST, "#2f7d4f", "#8a4fb0", "#b8912a", "#c0405f", "#3a8f9e", "#6b7680")
"""Things without an order."""

DASHED: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "linestyle": "--"}
"""Of a line that curves or dots are held against: chance, a prevalence."""


def make_figure(
    width: float,
    height: float,
    n_rows: int = 1,
    n_columns: int = 1,
    *,
    lines: Literal["", "x", "y", "both"] = "",
    is_list: bool = False,
    has_frame: bool = False,
    **options: Any,
) -> tuple[Figure, NDArray[Any]]:
    """Make a figure and its axes, ``(row, column)``.

    Parameters
    ----------
    width, height
        In inches.
    lines
        Axis whose values are marked by light lines behind the picture.
    is_list
        Whether each place of the y axis is a thing with a name.
    has_frame
        Whether lines stand on all four sides, as around a heat map.
    options
        As `matplotlib.figure.Figure.subplots` takes them.
    """
    figure = _shown_figure()(figsize=(width, height), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False, **options)
    for axes in grid.flat:
        if lines:
            axes.grid(axis=lines, color=LINE, linewidth=0.8)
            axes.set_axisbelow(True)
        if is_list:
            axes.tick_params(axis="y", length=0, colors=INK)
            axes.spines["left"].set_visible(False)
            axes.spines["bottom"].set_color(MUTED)
        if not has_frame:
            axes.spines[["top", "right"]].set_visible(False)
    return figure, grid


@cache
def _shown_figure() -> type[Figure]:
    """Make the class of figures that a notebook shows without pyplot."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            return to_png(self)

    return ShownFigure


def draw_interval(
    axes: Axes,
    y: float,
    ends: Sequence[float],
    color: str,
    *,
    marker: str = "o",
    size: float = 5,
) -> None:
    """Draw a value and its interval, ``(value, low, high)``; without an interval it is hollow."""
    value, low, high = ends
    has_interval = bool(np.isfinite(low))
    if has_interval:
        axes.plot([low, high], [y, y], color=color, linewidth=1.8, solid_capstyle="butt")
    face = color if has_interval else "white"
    axes.plot(value, y, marker, color=color, markerfacecolor=face, markersize=size)


def draw_shares(
    axes: Axes,
    share: NDArray[np.float64],
    texts: NDArray[np.object_],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    size: float = 7,
    **options: Any,
) -> None:
    """Draw shares ``(row, column)`` from 0 (white) to 1 (dark blue), a text in each cell.

    Parameters
    ----------
    texts
        Of the same shape; an empty text is left out.
    size
        Of the texts in points.
    options
        As `matplotlib.axes.Axes.imshow` takes them.
    """
    axes.imshow(np.nan_to_num(share), cmap="Blues", vmin=0, vmax=1, **options)
    for (row, column), text in np.ndenumerate(texts):
        if text:
            color = "white" if share[row, column] > 0.55 else INK
            axes.text(column, row, text, color=color, fontsize=size, ha="center", va="center")
    axes.set_xticks(
        range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor", fontsize=8
    )
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.tick_params(length=0)


def to_png(figure: Figure) -> bytes:
    """Render a figure in 64 colours, without the time and the software's name in the file.

    A third of the size: pictures stand in the event log, once a shard. The same bytes for the
    same numbers.
    """
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=110)
    with Image.open(full) as image:
        image.convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    return small.getvalue()
