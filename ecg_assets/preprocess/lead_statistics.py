"""Exact statistics and quality flags of stored leads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.preprocess.model_input import to_millivolts
from ecg_assets.sources import MISSING

MIN_PLATEAU_SAMPLES = 10
"""So many equal samples in a row at a lead's extreme count as clipped: 20 ms at 500 Hz.

The apex of a QRS complex, stored in steps of 5 µV, lasts one or two samples.
"""

_LARGEST = np.iinfo(np.int16).max


@dataclass(frozen=True)
class LeadStatistics:
    """Statistics of each lead of recordings; every array is ``(record, lead)``.

    Attributes
    ----------
    sum, sum_sq
        Exact int64 sum of the samples and of their squares, without missing ones.
    n_missing
        Missing samples, int32.
    min, max
        Extremes in ADC units, int16; -32768 where every sample is missing.
    is_flat
        No two samples differ (also where every sample is missing).
    n_clipped
        Samples, int32, in runs of at least `MIN_PLATEAU_SAMPLES` at the lead's minimum or
        maximum; 0 for a flat lead.
    """

    sum: NDArray[np.int64]
    sum_sq: NDArray[np.int64]
    n_missing: NDArray[np.int32]
    min: NDArray[np.int16]
    max: NDArray[np.int16]
    is_flat: NDArray[np.bool_]
    n_clipped: NDArray[np.int32]


def measure_leads(block: NDArray[np.int16]) -> LeadStatistics:
    """Measure each lead of recordings of one length.

    Parameters
    ----------
    block
        Stored integers, ``(record, lead, sample)``, at least one sample; -32768 is missing.

    >>> block = np.array([[[1, 2, MISSING, 5]]], np.int16)
    >>> int(measure_leads(block).sum[0, 0]), int(measure_leads(block).min[0, 0])
    (8, 1)
    """
    highest = block.max(axis=-1)  # MISSING is the smallest int16: it hides no maximum
    lowest = block.min(axis=-1)
    n_missing = np.zeros(lowest.shape, np.int32)
    for at in zip(*np.nonzero(lowest == MISSING), strict=True):
        missing = block[at] == MISSING
        n_missing[at] = missing.sum()
        if highest[at] != MISSING:
            lowest[at] = np.where(missing, _LARGEST, block[at]).min()
    wide = block.astype(np.int64)
    n_wide = n_missing.astype(np.int64)
    return LeadStatistics(
        sum=wide.sum(axis=-1) - n_wide * MISSING,
        sum_sq=np.einsum("rls,rls->rl", wide, wide) - n_wide * MISSING**2,
        n_missing=n_missing,
        min=lowest,
        max=highest,
        is_flat=lowest == highest,
        n_clipped=_count_clipped(block, lowest, highest),
    )


def lacks_signal(is_flat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell of which recordings no lead holds anything: a score would be the model's bias.

    Parameters
    ----------
    is_flat
        As `measure_leads` gives it, of the leads that a model reads, ``(record, lead)``.

    >>> lacks_signal(np.array([[True, True], [True, False]])).tolist()
    [True, False]
    """
    return np.asarray(is_flat.all(axis=1), np.bool_)


def _count_clipped(
    block: NDArray[np.int16], lowest: NDArray[np.int16], highest: NDArray[np.int16]
) -> NDArray[np.int32]:
    n_clipped = np.zeros(lowest.shape, np.int32)
    for extreme in (lowest, highest):
        at_extreme = block == extreme[..., None]
        # Few leads stay at their extreme at all; only those are searched for runs.
        often = np.count_nonzero(at_extreme, axis=-1) >= MIN_PLATEAU_SAMPLES
        for at in zip(*np.nonzero(often & (lowest != highest)), strict=True):
            n_clipped[at] += _count_in_runs(at_extreme[at])
    return n_clipped


def _count_in_runs(mask: NDArray[np.bool_]) -> int:
    """Count true samples, ``(sample,)``, that stand in long enough runs."""
    borders = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    lengths = borders[1::2] - borders[::2]
    return int(lengths[lengths >= MIN_PLATEAU_SAMPLES].sum())


# Whether the six limb leads fit each other, as Einthoven's and Goldberger's equations demand.


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
    signal = to_millivolts(block[:, columns], gain[:, columns], baseline[:, columns])
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
