"""One simulated recording: beats, shapes and nuisance put together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.synthetic.beats import DURATION_S, Beats, simulate_beats
from ecg_assets.sources.synthetic.leads import (
    MIMIC_LEADS,
    project,
    project_electrodes,
    turn,
    twelve_leads,
)
from ecg_assets.sources.synthetic.measurements import Measurements, measure
from ecg_assets.sources.synthetic.study import Conduction, Ectopy, Rhythm, Study
from ecg_assets.sources.synthetic.wave_shapes import (
    BEAT_SHAPES,
    P_WAVE,
    BeatShape,
    Waves,
    turned_around,
    with_infarct,
)

# What atria do that do not beat: fibrillation and flutter waves.


Signal = NDArray[np.float64]

_FIBRILLATION_DIRECTION = np.array([0.07, 0.045, -0.11])
_FLUTTER_DIRECTION = np.array([0.13, -0.17, -0.04])


def draw_atrial_waves(
    rhythm: Rhythm, flutter_hz: float, times_s: Signal, rng: np.random.Generator
) -> Signal:
    """Heart vector of fibrillating or fluttering atria, in mV; zero in every other rhythm.

    Parameters
    ----------
    rhythm
        What drives the ventricles.
    flutter_hz
        Rate of flutter waves; only read in flutter.
    times_s
        Times of the samples, float64 (sample,).
    rng
        The study's own generator.

    Returns
    -------
    ndarray
        float64 (3, sample).
    """
    if rhythm in (Rhythm.FIBRILLATION, Rhythm.FIBRILLATION_PACED):
        return _FIBRILLATION_DIRECTION[:, None] * _fibrillation(times_s, rng)
    if rhythm is Rhythm.FLUTTER:
        return _FLUTTER_DIRECTION[:, None] * _flutter(times_s, flutter_hz, rng)
    return np.zeros((3, times_s.size))


def _fibrillation(times_s: Signal, rng: np.random.Generator) -> Signal:
    """Three waves of 4.5 to 8 Hz that drift in rate and size."""
    total = np.zeros(times_s.size)
    for hertz in rng.uniform(4.5, 8.0, 3):
        slow, phase, start = rng.uniform(0.15, 0.5), *rng.uniform(0, 2 * np.pi, 2)
        drift = 1.5 * np.sin(2 * np.pi * slow * times_s + phase)
        size = 1 + 0.4 * np.sin(2 * np.pi * slow * times_s + start)
        total += size * np.sin(2 * np.pi * hertz * times_s + drift + start)
    return np.asarray(total * rng.uniform(0.6, 1.15))


def _flutter(times_s: Signal, hertz: float, rng: np.random.Generator) -> Signal:
    """Saw teeth: three harmonics of one wave."""
    phase = 2 * np.pi * hertz * times_s + rng.uniform(0, 2 * np.pi)
    teeth = np.sin(phase) + 0.45 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)
    return np.asarray(teeth * rng.uniform(0.75, 1.25))


# What a recording has beside the heart: muscle, mains, breathing, loose electrodes.


N_ELECTRODES = 9
MAINS_HZ = 60.0


def draw_nuisance(times_s: Signal, *, is_noisy: bool, rng: np.random.Generator) -> Signal:
    """Nuisance in leads I, II, V1 … V6, in mV.

    Parameters
    ----------
    times_s
        Times of the samples, float64 (sample,).
    is_noisy
        False: what each recording has, 10 to 60 µV. True: at least two of strong muscle noise,
        a wandering baseline and electrodes that lose contact, from both arms at least.
    rng
        The study's own generator.

    Returns
    -------
    ndarray
        float64 (8, sample).
    """
    potentials = _muscle(times_s, 0.004, 0.012, rng)
    potentials += _wander(times_s, 0.01, 0.05, rng)
    potentials += _mains(times_s, 0.006, rng)
    if is_noisy:
        faulty = rng.random(3) < 0.65
        if faulty.sum() < 2:
            faulty[rng.choice(3, size=2, replace=False)] = True
        if faulty[0]:
            potentials += _bursts(times_s, rng) * _muscle(times_s, 0.07, 0.16, rng)
        if faulty[1]:
            potentials += _wander(times_s, 0.35, 0.9, rng)
        if faulty[2]:
            potentials += _lost_contact(times_s, rng)
    return project_electrodes(potentials)


def _level(low: float, high: float, rng: np.random.Generator) -> Signal:
    return np.asarray(rng.uniform(low, high, (N_ELECTRODES, 1)))


def _muscle(times_s: Signal, low: float, high: float, rng: np.random.Generator) -> Signal:
    white = rng.standard_normal((N_ELECTRODES, times_s.size + 2))
    smooth = (white[:, :-2] + white[:, 1:-1] + white[:, 2:]) / np.sqrt(3)
    return np.asarray(_level(low, high, rng) * smooth)


def _wander(times_s: Signal, low: float, high: float, rng: np.random.Generator) -> Signal:
    total = np.zeros((N_ELECTRODES, times_s.size))
    for lowest, highest in ((0.08, 0.2), (0.2, 0.45)):
        hertz = rng.uniform(lowest, highest, (N_ELECTRODES, 1))
        phase = rng.uniform(0, 2 * np.pi, (N_ELECTRODES, 1))
        total += _level(low, high, rng) / 2 * np.sin(2 * np.pi * hertz * times_s + phase)
    return total


def _mains(times_s: Signal, high: float, rng: np.random.Generator) -> Signal:
    phase = rng.uniform(0, 2 * np.pi)
    return _level(0, high, rng) * np.sin(2 * np.pi * MAINS_HZ * times_s + phase)


def _bursts(times_s: Signal, rng: np.random.Generator) -> Signal:
    """Slow rise and fall of muscle noise, between 0.35 and 1."""
    hertz, phase = rng.uniform(0.2, 0.6), rng.uniform(0, 2 * np.pi)
    return np.asarray(0.675 + 0.325 * np.sin(2 * np.pi * hertz * times_s + phase))


def _lost_contact(times_s: Signal, rng: np.random.Generator) -> Signal:
    """Jumps that die away within a second, a few on each electrode."""
    total = np.zeros((N_ELECTRODES, times_s.size))
    for electrode in range(N_ELECTRODES):
        for start_s in rng.uniform(0, times_s[-1], int(rng.integers(3, 7))):
            height = rng.choice((-1, 1)) * rng.uniform(0.4, 1.3)
            after = times_s - start_s
            total[electrode] += np.where(
                after > 0, height * np.exp(-np.maximum(after, 0) / rng.uniform(0.08, 0.4)), 0
            )
    return total


# Beats that come too early, from the ventricles or from the atria.


def add_premature_beats(beats: Beats, ectopy: Ectopy, rng: np.random.Generator) -> Beats:
    """Return the beats with some of them made premature, as `ectopy` says."""
    if ectopy is Ectopy.VENTRICULAR:
        return _with_ventricular(beats, rng)
    if ectopy is Ectopy.ATRIAL:
        return _with_atrial(beats, rng)
    return beats


def _with_ventricular(beats: Beats, rng: np.random.Generator) -> Beats:
    """Let some beats come early from the ventricles; the P wave that they hide is blocked.

    Each half of the recording has one, so that its 5 s segments show what its report says.
    """
    v, is_ectopic = beats.ventricular_s.copy(), beats.is_ectopic.copy()
    n = int(rng.integers(2, 5))
    wanted = (np.arange(n) + rng.uniform(0.25, 0.75, n)) * DURATION_S / n
    for i in np.unique(np.searchsorted(v, wanted)):
        if is_ectopic[i - 1]:
            continue
        distance = v[i] - v[i - 1]
        v[i] = v[i - 1] + min(rng.uniform(0.56, 0.68) * distance, rng.uniform(0.5, 0.62))
        is_ectopic[i] = True
    return replace(beats, ventricular_s=v, is_ectopic=is_ectopic)


def _with_atrial(beats: Beats, rng: np.random.Generator) -> Beats:
    """Let two or three sinus beats, P wave and all, come early and set the clock anew."""
    v, atrial = beats.ventricular_s.copy(), beats.atrial_s.copy()
    for wanted in rng.uniform(1, DURATION_S - 1, int(rng.integers(2, 4))):
        i = int(np.searchsorted(v, wanted))
        early = 0.32 * (v[i] - v[i - 1])
        v[i:] -= early
        atrial[i:] -= early
    return replace(beats, ventricular_s=v, atrial_s=atrial)


__all__ = ["MIMIC_LEADS", "SAMPLE_RATE_HZ", "Recording", "simulate_recording"]

SAMPLE_RATE_HZ = 500
N_SAMPLES = round(DURATION_S * SAMPLE_RATE_HZ)
_PAD = 2 * SAMPLE_RATE_HZ
_REACH = 4.0
"""Standard deviations after which a wave is over."""


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
