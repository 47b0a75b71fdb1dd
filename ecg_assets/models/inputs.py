"""Recordings as input of a model: a batch of segments with the model's channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.build import SignalCache
from ecg_assets.errors import SpecMismatch
from ecg_assets.preprocess import SignalSpec, project_channels


def read_segments(
    signals: SignalCache, rows: NDArray[np.int64], spec: SignalSpec, n_channels: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read all segments of recordings as model input.

    Parameters
    ----------
    signals
        Decoded signals.
    rows
        Rows of the manifest's index, ``(record,)``.
    spec
        How to standardize and cut.
    n_channels
        Channels of the model: the number of leads, or more for one lead repeated.

    Returns
    -------
    tuple
        Segments, float32 ``(segment, channel, sample)``, recording by recording, and the
        position in `rows` of each segment's recording, ``(segment,)``.

    Raises
    ------
    SpecMismatch
        When the model reads other channels, or a recording has no whole segment.
    """
    require_channels(spec, n_channels)
    segments, record_index = signals.segments(rows, spec)
    n_found = len(np.unique(record_index))
    if n_found != len(rows):
        raise SpecMismatch(
            f"{len(rows) - n_found} of {len(rows)} recordings have no whole segment of "
            f"{spec.segment_s} s. Build manifests with the model's spec; they exclude these."
        )
    return project_channels(segments, n_channels), record_index


def require_channels(spec: SignalSpec, n_channels: int) -> None:
    """Raise `SpecMismatch` unless a model of so many channels can read the spec's leads."""
    if len(spec.leads) not in (1, n_channels):
        raise SpecMismatch(
            f"The model reads {n_channels} channels, the signals have the leads {spec.leads}; "
            "only a single lead can be repeated. Build manifests with the model's spec."
        )
