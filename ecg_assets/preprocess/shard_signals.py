"""Samples of a shard's table as arrays, without a Python list between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.preprocess.millivolts import lead_scales
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.preprocess.standardize import standardize

RECORDS_PER_BLOCK = 64


@dataclass(frozen=True)
class SignalBlock:
    """Recordings of one length and sample rate.

    Attributes
    ----------
    rows
        Their rows in the table, ``(record,)``.
    samples
        Stored integers, int16 ``(record, lead, sample)``.
    sample_rate_hz
        Sample rate of them all.
    gain, baseline
        As `lead_scales` reads them, float64 ``(record, lead)``.
    """

    rows: NDArray[np.int64]
    samples: NDArray[np.int16]
    sample_rate_hz: float
    gain: NDArray[np.float64]
    baseline: NDArray[np.float64]

    def standardize(self, spec: SignalSpec) -> NDArray[np.float32]:
        """Standardize them as `standardize` does; the leads must be those of the spec."""
        return standardize(self.samples, self.sample_rate_hz, spec, self.gain, self.baseline)


def lead_samples(column: pa.ChunkedArray | pa.Array) -> NDArray[np.int16]:
    """All samples of a lead's column, recording after recording, ``(sample,)``."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks]
    if not flat:
        return np.empty(0, np.int16)
    return flat[0] if len(flat) == 1 else np.concatenate(flat)


def group_alike(
    n_samples: NDArray[np.int64], sample_rate_hz: NDArray[np.float64]
) -> list[NDArray[np.int64]]:
    """Positions of recordings of one length and sample rate, group by group, ``(record,)``.

    >>> [group.tolist() for group in group_alike(np.array([9, 5, 9]), np.array([1.0, 1.0, 1.0]))]
    [[1], [0, 2]]
    """
    kinds = np.stack([n_samples.astype(np.float64), sample_rate_hz], axis=1)
    _, kind = np.unique(kinds, axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    borders = np.flatnonzero(np.diff(kind.ravel()[order])) + 1
    return np.split(order, borders) if len(order) else []


def signal_blocks(signals: pa.Table, leads: Sequence[str]) -> Iterator[SignalBlock]:
    """Give all recordings of a shard's table in blocks of at most 64 of one kind.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares.
    leads
        Leads in the order wanted.
    """
    gain, baseline = lead_scales(signals, leads)
    n_samples = signals["n_samples"].to_numpy().astype(np.int64)
    rates = signals["sample_rate_hz"].to_numpy()
    offsets = np.concatenate([[0], np.cumsum(n_samples)])
    values = [lead_samples(signals[f"lead_{lead}"]) for lead in leads]
    for group in group_alike(n_samples, rates):
        length = int(n_samples[group[0]])
        for start in range(0, len(group), RECORDS_PER_BLOCK):
            rows = group[start : start + RECORDS_PER_BLOCK]
            samples = np.empty((len(rows), len(leads), length), np.int16)
            for at, row in enumerate(rows):
                for lead, flat in enumerate(values):
                    samples[at, lead] = flat[offsets[row] : offsets[row] + length]
            rate = float(rates[group[0]])
            yield SignalBlock(rows, samples, rate, gain[rows], baseline[rows])
