"""Stored integers to what a signal spec asks for, in blocks of recordings of one length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_assets.preprocess.ecg_founder_filter import filter_ecg_founder
from ecg_assets.preprocess.millivolts import to_millivolts
from ecg_assets.preprocess.resample import count_resampled, resample
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.preprocess.z_score import z_score, z_score_all_leads, z_score_integers
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
    block: NDArray[np.int16],
    sample_rate_hz: float,
    spec: SignalSpec,
    gain: NDArray[np.float64] | None = None,
    baseline: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Cut, resample, filter and normalize recordings, then fill missing samples with 0.

    Parameters
    ----------
    block
        Stored integers, ``(record, lead, sample)``; -32768 is a missing sample.
    sample_rate_hz
        Sample rate of all recordings of the block.
    spec
        What to make of them; the block's leads must already be those of the spec.
    gain, baseline
        ADC units in one mV (above 0) and at 0 mV, ``(record, lead)``, as `lead_scales` reads
        them. A spec that does not need millivolts gives the same result whatever they are.

    Returns
    -------
    NDArray[np.float32]
        ``(record, lead, spec.record_samples or fewer)``. With ``z-score-per-lead``, each lead
        has mean 0 and population standard deviation 1 over the samples that are not missing,
        and a constant lead is 0.

    Raises
    ------
    ValueError
        When the spec needs millivolts, and gain or baseline is not given.
    """
    kept = block[..., : int(_count_kept(sample_rate_hz, spec))]
    n_samples = int(count_standardized(block.shape[-1], sample_rate_hz, spec))
    if not spec.needs_millivolts:
        return _score_integers(kept, n_samples, sample_rate_hz, spec)
    if gain is None or baseline is None:
        raise ValueError(
            f"gain or baseline is missing; filter {spec.filter!r} with normalization "
            f"{spec.normalization!r} needs mV."
        )
    result = np.empty((*block.shape[:2], n_samples), np.float32)
    n_records = max(_LEADS_PER_BLOCK // block.shape[1], 1)
    for start in range(0, len(block), n_records):
        part = slice(start, start + n_records)
        signal_mv = to_millivolts(kept[part], gain[part], baseline[part])
        resampled = resample(signal_mv, sample_rate_hz, spec.sample_rate_hz, spec.resampling)[
            ..., :n_samples
        ]
        result[part] = _filter_and_normalize(resampled, spec)
    return result


def _count_kept(sample_rate_hz: ArrayLike, spec: SignalSpec) -> NDArray[np.int64]:
    """Count the stored samples that reach to the end of ``record_s``."""
    return np.ceil(spec.record_s * np.asarray(sample_rate_hz, np.float64)).astype(np.int64)


def _score_integers(
    block: NDArray[np.int16], n_samples: int, sample_rate_hz: float, spec: SignalSpec
) -> NDArray[np.float32]:
    """Z-score each lead without a detour over mV."""
    leads = block.reshape(-1, block.shape[-1])
    result = np.empty((len(leads), n_samples), np.float32)
    for start in range(0, len(leads), _LEADS_PER_BLOCK):
        part = leads[start : start + _LEADS_PER_BLOCK]
        result[start : start + _LEADS_PER_BLOCK] = (
            z_score_integers(part[:, :n_samples])
            if sample_rate_hz == spec.sample_rate_hz
            else _resample_and_score(part, n_samples, sample_rate_hz, spec)
        )
    return result.reshape(*block.shape[:2], n_samples)


def _resample_and_score(
    leads: NDArray[np.int16], n_samples: int, sample_rate_hz: float, spec: SignalSpec
) -> NDArray[np.float32]:
    signal = leads.astype(np.float64)
    signal[leads == MISSING] = np.nan
    resampled = resample(signal, sample_rate_hz, spec.sample_rate_hz, spec.resampling)
    return np.nan_to_num(z_score(resampled[:, :n_samples]), copy=False)


def _filter_and_normalize(signal_mv: NDArray[np.float64], spec: SignalSpec) -> NDArray[np.float32]:
    """Filter and normalize recordings ``(record, lead, sample)``; NaN becomes 0."""
    if spec.filter == "ecg-founder":
        signal_mv = filter_ecg_founder(signal_mv, spec.sample_rate_hz)
    if spec.normalization == "z-score-all-leads":
        normalized = z_score_all_leads(signal_mv)
    elif spec.normalization == "z-score-per-lead":
        normalized = z_score(signal_mv)
    else:
        normalized = signal_mv.astype(np.float32)
    return np.nan_to_num(normalized, copy=False)
