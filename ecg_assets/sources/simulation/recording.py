"""One simulated recording: beats, shapes and nuisance put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.simulation.atrial_waves import draw_atrial_waves
from ecg_assets.sources.simulation.beats import DURATION_S, Beats, simulate_beats
from ecg_assets.sources.simulation.leads import MIMIC_LEADS, project, turn, twelve_leads
from ecg_assets.sources.simulation.measurements import Measurements, measure
from ecg_assets.sources.simulation.nuisance import draw_nuisance
from ecg_assets.sources.simulation.premature_beats import add_premature_beats
from ecg_assets.sources.simulation.study import Conduction, Study
from ecg_assets.sources.simulation.wave_shapes import (
    BEAT_SHAPES,
    P_WAVE,
    BeatShape,
    Waves,
    turned_around,
    with_infarct,
)

__all__ = ["MIMIC_LEADS", "SAMPLE_RATE_HZ", "Recording", "simulate_recording"]

SAMPLE_RATE_HZ = 500
N_SAMPLES = round(DURATION_S * SAMPLE_RATE_HZ)
_PAD = 2 * SAMPLE_RATE_HZ
_REACH = 4.0
"""Standard deviations after which a wave is over."""

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Recording:
    """A simulated recording.

    Attributes
    ----------
    signal_mv
        float64 (12, 5000), leads in MIMIC's order.
    beats
        When it beat.
    measurements
        What the cart would measure.
    """

    signal_mv: Signal
    beats: Beats
    measurements: Measurements


def simulate_recording(study: Study, rng: np.random.Generator) -> Recording:
    """Simulate ten seconds of a study.

    Parameters
    ----------
    study
        What to simulate.
    rng
        The study's own generator.
    """
    beats = add_premature_beats(simulate_beats(study, rng), study.ectopy, rng)
    conducted, ectopic = _shapes(study, beats.mean_rr_s)
    vector = np.zeros((3, N_SAMPLES + 2 * _PAD))
    heart = study.patient.heart
    p_wave = P_WAVE.copy()
    p_wave[:, 3:] = turn(P_WAVE[:, 3:], heart.axis_deg, 0.0) * heart.p_scale
    _add_waves(vector, beats.atrial_s, p_wave, rng)
    is_ectopic = beats.is_ectopic
    for times_s, shape in (
        (beats.ventricular_s[~is_ectopic], conducted),
        (beats.ventricular_s[is_ectopic], ectopic),
    ):
        _add_waves(vector, times_s, np.vstack([shape.qrs, shape.t]), rng)
    _add_spikes(vector, beats.spike_s, heart.spike_mv)
    inside = vector[:, _PAD : _PAD + N_SAMPLES]
    times_s = np.arange(N_SAMPLES) / SAMPLE_RATE_HZ
    atria = draw_atrial_waves(study.rhythm, beats.flutter_hz, times_s, rng)
    inside = inside + heart.amplitude * atria
    leads = project(inside) + draw_nuisance(times_s, is_noisy=study.is_noisy, rng=rng)
    main = ectopic if is_ectopic.mean() > 0.5 else conducted
    return Recording(twelve_leads(leads), beats, measure(beats, main, p_wave))


def _shapes(study: Study, mean_rr_s: float) -> tuple[BeatShape, BeatShape]:
    """Shape of this patient's conducted and ectopic beats at this rate."""
    heart = study.patient.heart
    conducted = with_infarct(BEAT_SHAPES[study.conduction], study.infarct)
    ectopic = BEAT_SHAPES[Conduction.VENTRICULAR]
    if heart.ectopic_sign < 0:
        ectopic = turned_around(ectopic)
    t_scale = heart.t_scale * (0.12 if study.has_flat_t else 1.0)
    return (
        _as_in(study, conducted, mean_rr_s, t_scale),
        _as_in(study, ectopic, mean_rr_s, heart.t_scale),
    )


def _as_in(study: Study, shape: BeatShape, mean_rr_s: float, t_scale: float) -> BeatShape:
    """Give a shape from the tables the patient's size, axis and width, and the rate's QT."""
    heart = study.patient.heart
    qrs, t = shape.qrs.copy(), shape.t.copy()
    qrs[:, :3] *= heart.qrs_width
    qrs_ms = shape.qrs_ms * heart.qrs_width
    # A fast heart repolarizes sooner (Bazett, with a normal QTc of 405 ms).
    qt_ms = 405 * np.sqrt(np.clip(mean_rr_s, 0.28, 1.5)) + 0.6 * (qrs_ms - 88)
    shortened = np.clip(qt_ms / 405, 0.62, 1.0)
    t[:, 1:3] *= shortened
    t[:, 0] = max(qt_ms - 2.3 * t[0, 2], qrs_ms + 1.1 * t[0, 1])
    t[:, 3:] *= t_scale
    for waves in (qrs, t):
        waves[:, 3:] = turn(waves[:, 3:], heart.axis_deg, heart.twist_deg) * heart.amplitude
    return BeatShape(qrs, t, qrs_ms)


def _add_waves(vector: Signal, times_s: Signal, waves: Waves, rng: np.random.Generator) -> None:
    """Add a beat's waves at each time; beats differ by some per cent, as breathing makes them."""
    times_s = times_s[(times_s > -1.5) & (times_s < DURATION_S + 0.5)]
    peak, before, after = waves[:, :3].T / 1000
    first_s = float((peak - _REACH * before).min())
    last_s = float((peak + _REACH * after).max())
    length = int((last_s - first_s) * SAMPLE_RATE_HZ) + 2
    start = np.ceil((times_s + first_s) * SAMPLE_RATE_HZ).astype(np.int64)
    grid = (start[:, None] + np.arange(length)) / SAMPLE_RATE_HZ - times_s[:, None]
    distance = grid[:, None, :] - peak[:, None]
    width = np.where(distance < 0, before[:, None], after[:, None])
    bells = np.exp(-0.5 * (distance / width) ** 2)
    beat = np.einsum("wd,nwl->ndl", waves[:, 3:], bells)
    phase = rng.uniform(0, 2 * np.pi)
    breath = 1 + 0.04 * np.sin(2 * np.pi * 0.25 * times_s + phase)
    beat *= (breath + 0.015 * rng.standard_normal(times_s.size))[:, None, None]
    for one, at in zip(beat, start + _PAD, strict=True):
        vector[:, at : at + length] += one


def _add_spikes(vector: Signal, times_s: Signal, lead_i_mv: float) -> None:
    """Add spikes of a pacemaker, two samples long, mostly along Lead I."""
    times_s = times_s[(times_s > 0) & (times_s < DURATION_S)]
    at = np.round(times_s * SAMPLE_RATE_HZ).astype(np.int64) + _PAD
    direction = np.array([1.4, 0.5, -0.2]) * lead_i_mv
    vector[:, at] += direction[:, None]
    vector[:, at + 1] += 0.45 * direction[:, None]
