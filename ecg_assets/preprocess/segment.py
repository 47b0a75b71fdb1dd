"""Standardized recordings to segments and channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.preprocess.signal_spec import SignalSpec


def segment(standardized: NDArray[np.float32], spec: SignalSpec) -> NDArray[np.float32]:
    """Cut recordings into segments that do not overlap; the remainder is dropped.

    Parameters
    ----------
    standardized
        ``(record, lead, sample)``.
    spec
        Says how long a segment is.

    Returns
    -------
    NDArray[np.float32]
        ``(record, segment, lead, spec.segment_samples)``.

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
