"""The recordings of a shard as model input, with what their .mat files say of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.preprocess.millivolts import to_millivolts
from ecg_assets.preprocess.resample import resample
from ecg_assets.preprocess.shard_signals import signal_blocks
from ecg_assets.preprocess.signal_spec import SignalSpec


@dataclass(frozen=True)
class MatRecording:
    """A recording as its .mat files hold it.

    Attributes
    ----------
    record_id, study_id
        As in the record list.
    row
        Its row in the record list.
    standardized
        float32 ``(lead, sample)``.
    mean_mv, deviation_mv
        Of each lead in mV, resampled and not yet standardized, float64 ``(lead,)``.
    sample_rate_hz, n_samples
        As recorded.
    """

    record_id: str
    study_id: str
    row: int
    standardized: NDArray[np.float32]
    mean_mv: NDArray[np.float64]
    deviation_mv: NDArray[np.float64]
    sample_rate_hz: float
    n_samples: int


def standardized_recordings(
    signals: pa.Table, spec: SignalSpec, numbers: pd.DataFrame, *, keep_missing: bool
) -> Iterator[MatRecording]:
    """Give all recordings of a shard, those of one length and sample rate together.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares, with the leads of the spec.
    spec
        How to standardize.
    numbers
        ``study_id`` and ``row`` of each recording, by ``record_id``, in the table's order.
    keep_missing
        Leave missing samples NaN.
    """
    record_ids = numbers.index.tolist()
    study_ids, rows = numbers["study_id"].tolist(), numbers["row"].tolist()
    for block in signal_blocks(signals, spec.leads):
        standardized = block.standardize(spec)
        n_kept = math.ceil(spec.record_s * block.sample_rate_hz)
        kept = to_millivolts(block.samples[..., :n_kept], block.gain, block.baseline)
        signal_mv = resample(kept, block.sample_rate_hz, spec.sample_rate_hz, spec.resampling)[
            ..., : standardized.shape[-1]
        ]
        if keep_missing:
            standardized[np.isnan(signal_mv)] = np.nan
        mean, deviation = _mean_and_deviation(signal_mv)
        for at, row in enumerate(block.rows):
            yield MatRecording(
                record_id=record_ids[row],
                study_id=study_ids[row],
                row=rows[row],
                standardized=standardized[at],
                mean_mv=mean[at],
                deviation_mv=deviation[at],
                sample_rate_hz=block.sample_rate_hz,
                n_samples=block.samples.shape[-1],
            )


def _mean_and_deviation(
    signal: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give ``(record, lead)`` of the samples that are not NaN; NaN where all are."""
    is_present = ~np.isnan(signal)
    n_present = is_present.sum(axis=-1).astype(np.float64)
    n_present[n_present == 0] = np.nan
    mean = np.where(is_present, signal, 0).sum(axis=-1) / n_present
    centred = np.where(is_present, signal - mean[..., None], 0)
    return mean, np.sqrt(np.square(centred).sum(axis=-1) / n_present)
