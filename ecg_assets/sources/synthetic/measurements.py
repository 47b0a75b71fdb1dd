"""What the cart measures in a recording: intervals and axes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ecg_assets.sources.synthetic.beats import Beats
from ecg_assets.sources.synthetic.leads import frontal_axis_deg
from ecg_assets.sources.synthetic.wave_shapes import P_MS, BeatShape, Waves

NOT_MEASURED = 29999
_P_ONSET_MS = 40
_QRS_ONSET_MS = 200
"""Where a cart's average beat starts: at its P wave, or at its QRS when there is none."""


@dataclass(frozen=True)
class Measurements:
    """Times of an average beat in ms, axes in degrees; `NOT_MEASURED` where there is none."""

    rr_interval: int
    p_onset: int
    p_end: int
    qrs_onset: int
    qrs_end: int
    t_end: int
    p_axis: int
    qrs_axis: int
    t_axis: int

    @property
    def rate_bpm(self) -> float:
        """Ventricular rate."""
        return 60_000 / self.rr_interval

    def to_row(self) -> dict[str, int]:
        """Columns of MIMIC-IV-ECG's machine_measurements.csv."""
        return asdict(self)


def measure(beats: Beats, shape: BeatShape, p_wave: Waves) -> Measurements:
    """Measure a recording from what it was made of.

    Parameters
    ----------
    beats
        Its beats.
    shape
        Shape of most of them, with the patient's size, axis and QT.
    p_wave
        The patient's P wave.
    """
    has_p = not np.isnan(beats.pr_s)
    qrs_onset = round(_P_ONSET_MS + 1000 * beats.pr_s) if has_p else _QRS_ONSET_MS
    t_end = qrs_onset + round(float(shape.t[0, 0] + 2.3 * shape.t[0, 2]))
    return Measurements(
        rr_interval=round(1000 * beats.mean_rr_s),
        p_onset=_P_ONSET_MS if has_p else NOT_MEASURED,
        p_end=round(_P_ONSET_MS + P_MS) if has_p else NOT_MEASURED,
        qrs_onset=qrs_onset,
        qrs_end=qrs_onset + round(shape.qrs_ms),
        t_end=t_end,
        p_axis=_axis_deg(p_wave) if has_p else NOT_MEASURED,
        # Waves that peak after the QRS belong to the ST segment.
        qrs_axis=_axis_deg(shape.qrs[shape.qrs[:, 0] < shape.qrs_ms]),
        t_axis=_axis_deg(shape.t),
    )


def _axis_deg(waves: Waves) -> int:
    """Frontal axis of the waves' area."""
    area = (waves[:, 1:3].mean(axis=1)[:, None] * waves[:, 3:]).sum(axis=0)
    return round(frontal_axis_deg(area))
