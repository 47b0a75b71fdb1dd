"""Recordings as strips on ECG paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ecg_assets.figures import INK, make_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_strips(
    captions: Sequence[str],
    signals_mv: Sequence[NDArray[np.float32]],
    sample_rates_hz: Sequence[float],
    weights: Sequence[NDArray[np.float32]] | None = None,
) -> bytes:
    """Draw leads one above the other: a large square is 0.2 s and 0.5 mV.

    Parameters
    ----------
    captions
        What stands above each.
    signals_mv
        One lead of each in mV, float32 ``(sample,)``; NaN leaves a gap.
    sample_rates_hz
        Of each.
    weights
        A weight for each sample of each, ``(sample,)``, drawn as a shade behind it: red above
        0, blue below, by its share of the strip's largest. None draws no shade.
    """
    figure, grid = make_figure(9, 1.75 * len(captions) + 0.2, len(captions), has_frame=True)
    shades: Sequence[NDArray[np.float32] | None] = weights or [None] * len(captions)
    for axes, caption, signal, rate, shade in zip(
        grid[:, 0], captions, signals_mv, sample_rates_hz, shades, strict=True
    ):
        middle = float(np.nanmedian(signal)) if np.isfinite(signal).any() else 0.0
        axes.plot(np.arange(len(signal)) / rate, signal - middle, color=INK, linewidth=0.8)
        axes.set_xlim(0, len(signal) / rate)
        reach = np.nanmax(np.abs(signal - middle)) if np.isfinite(signal).any() else 1.0
        axes.set_ylim(-max(1.0, min(reach, 3.0)), max(1.0, min(reach, 3.0)))
        if shade is not None:
            _draw_shade(axes, shade, len(signal) / rate)
        _draw_paper(axes)
        axes.set_title(caption, fontsize=9, loc="left")
    return to_png(figure)


def _draw_paper(axes: Axes) -> None:
    """Draw the squares of ECG paper; as lines, because ticks of this number take seconds."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for factor, color, width in ((1, "#fbe3e3", 0.4), (5, "#f2b8b8", 0.6)):
        small_s, small_mv = 0.04 * factor, 0.1 * factor
        columns = small_s * np.arange(np.ceil(left / small_s), right / small_s)
        rows = small_mv * np.arange(np.ceil(bottom / small_mv), top / small_mv)
        axes.vlines(columns, bottom, top, color=color, linewidth=width, zorder=0.5)
        axes.hlines(rows, left, right, color=color, linewidth=width, zorder=0.5)
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])


def _draw_shade(axes: Axes, weights: NDArray[np.float32], seconds: float) -> None:
    """Shade a strip; over 60 ms weights are averaged, single samples would not be seen."""
    smooth = uniform_filter1d(weights, max(round(0.06 * len(weights) / seconds), 1))
    axes.imshow(
        (smooth / (float(np.abs(smooth).max()) or 1.0))[None],
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        alpha=0.75,
        aspect="auto",
        extent=(0, seconds, *axes.get_ylim()),
        zorder=0,
    )
