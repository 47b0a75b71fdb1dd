"""Stored integers to standardized leads, in blocks of recordings of one length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_assets.preprocess.resample import count_resampled, resample_linear
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.preprocess.z_score import z_score, z_score_integers
from ecg_assets.sources import MISSING

_LEADS_PER_BLOCK = 32  # what fits in a core's cache: twice as fast as all at once


def count_standardized(
    n_samples: ArrayLike, sample_rate_hz: ArrayLike, spec: SignalSpec
) -> NDArray[np.int64]:
    """Count the samples that `standardize` gives for recordings of these lengths and sample rates.

    >>> count_standardized([5000, 4096, 900], [500, 400, 100], SignalSpec()).tolist()
    [5000, 5000, 4500]
    """
    kept = np.minimum(np.asarray(n_samples), _count_kept(sample_rate_hz, spec))
    resampled = count_resampled(kept, sample_rate_hz, spec.sample_rate_hz)
    return np.minimum(resampled, spec.record_samples)


def count_segments(
    n_samples: ArrayLike, sample_rate_hz: ArrayLike, spec: SignalSpec
) -> NDArray[np.int64]:
    """Whole segments in recordings of these lengths and sample rates.

    >>> count_segments([5000, 4999, 2499], 500, SignalSpec()).tolist()
    [2, 1, 0]
    """
    return count_standardized(n_samples, sample_rate_hz, spec) // spec.segment_samples


def standardize(
    block: NDArray[np.int16], sample_rate_hz: float, spec: SignalSpec
) -> NDArray[np.float32]:
    """Cut, resample and z-score each lead, then fill missing samples with 0.

    The result does not depend on gain (above 0) or baseline.

    Parameters
    ----------
    block
        Stored integers, ``(record, lead, sample)``; -32768 is a missing sample.
    sample_rate_hz
        Sample rate of all recordings of the block.
    spec
        What to make of them; the block's leads must already be those of the spec.

    Returns
    -------
    NDArray[np.float32]
        ``(record, lead, spec.record_samples or fewer)``: mean 0 and population standard
        deviation 1 over the samples that are not missing; a constant lead is 0.
    """
    kept = block[..., : int(_count_kept(sample_rate_hz, spec))]
    leads = kept.reshape(-1, kept.shape[-1])
    n_samples = int(count_standardized(block.shape[-1], sample_rate_hz, spec))
    result = np.empty((len(leads), n_samples), np.float32)
    for start in range(0, len(leads), _LEADS_PER_BLOCK):
        part = leads[start : start + _LEADS_PER_BLOCK]
        result[start : start + _LEADS_PER_BLOCK] = (
            z_score_integers(part[:, :n_samples])
            if sample_rate_hz == spec.sample_rate_hz
            else _resample_and_score(part, n_samples, sample_rate_hz, spec)
        )
    return result.reshape(*block.shape[:2], n_samples)


def _count_kept(sample_rate_hz: ArrayLike, spec: SignalSpec) -> NDArray[np.int64]:
    """Count the stored samples that reach to the end of ``record_s``."""
    return np.ceil(spec.record_s * np.asarray(sample_rate_hz, np.float64)).astype(np.int64)


def _resample_and_score(
    leads: NDArray[np.int16], n_samples: int, sample_rate_hz: float, spec: SignalSpec
) -> NDArray[np.float32]:
    signal = leads.astype(np.float64)
    signal[leads == MISSING] = np.nan
    resampled = resample_linear(signal, sample_rate_hz, spec.sample_rate_hz)
    return np.nan_to_num(z_score(resampled[:, :n_samples]), copy=False)
