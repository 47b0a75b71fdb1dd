"""Shapes of single beats: bell curves of the heart's vector, as tables of data.

A row is a wave: time of its peak in ms (P: after the P wave's onset; QRS and ST: after the
QRS onset; T: 0, set later from the QT interval), width before and after the peak (standard
deviations, ms), and the vector in mV: x to the left, y down, z to the back. Amplitudes are the
author's, chosen until the twelve leads looked like what the label says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.synthetic.study import Conduction, Infarct

Waves = NDArray[np.float64]
"""float64 (wave, 6): peak time, width before, width after, x, y, z."""


@dataclass(frozen=True)
class BeatShape:
    """A ventricular beat: its QRS and ST waves, its T wave, its QRS duration in ms."""

    qrs: Waves
    t: Waves
    qrs_ms: float


def _waves(*rows: tuple[float, ...]) -> Waves:
    return np.array(rows, dtype=np.float64).reshape(-1, 6)


P_WAVE = _waves(
    (40, 17, 17, 0.13, 0.11, -0.05),
    (70, 19, 19, 0.14, 0.07, 0.06),
)
P_MS = 112.0

BEAT_SHAPES = {
    Conduction.NORMAL: BeatShape(
        _waves(
            (14, 6, 6, -0.12, -0.08, -0.28),
            (40, 10, 10, 1.35, 1.00, 0.35),
            (64, 8, 9, -0.22, -0.12, 0.55),
        ),
        _waves((0, 55, 34, 0.44, 0.30, -0.22)),
        88,
    ),
    # No septal q; broad notched R to the left and back; T the other way.
    Conduction.LEFT_BUNDLE_BLOCK: BeatShape(
        _waves(
            (40, 16, 17, 0.95, 0.40, 0.55),
            (90, 19, 18, 1.10, 0.35, 0.95),
            (122, 13, 15, 0.25, 0.05, 0.45),
            (165, 30, 50, -0.10, -0.03, -0.16),
        ),
        _waves((0, 60, 38, -0.50, -0.15, -0.50)),
        150,
    ),
    # A normal start, then a slow terminal force to the right and front.
    Conduction.RIGHT_BUNDLE_BLOCK: BeatShape(
        _waves(
            (14, 6, 6, -0.08, -0.06, -0.26),
            (38, 10, 10, 1.40, 0.85, 0.30),
            (92, 16, 18, -0.62, -0.03, -0.70),
            (122, 15, 20, -0.34, 0.00, -0.42),
        ),
        _waves((0, 55, 36, 0.40, 0.28, 0.24)),
        144,
    ),
    # The same, with the left ventricle's force turned up: q and tall R in I, rS in II and III.
    Conduction.BIFASCICULAR_BLOCK: BeatShape(
        _waves(
            (13, 7, 7, -0.22, 0.32, -0.24),
            (50, 13, 13, 1.45, -1.25, 0.30),
            (102, 15, 18, -0.80, 0.05, -0.75),
            (130, 13, 17, -0.36, 0.05, -0.42),
        ),
        _waves((0, 55, 36, 0.28, 0.40, 0.24)),
        150,
    ),
    # Delta wave, then the rest of a shortened normal beat; T against it.
    Conduction.PREEXCITED: BeatShape(
        _waves(
            (36, 17, 22, 0.66, 0.36, 0.20),
            (70, 12, 11, 1.05, 0.80, 0.30),
            (97, 8, 10, -0.22, -0.10, 0.40),
        ),
        _waves((0, 52, 36, -0.26, -0.05, 0.10)),
        124,
    ),
    # From a ventricle, to the left; `turned_around` gives the beats from the other side.
    Conduction.VENTRICULAR: BeatShape(
        _waves(
            (58, 24, 26, 1.75, -0.55, 0.70),
            (116, 22, 26, 0.95, -0.85, 0.30),
        ),
        _waves((0, 60, 46, -0.95, 0.30, -0.30)),
        168,
    ),
    # From the apex of the right ventricle: as in left bundle block, but upward.
    Conduction.PACED: BeatShape(
        _waves(
            (48, 18, 18, 0.80, -0.95, 0.70),
            (100, 22, 22, 0.95, -0.80, 0.90),
        ),
        _waves((0, 60, 40, -0.55, 0.50, -0.50)),
        164,
    ),
}


@dataclass(frozen=True)
class InfarctChange:
    """What an infarct does to a beat: waves added, factor of the main QRS wave, and the new T."""

    added: Waves
    r_scale: float
    t: Waves


INFARCT_CHANGES = {
    Infarct.LATERAL_OLD: InfarctChange(
        _waves((22, 10, 10, -1.15, 0.15, 0.15)),
        0.85,
        _waves((0, 50, 36, -0.34, 0.28, -0.15)),
    ),
    Infarct.LATERAL_ACUTE: InfarctChange(
        _waves((21, 9, 9, -0.75, 0.10, 0.10), (135, 38, 60, 0.55, -0.25, -0.05)),
        0.85,
        _waves((0, 55, 38, 0.50, 0.05, -0.15)),
    ),
    Infarct.ANTEROLATERAL: InfarctChange(
        _waves((22, 10, 10, -0.95, 0.10, 0.85), (135, 38, 60, 0.12, -0.05, -0.25)),
        0.75,
        _waves((0, 50, 36, -0.42, 0.12, 0.50)),
    ),
    Infarct.INFERIOR_OLD: InfarctChange(
        _waves((20, 9, 10, 0.10, -0.95, 0.10)),
        0.9,
        _waves((0, 52, 36, 0.50, -0.38, -0.20)),
    ),
    Infarct.INFERIOR_ACUTE: InfarctChange(
        _waves((20, 9, 9, 0.10, -0.70, 0.10), (135, 38, 60, -0.26, 0.48, 0.05)),
        0.95,
        _waves((0, 55, 38, -0.24, 0.52, -0.15)),
    ),
}


def with_infarct(shape: BeatShape, infarct: Infarct) -> BeatShape:
    """Return the shape as the infarct changes it."""
    if infarct is Infarct.NONE:
        return shape
    change = INFARCT_CHANGES[infarct]
    qrs = shape.qrs.copy()
    qrs[int(np.argmax(qrs[:, 3])), 3:] *= change.r_scale
    return replace(shape, qrs=np.vstack([qrs, change.added]), t=change.t)


def turned_around(shape: BeatShape) -> BeatShape:
    """Return the shape of a beat from the heart's other side: left and right exchanged."""
    mirror = np.array([1, 1, 1, -1, 1, -1])
    return replace(shape, qrs=shape.qrs * mirror, t=shape.t * mirror)
