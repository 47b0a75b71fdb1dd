"""What a recording has beside the heart: muscle, mains, breathing, loose electrodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.simulation.leads import project_electrodes

N_ELECTRODES = 9
MAINS_HZ = 60.0

Signal = NDArray[np.float64]


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
