"""Stored integers to what a signal spec asks for, in blocks of recordings of one length."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from ecg_assets.preprocess.filters import apply_filters
from ecg_assets.preprocess.normalization import normalize
from ecg_assets.preprocess.resample import count_resampled, resample
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.preprocess.z_score import z_score, z_score_integers
from ecg_assets.sources import MISSING

# Stored integers to millivolts.


def lead_scales(
    signals: pa.Table, leads: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain (ADC units in one mV) and baseline (ADC units at 0 mV) of a shard's recordings.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares.
    leads
        Leads in the order wanted.

    Returns
    -------
    tuple
        Both float64 ``(record, lead)``.
    """
    gain, baseline = (
        np.stack([signals[f"{name}_{lead}"].to_numpy() for lead in leads], axis=1)
        for name in ("gain", "baseline")
    )
    return gain.astype(np.float64), baseline.astype(np.float64)


def to_millivolts(
    samples: NDArray[np.int16],
    gain: NDArray[np.float64],
    baseline: NDArray[np.float64] | NDArray[np.int64],
) -> NDArray[np.float64]:
    """Convert stored integers ``(…, lead, sample)`` to mV; a missing one becomes NaN.

    Gain and baseline are ``(…, lead)``.

    >>> to_millivolts(np.array([[[7, -32768]]], np.int16), np.array([[2.0]]), np.array([[3.0]]))
    array([[[ 2., nan]]])
    """
    signal_mv: NDArray[np.float64] = (samples - baseline[..., None]) / gain[..., None]
    signal_mv[samples == MISSING] = np.nan
    return signal_mv


def resampled_millivolts(
    block: NDArray[np.int16],
    sample_rate_hz: float,
    spec: SignalSpec,
    gain: NDArray[np.float64],
    baseline: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Cut and resample recordings as `standardize` does, in mV; a missing sample stays NaN.

    Parameters are those of `standardize`; the result is ``(record, lead, sample)``.
    """
    signal_mv = to_millivolts(block[..., used_part(spec, sample_rate_hz)], gain, baseline)
    resampled = resample(signal_mv, sample_rate_hz, spec.sample_rate_hz, spec.resampling)
    return resampled[..., : int(count_standardized(block.shape[-1], sample_rate_hz, spec))]


def lead_in_mv(signals: pa.Table, row: int, lead: str) -> tuple[NDArray[np.float32], float]:
    """Read one lead of a shard's table in mV, ``(sample,)`` with NaN where missing, and its rate.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares.
    row
        Row of the recording.
    lead
        Name of a lead that is stored.
    """
    recording = signals.slice(row, 1)
    samples = recording[f"lead_{lead}"][0].values.to_numpy()
    (signal_mv,) = to_millivolts(samples[None], *(one[0] for one in lead_scales(recording, [lead])))
    return signal_mv.astype(np.float32), float(recording["sample_rate_hz"][0].as_py())


_LEADS_PER_BLOCK = 32  # what fits in a core's cache: twice as fast as all at once


def count_standardized(
    n_samples: ArrayLike, sample_rate_hz: ArrayLike, spec: SignalSpec
) -> NDArray[np.int64]:
    """Count the samples that `standardize` gives for recordings of these lengths and sample rates.

    >>> count_standardized([5000, 4096, 900], [500, 400, 100], SignalSpec()).tolist()
    [5000, 5000, 4500]
    """
    if spec.holds_segments:
        return count_segments(n_samples, sample_rate_hz, spec) * spec.segment_samples
    return _count_used(n_samples, sample_rate_hz, spec)


def _count_used(
    n_samples: ArrayLike, sample_rate_hz: ArrayLike, spec: SignalSpec
) -> NDArray[np.int64]:
    """Count the samples of a lead, at the spec's sample rate, of the part that is used."""
    if spec.order.index("part") < spec.order.index("resample"):
        start, stop = _part_borders(spec, sample_rate_hz)
        kept = np.maximum(np.minimum(np.asarray(n_samples), stop) - start, 0)
        resampled = count_resampled(kept, sample_rate_hz, spec.sample_rate_hz)
    else:
        start, _ = _part_borders(spec, spec.sample_rate_hz)
        whole = count_resampled(n_samples, sample_rate_hz, spec.sample_rate_hz)
        resampled = np.maximum(whole - start, 0)
    return resampled if spec.record_s is None else np.minimum(resampled, spec.record_samples)


def used_part(spec: SignalSpec, sample_rate_hz: float) -> slice:
    """Give the stored samples of a recording that a spec uses."""
    start, stop = _part_borders(spec, sample_rate_hz)
    return slice(int(start), None if spec.record_s is None else int(stop))


def is_cut(n_samples: ArrayLike, sample_rate_hz: ArrayLike, spec: SignalSpec) -> NDArray[np.bool_]:
    """Say which recordings are longer than the part that is used of them.

    >>> is_cut([5000, 5001, 15000], 500, SignalSpec()).tolist()
    [False, True, True]
    """
    start, stop = _part_borders(spec, sample_rate_hz)
    return np.asarray((start > 0) | (np.asarray(n_samples) > stop), np.bool_)


def _part_borders(
    spec: SignalSpec, sample_rate_hz: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the first stored sample that is used, and the one behind the last."""
    rate = np.asarray(sample_rate_hz, np.float64)
    start = np.rint(spec.start_s * rate).astype(np.int64)
    if spec.record_s is None:
        return start, np.full_like(start, np.iinfo(np.int64).max)
    return start, start + np.ceil(spec.record_s * rate).astype(np.int64)


def count_segments(
    n_samples: ArrayLike, sample_rate_hz: ArrayLike, spec: SignalSpec
) -> NDArray[np.int64]:
    """Whole segments in recordings of these lengths and sample rates.

    >>> count_segments([5000, 4999, 2499], 500, SignalSpec()).tolist()
    [2, 1, 0]
    """
    used = _count_used(n_samples, sample_rate_hz, spec)
    if spec.padding == "zeros":
        used = np.where(used > 0, np.maximum(used, spec.window_samples), used)
    counts: NDArray[np.int64] = (used - spec.window_samples) // spec.stride_samples + 1
    return np.maximum(counts, 0)


def number_segments(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each segment its number in its recording, from 0, of recordings that have so many.

    >>> number_segments(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


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
        ``(record, lead, spec.record_samples or fewer)``, or as many samples as they have where
        all of them are used; of a spec that `SignalSpec.holds_segments` ``(record, row, sample)``,
        segment after segment. With ``z-score-per-lead``, each lead
        has mean 0 and population standard deviation 1 over the samples that are not missing,
        and a constant lead is 0.

    Raises
    ------
    ValueError
        When the spec needs millivolts, and gain or baseline is not given.

    Warns
    -----
    UserWarning
        When the recordings are longer than the part that the spec uses of them.
    """
    warn_of_cut(block.shape[-1], sample_rate_hz, spec)
    return standardize_part(block, sample_rate_hz, spec, gain, baseline)


def warn_of_cut(n_samples: int, sample_rate_hz: float, spec: SignalSpec) -> None:
    """Warn of recordings that are longer than the part that is used of them.

    Where many are read, they are counted instead, in what is told of the result.
    """
    if is_cut(n_samples, sample_rate_hz, spec):
        warnings.warn(
            f"Recordings are longer than what is used of them: {spec.describe_part()}. "
            "ECG_RECORD_PART, or start_s and record_s of the SignalSpec, choose another part or "
            "all.",
            stacklevel=3,
        )


def standardize_part(
    block: NDArray[np.int16],
    sample_rate_hz: float,
    spec: SignalSpec,
    gain: NDArray[np.float64] | None = None,
    baseline: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Standardize recordings as `standardize` does, without a warning of longer ones."""
    n_samples = int(count_standardized(block.shape[-1], sample_rate_hz, spec))
    if not n_samples:
        return np.empty((len(block), spec.n_rows, 0), np.float32)
    if not spec.needs_millivolts:
        kept = block[..., used_part(spec, sample_rate_hz)]
        return _score_integers(kept, n_samples, sample_rate_hz, spec)
    if gain is None or baseline is None:
        raise ValueError(
            f"gain or baseline is missing; filter {spec.filter!r} with normalization "
            f"{spec.normalization!r} needs mV."
        )
    result = np.empty((len(block), spec.n_rows, n_samples), np.float32)
    n_records = max(_LEADS_PER_BLOCK // block.shape[1], 1)
    for start in range(0, len(block), n_records):
        part = slice(start, start + n_records)
        signal_mv = to_millivolts(block[part], gain[part], baseline[part])
        result[part] = prepare(signal_mv, sample_rate_hz, spec)
    return result


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


def prepare(
    signal_mv: NDArray[np.float64], sample_rate_hz: float, spec: SignalSpec
) -> NDArray[np.float32]:
    """Take the steps of a spec with recordings in mV, as `standardize` does.

    Parameters
    ----------
    signal_mv
        ``(record, lead, sample)``, the leads of the spec; NaN is a missing sample.
    sample_rate_hz
        Sample rate of them all.
    spec
        What to make of them.

    Returns
    -------
    NDArray[np.float32]
        ``(record, row, sample)``: the spec's `SignalSpec.n_rows`, and the samples that
        `count_standardized` counts; without NaN.
    """
    rate, n_used = sample_rate_hz, int(_count_used(signal_mv.shape[-1], sample_rate_hz, spec))
    signal: NDArray[Any] = signal_mv
    left = {"part", "resample"}
    for step in spec.order:
        if step == "part":
            start, stop = (int(border) for border in _part_borders(spec, rate))
            signal = signal[..., start : None if spec.record_s is None else stop]
        elif step == "resample":
            signal = resample(signal, rate, spec.sample_rate_hz, spec.resampling)
            rate = spec.sample_rate_hz
        elif step == "filter":
            signal = apply_filters(signal, rate, spec.filter_steps)
        elif step == "normalize":
            signal = normalize(signal, spec.how_normalized)
        elif spec.holds_segments:
            signal = _cut(signal, spec)
        if step in left:
            left.remove(step)
            signal = signal if left else _trim(signal, n_used, spec)
    if not spec.holds_segments:
        return np.asarray(np.nan_to_num(signal, copy=False), np.float32)
    laid_out = _lay_out(_fill(signal, spec.fill), spec)
    n_records, _, n_rows, _ = laid_out.shape
    return np.ascontiguousarray(laid_out.swapaxes(1, 2)).reshape(n_records, n_rows, -1)


def _trim(signal: NDArray[Any], n_used: int, spec: SignalSpec) -> NDArray[Any]:
    """Keep what is used, or fill it up with 0 mV to a segment where the spec says so."""
    signal = signal[..., :n_used]
    n_lacking = spec.window_samples - signal.shape[-1]
    if spec.padding == "none" or n_lacking <= 0:
        return signal
    return np.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, n_lacking)])


def _cut(signal: NDArray[Any], spec: SignalSpec) -> NDArray[Any]:
    """Cut ``(record, lead, sample)`` into ``(record, segment, lead, sample)``."""
    windows = np.lib.stride_tricks.sliding_window_view(signal, spec.window_samples, axis=-1)
    return windows[:, :, :: spec.stride_samples].swapaxes(1, 2)


def _fill(segments: NDArray[Any], fill: str) -> NDArray[np.float32]:
    """Fill missing samples of ``(record, segment, lead, sample)``."""
    filled = segments.astype(np.float32)
    missing = np.isnan(filled)
    if fill == "mean" and missing.any():
        n_present = np.maximum((~missing).sum(axis=(-2, -1), keepdims=True), 1)
        total = np.where(missing, 0.0, filled).sum(axis=(-2, -1), keepdims=True)
        return np.where(missing, total / n_present, filled).astype(np.float32)
    return np.nan_to_num(filled, copy=False)


def _lay_out(segments: NDArray[np.float32], spec: SignalSpec) -> NDArray[np.float32]:
    """Lay the leads of ``(record, segment, lead, sample)`` out as a spec says."""
    if spec.layout == "channels":
        return segments
    flat = segments.reshape(*segments.shape[:2], 1, -1)
    if spec.decimation == 1 or not flat.size:
        return flat
    from scipy.signal import decimate

    return np.asarray(decimate(flat.astype(np.float64), spec.decimation), np.float32)


# Standardized recordings to segments and channels.


def segment(standardized: NDArray[np.float32], spec: SignalSpec) -> NDArray[np.float32]:
    """Cut standardized recordings into segments; the remainder is dropped.

    Parameters
    ----------
    standardized
        As `standardize` gives them, ``(record, row, sample)``: a row is a lead, or all of them
        end to end.
    spec
        Says how long a segment is.

    Returns
    -------
    NDArray[np.float32]
        ``(record, segment, row, spec.segment_samples)``.

    >>> segment(np.zeros((3, 1, 5000), np.float32), SignalSpec(segment_s=4)).shape
    (3, 2, 1, 2000)
    """
    n_records, n_leads, n_samples = standardized.shape
    n_segments = n_samples // spec.segment_samples
    whole = standardized[..., : n_segments * spec.segment_samples]
    pieces = whole.reshape(n_records, n_leads, n_segments, spec.segment_samples)
    return np.ascontiguousarray(pieces.swapaxes(1, 2))


def project_channels(signal: NDArray[np.float32], n_channels: int) -> NDArray[np.float32]:
    """Give a model's channels: the leads themselves, or one lead repeated.

    Parameters
    ----------
    signal
        ``(…, lead, sample)``.
    n_channels
        Number of leads, or any number for a single lead.

    Returns
    -------
    NDArray[np.float32]
        ``(…, channel, sample)``.

    >>> project_channels(np.zeros((2, 1, 4), np.float32), 12).shape
    (2, 12, 4)
    """
    n_leads = signal.shape[-2]
    if n_leads == n_channels:
        return signal
    if n_leads != 1:
        raise ValueError(
            f"n_channels is {n_channels} for {n_leads} leads; only a single lead can be repeated."
        )
    return np.repeat(signal, n_channels, axis=-2)
