"""Whether the six limb leads fit each other, as Einthoven's and Goldberger's equations demand.

Two of the six are measured, the others follow: III = II − I, aVR = −(I + II)/2,
aVL = I − II/2, aVF = II − I/2. A file that breaks this has columns under wrong names or with
wrong signs, or a lead that was damaged after recording. Electrodes on the wrong limbs keep the
equations and are not found this way.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources import MISSING

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
SUSPICIOUS_MV = 0.05
"""Above it an explanation is looked for: stored in steps of 5 µV, fitting leads stay below 0.01."""

# What each lead is of I and II.
_FROM_I_AND_II = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])


def measure_limb_leads(
    block: NDArray[np.int16],
    gain: NDArray[np.float64],
    baseline: NDArray[np.int64],
    leads: tuple[str, ...],
) -> tuple[NDArray[np.float64], list[str | None]]:
    """Measure how far recordings are from the equations, and what would explain it.

    Parameters
    ----------
    block
        Stored integers, ``(record, lead, sample)``; -32768 is missing.
    gain, baseline
        ADC units in one mV and at 0 mV, ``(record, lead)``.
    leads
        Names of the block's leads.

    Returns
    -------
    tuple
        The largest root mean square, over the leads, of a lead minus what I and II make of
        it, in mV, float64 ``(record,)``: offsets do not count; NaN without I, II and a third
        limb lead, or without a sample that all have. And for each recording above
        `SUSPICIOUS_MV` the one change that brings it below: ``aVF ↔ aVL`` (names
        exchanged) or ``−I`` (sign changed), ``unexplained`` if there is none; None for
        the others.
    """
    present = [lead for lead in LIMB_LEADS if lead in leads]
    if present[:2] != ["I", "II"] or len(present) < 3:
        return np.full(len(block), np.nan), [None] * len(block)
    columns = [leads.index(lead) for lead in present]
    signal = (block[:, columns] - baseline[:, columns, None]) / gain[:, columns, None]
    usable = (block[:, columns] != MISSING).all(axis=1)
    residuals = np.array(
        [_residual(s[:, u], present) for s, u in zip(signal, usable, strict=True)], np.float64
    )
    explained = [
        _explain(signal[row][:, usable[row]], present) if residual > SUSPICIOUS_MV else None
        for row, residual in enumerate(residuals)
    ]
    return residuals, explained


def _residual(signal: NDArray[np.float64], names: list[str]) -> float:
    """Give the largest root mean square of the leads' residuals, in mV."""
    if not signal.shape[1]:
        return np.nan
    expected = _FROM_I_AND_II[[LIMB_LEADS.index(name) for name in names]] @ signal[:2]
    return float((signal - expected).std(axis=1).max())


def _explain(signal: NDArray[np.float64], names: list[str]) -> str:
    for number, name in enumerate(names):
        changed = signal.copy()
        changed[number] *= -1
        if _residual(changed, names) <= SUSPICIOUS_MV:
            return f"−{name}"
    for one, other in combinations(range(len(names)), 2):
        changed = signal.copy()
        changed[[one, other]] = changed[[other, one]]
        if _residual(changed, names) <= SUSPICIOUS_MV:
            return f"{names[one]} ↔ {names[other]}"
    return "unexplained"
