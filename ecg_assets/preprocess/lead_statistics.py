"""Exact statistics and quality flags of stored leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
