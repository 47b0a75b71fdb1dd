"""What atria do that do not beat: fibrillation and flutter waves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.simulation.study import Rhythm

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
