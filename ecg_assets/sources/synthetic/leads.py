"""From the heart's vector to the twelve leads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
"""The leads in the order of MIMIC-IV-ECG's files: aVF stands before aVL."""

# Leads I, II, V1 … V6 from x (left), y (down), z (back); Dower, Machado, Osborne,
# "On deriving the electrocardiogram from vectorcardiographic leads", Clin Cardiol 1980;3:87.
_DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

# The same eight leads from the potentials of nine electrodes: RA, LA, LL, V1 … V6.
_ELECTRODES = np.zeros((8, 9))
_ELECTRODES[0, [0, 1]] = -1, 1
_ELECTRODES[1, [0, 2]] = -1, 1
_ELECTRODES[2:, :3] = -1 / 3
_ELECTRODES[range(2, 8), range(3, 9)] = 1

# III, aVR, aVF, aVL from I and II (Einthoven, Goldberger).
_LIMB = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [-0.5, 1], [1, -0.5]])

Signal = NDArray[np.float64]


def project(vector: Signal) -> Signal:
    """Leads I, II, V1 … V6, float64 (8, sample), of a heart vector, float64 (3, sample)."""
    return np.asarray(_DOWER @ vector)


def project_electrodes(potentials: Signal) -> Signal:
    """Leads I, II, V1 … V6, float64 (8, sample), of electrode potentials, float64 (9, sample)."""
    return np.asarray(_ELECTRODES @ potentials)


def twelve_leads(independent: Signal) -> Signal:
    """Twelve leads in MIMIC's order, float64 (12, sample), of I, II, V1 … V6.

    Examples
    --------
    >>> leads = twelve_leads(np.arange(8.0).reshape(8, 1))
    >>> dict(zip(MIMIC_LEADS, leads[:, 0].tolist()))["III"]
    1.0
    """
    return np.concatenate([_LIMB @ independent[:2], independent[2:]])


def frontal_axis_deg(vector: NDArray[np.float64]) -> float:
    """Direction of a vector in the frontal plane, in degrees: 0 is Lead I, 90 is aVF."""
    limb = _LIMB @ (_DOWER[:2] @ vector)
    return float(np.degrees(np.arctan2(limb[4], limb[0])))


def turn(vectors: NDArray[np.float64], axis_deg: float, twist_deg: float) -> NDArray[np.float64]:
    """Rotate vectors, float64 (n, 3), in the frontal plane and then in the horizontal plane."""
    a, b = np.radians(axis_deg), np.radians(twist_deg)
    frontal = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    horizontal = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    return np.asarray(vectors @ (horizontal @ frontal).T)
