"""Signals of a manifest, decoded once and then read at random from a memory map.

A shard's Parquet is made for reading in a row: 256 records at random cost more than a
second from it, a quarter of a millisecond from a memory map.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.build.decoded_signals import OFFSETS, RATES, SAMPLES, decode_signals
from ecg_assets.errors import SpecMismatch
from ecg_assets.lineage import fingerprint_file, fingerprint_json, fingerprint_table
from ecg_assets.preprocess import SignalSpec, count_segments, segment, standardize
from ecg_assets.preprocess.shard_signals import RECORDS_PER_BLOCK, group_alike
from ecg_assets.storage import replace_folder

_LEADS = "leads.json"
_LAYOUT = 1  # raise it when the files of a cache change their meaning


@dataclass(frozen=True)
class SignalCache:
    """Stored integers of all recordings of an index, by their row in it.

    Attributes
    ----------
    folder
        Where its files are.
    leads
        Leads of each recording, in order.
    samples
        int16 ``(all samples,)``, memory-mapped and read-only: recording after recording,
        lead after lead; -32768 is a missing sample.
    offsets
        Start of each recording in `samples`, and the end, int64 ``(record + 1,)``.
    sample_rates_hz
        float64 ``(record,)``.
    """

    folder: Path
    leads: tuple[str, ...]
    samples: NDArray[np.int16]
    offsets: NDArray[np.int64]
    sample_rates_hz: NDArray[np.float64]

    @classmethod
    def open(
        cls, index: pd.DataFrame, shard_folder: Path, leads: Sequence[str], cache_folder: Path
    ) -> SignalCache:
        """Open the cache of an index; decode its shards first where there is none.

        A cache is named by what it was made from, down to the shards' bytes, so that it
        is never out of date. Old ones may be deleted when nothing reads them.

        Parameters
        ----------
        index
            Table as `INDEX` declares.
        shard_folder
            Folder of ``<shard>.parquet``.
        leads
            Leads to decode.
        cache_folder
            Folder of all caches.

        Raises
        ------
        SchemaError
            When shards do not hold what the index says, or lack a lead.
        """
        folder = cache_folder / _fingerprint(index, shard_folder, leads)[:32]
        if not folder.is_dir():
            with replace_folder(folder) as temporary:
                decode_signals(index, shard_folder, leads, temporary)
                (temporary / _LEADS).write_text(json.dumps(list(leads)), encoding="utf-8")
        return _load(folder)

    def __reduce__(self) -> tuple[object, ...]:
        # A worker process maps the same file; pickling would copy all samples.
        return _load, (self.folder,)

    def __len__(self) -> int:
        return len(self.sample_rates_hz)

    def n_segments(self, rows: NDArray[np.int64], spec: SignalSpec) -> NDArray[np.int64]:
        """Whole segments of recordings, ``(record,)``."""
        return count_segments(self._count_samples(rows), self.sample_rates_hz[rows], spec)

    def standardized(self, rows: NDArray[np.int64], spec: SignalSpec) -> NDArray[np.float32]:
        """Standardize recordings.

        Parameters
        ----------
        rows
            Rows of the index, ``(record,)``, in any order.
        spec
            How to standardize; its leads must be in the cache.

        Returns
        -------
        NDArray[np.float32]
            ``(record, lead, spec.record_samples)``; 0 after the end of a shorter recording.

        Raises
        ------
        SpecMismatch
            When the cache lacks a lead.
        """
        result = np.zeros((len(rows), len(spec.leads), spec.record_samples), np.float32)
        for at, part in self._standardized_blocks(rows, spec):
            result[at, :, : part.shape[-1]] = part
        return result

    def segments(
        self, rows: NDArray[np.int64], spec: SignalSpec
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Standardize recordings and cut them into segments.

        Parameters
        ----------
        rows
            Rows of the index, ``(record,)``, in any order.
        spec
            How to standardize and cut; its leads must be in the cache.

        Returns
        -------
        tuple
            Segments, float32 ``(segment, lead, spec.segment_samples)``, in the order of
            `rows`, and each one's position in `rows`, int64 ``(segment,)``. Leads are not
            repeated to channels: a model that wants them so uses `project_channels`.

        Raises
        ------
        SpecMismatch
            When the cache lacks a lead.
        """
        counts = self.n_segments(rows, spec)
        starts = np.cumsum(counts) - counts
        shape = (int(counts.sum()), len(spec.leads), spec.segment_samples)
        result = np.empty(shape, np.float32)
        for at, part in self._standardized_blocks(rows, spec):
            pieces = segment(part, spec)
            places = starts[at][:, None] + np.arange(pieces.shape[1])
            result[places.ravel()] = pieces.reshape(-1, *shape[1:])
        return result, np.repeat(np.arange(len(rows)), counts)

    def _standardized_blocks(
        self, rows: NDArray[np.int64], spec: SignalSpec
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Positions in `rows` and standardized recordings, in blocks of one kind."""
        lacking = [lead for lead in spec.leads if lead not in self.leads]
        if lacking:
            raise SpecMismatch(
                f"The spec asks for the leads {spec.leads}, the cache holds {self.leads}. "
                "Open it with the spec's leads."
            )
        wanted = [self.leads.index(lead) for lead in spec.leads]
        lengths, rates = self._count_samples(rows), self.sample_rates_hz[rows]
        for group in group_alike(lengths, rates):
            for start in range(0, len(group), RECORDS_PER_BLOCK):
                at = group[start : start + RECORDS_PER_BLOCK]
                block = np.stack([self._record(row)[wanted] for row in rows[at]])
                yield at, standardize(block, float(rates[group[0]]), spec)

    def _count_samples(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the samples of each lead of some recordings, ``(record,)``."""
        return (self.offsets[rows + 1] - self.offsets[rows]) // len(self.leads)

    def _record(self, row: int) -> NDArray[np.int16]:
        """Read the stored integers of one recording, ``(lead, sample)``."""
        flat = self.samples[self.offsets[row] : self.offsets[row + 1]]
        return flat.reshape(len(self.leads), -1)


def _load(folder: Path) -> SignalCache:
    # A plain array over the map: each slice of np.memmap itself costs some microseconds.
    samples = np.asarray(np.load(folder / SAMPLES, mmap_mode="r"))
    leads = json.loads((folder / _LEADS).read_text(encoding="utf-8"))
    return SignalCache(
        folder, tuple(leads), samples, np.load(folder / OFFSETS), np.load(folder / RATES)
    )


def _fingerprint(index: pd.DataFrame, shard_folder: Path, leads: Sequence[str]) -> str:
    places = pa.table(
        {
            "record_id": pa.array(index["record_id"], pa.string()),
            "shard": pa.array(index["shard"], pa.string()),
            "row": pa.array(index["row"], pa.int32()),
        }
    )
    shards = sorted(str(shard) for shard in index["shard"].unique())
    return fingerprint_json(
        {
            "layout": _LAYOUT,
            "leads": list(leads),
            "places": fingerprint_table(places),
            "shards": {name: fingerprint_file(shard_folder / f"{name}.parquet") for name in shards},
        }
    )
