"""A recording on ECG paper, as a cart prints it.

The picture is one plane in mm. Layout and marks follow AHA/ACC/HRS 2007, part I
(https://doi.org/10.1161/CIRCULATIONAHA.106.180200): 25 mm/s and 10 mm/mV, a calibration pulse, and
leads that are aligned in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ecg_assets.figures import INK, make_figure
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ecg_assets.api.recording import Recording

LAYOUTS = ("auto", "3x4", "rows")
_COLUMNS = 4
_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_SHOWN_S = 10.0
_MM_PER_INCH = 25.4
_MARGIN_MM, _PULSE_MM, _HEAD_MM = 5.0, 12.0, 10.0
_PAPER = ((1.0, "#fbdfdc", 0.35), (5.0, "#f0aaa5", 0.6))
"""Small and large squares: distance in mm, colour, width in points."""


class _Scale(NamedTuple):
    """Of the paper: mm a second, and mm a mV."""

    speed: float
    gain: float


class _Strip(NamedTuple):
    """A lead from one second to another, on a line of the paper."""

    lead: str
    row: int
    start_s: float
    stop_s: float


def draw_on_paper(
    recording: Recording,
    *,
    start_s: float,
    layout: str,
    rhythm_lead: str,
    speed_mm_s: float,
    gain_mm_mv: float,
) -> Figure:
    """Draw a recording; arguments are those of `Recording.plot`."""
    for name, value in (("speed_mm_s", speed_mm_s), ("gain_mm_mv", gain_mm_mv)):
        if not 1 <= value <= 200:
            raise ValueError(f"{name} is {value}; expected a number from 1 to 200.")
    if not 0 <= start_s < recording.duration_s:
        raise ValueError(
            f"start_s is {start_s}; the recording has {recording.duration_s:g} s, so expected a "
            "number from 0 and below it."
        )
    seconds = min(_SHOWN_S, recording.duration_s - start_s)
    strips = _lay_out(recording, layout, rhythm_lead, start_s, seconds)
    row_mm = (30.0 if len(strips) > len(STANDARD_LEADS) else 20.0) * gain_mm_mv / 10
    n_rows = max(strip.row for strip in strips) + 1
    width = 2 * _MARGIN_MM + _PULSE_MM + seconds * speed_mm_s
    height = 2 * _MARGIN_MM + _HEAD_MM + n_rows * row_mm
    # Whole large squares: the paper ends at a thick line.
    width, height = (5 * float(np.ceil(mm / 5)) for mm in (width, height))
    figure, [[axes]] = make_figure(width / _MM_PER_INCH, height / _MM_PER_INCH)
    figure.set_layout_engine("none")
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(0, height))
    _draw_squares(axes, width, height)
    scale = _Scale(speed_mm_s, gain_mm_mv)
    left, top = _MARGIN_MM + _PULSE_MM, height - _MARGIN_MM - _HEAD_MM
    for row in range(n_rows):
        _draw_pulse(axes, top - (row + 0.5) * row_mm, scale)
    for strip in strips:
        line = top - (strip.row + 0.5) * row_mm
        place = left + (strip.start_s - start_s) * speed_mm_s
        _draw_strip(axes, recording, strip, (place, line), scale)
    axes.text(left, height - _MARGIN_MM, recording.record_id, color=INK, fontsize=9, va="top")
    said = f"{speed_mm_s:g} mm/s   {gain_mm_mv:g} mm/mV   {recording.sample_rate_hz:g} Hz"
    end = width - _MARGIN_MM
    axes.text(end, height - _MARGIN_MM, said, color=INK, fontsize=8, va="top", ha="right")
    return figure


def _lay_out(
    recording: Recording, layout: str, rhythm_lead: str, start_s: float, seconds: float
) -> list[_Strip]:
    """Say which lead stands where."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}.")
    missing = [lead for lead in (*STANDARD_LEADS, rhythm_lead) if lead not in recording.leads]
    if layout == "3x4" and missing:
        raise ValueError(f"layout 3x4 needs {missing}, which the recording lacks; use 'rows'.")
    stop_s = start_s + seconds
    is_short = seconds < _SHOWN_S - 1 / recording.sample_rate_hz
    if layout == "rows" or (layout == "auto" and (missing or is_short)):
        return [_Strip(lead, row, start_s, stop_s) for row, lead in enumerate(recording.leads)]
    step = seconds / _COLUMNS
    strips = [
        _Strip(lead, row, start_s + at * step, start_s + (at + 1) * step)
        for row, leads in enumerate(_ROWS)
        for at, lead in enumerate(leads)
    ]
    return [*strips, _Strip(rhythm_lead, len(_ROWS), start_s, stop_s)]


def _draw_squares(axes: Axes, width: float, height: float) -> None:
    """Draw the paper's squares as lines: ticks of this number take seconds."""
    for step, color, line in _PAPER:
        columns, rows = np.arange(0, width + 0.5, step), np.arange(0, height + 0.5, step)
        axes.vlines(columns, 0, height, color=color, linewidth=line, zorder=0.5)
        axes.hlines(rows, 0, width, color=color, linewidth=line, zorder=0.5)


def _draw_pulse(axes: Axes, line: float, scale: _Scale) -> None:
    """Draw 1 mV for 0.2 s left of a row; where it would not fit, as wide as there is room."""
    width = min(0.2 * scale.speed, _PULSE_MM - 4)
    x = _MARGIN_MM + np.array([0, 1, 1, 1 + width, 1 + width, 2 + width])
    y = line + scale.gain * np.array([0, 0, 1, 1, 0, 0])
    axes.plot(x, y, color=INK, linewidth=0.8, solid_joinstyle="miter")


def _draw_strip(
    axes: Axes, recording: Recording, strip: _Strip, origin: tuple[float, float], scale: _Scale
) -> None:
    """Draw a lead around its line, with its name and a mark where it begins."""
    rate, signal = recording.sample_rate_hz, recording[strip.lead]
    place, line = origin
    first, last = round(strip.start_s * rate), round(strip.stop_s * rate)
    # Over the whole lead, so that the parts of one lead lie on one line.
    middle = float(np.nanmedian(signal)) if np.isfinite(signal).any() else 0.0
    part = signal[first : last + 1] - middle
    x = place + np.arange(len(part)) / rate * scale.speed
    axes.plot(x, line + part * scale.gain, color=INK, linewidth=0.8, solid_joinstyle="round")
    axes.plot([place, place], [line - 3, line + 3], color=INK, linewidth=0.8)
    axes.text(
        place + 1.2, line + 0.9 * scale.gain, strip.lead, color=INK, fontsize=9, weight="bold"
    )
