"""Samples of a shard's table as arrays, without a Python list between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.preprocess.lead_statistics import lacks_signal, measure_leads
from ecg_assets.preprocess.model_input import lead_scales, segment, standardize_part, used_part
from ecg_assets.preprocess.shard import StoredRecord
from ecg_assets.preprocess.signal_spec import SignalSpec

_RECORDS_PER_BLOCK = 64
_SAMPLES_PER_BLOCK = 1 << 22
"""Of a lead, in all recordings of a block: 64 of them may last 131 s at 500 Hz."""


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

    @classmethod
    def of_record(cls, record: StoredRecord) -> SignalBlock:
        """Take a single recording, of row 0."""
        gain, baseline = record.gain[None], record.baseline[None].astype(np.float64)
        rows = np.zeros(1, np.int64)
        return cls(rows, record.signal[None], record.sample_rate_hz, gain, baseline)

    def standardize(self, spec: SignalSpec) -> NDArray[np.float32]:
        """Standardize them as `standardize` does; the leads must be those of the spec."""
        return standardize_part(self.samples, self.sample_rate_hz, spec, self.gain, self.baseline)

    def segments(self, spec: SignalSpec) -> NDArray[np.float32]:
        """Standardize and cut them as `segment` does: ``(record, segment, lead, sample)``."""
        return segment(self.standardize(spec), spec)

    def lacks_signal(self, spec: SignalSpec) -> NDArray[np.bool_]:
        """Tell which of them hold nothing in the part that the spec uses, ``(record,)``."""
        used = self.samples[..., used_part(spec, self.sample_rate_hz)]
        if not used.shape[-1]:
            return np.ones(len(used), np.bool_)
        return lacks_signal(measure_leads(used).is_flat)


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
    """Positions of recordings of one length and sample rate, ``(record,)``, block by block.

    A block has at most 64 recordings, and fewer of long ones.

    >>> [group.tolist() for group in group_alike(np.array([9, 5, 9]), np.array([1.0, 1.0, 1.0]))]
    [[1], [0, 2]]
    """
    kinds = np.stack([n_samples.astype(np.float64), sample_rate_hz], axis=1)
    _, kind = np.unique(kinds, axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    borders = np.flatnonzero(np.diff(kind.ravel()[order])) + 1
    blocks = []
    for group in np.split(order, borders) if len(order) else []:
        most = _SAMPLES_PER_BLOCK // max(int(n_samples[group[0]]), 1)
        step = min(max(most, 1), _RECORDS_PER_BLOCK)
        blocks += [group[at : at + step] for at in range(0, len(group), step)]
    return blocks


def signal_blocks(signals: pa.Table, leads: Sequence[str]) -> Iterator[SignalBlock]:
    """Give all recordings of a shard's table in the blocks of `group_alike`.

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
    for rows in group_alike(n_samples, rates):
        length = int(n_samples[rows[0]])
        samples = np.empty((len(rows), len(leads), length), np.int16)
        for at, row in enumerate(rows):
            for lead, flat in enumerate(values):
                samples[at, lead] = flat[offsets[row] : offsets[row] + length]
        yield SignalBlock(rows, samples, float(rates[rows[0]]), gain[rows], baseline[rows])
