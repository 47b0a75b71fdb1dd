"""Signals of a manifest, decoded once and then read at random from a memory map.

A shard's Parquet is made for reading in a row: 256 records at random cost more than a
second from it, a quarter of a millisecond from a memory map. Filters take some
milliseconds a recording and are run once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.build.decoded_signals import (
    OFFSETS,
    RATES,
    SAMPLES,
    SCALES,
    decode_signals,
    part_samples,
)
from ecg_assets.errors import SpecMismatch
from ecg_assets.lineage import fingerprint_file, fingerprint_json, fingerprint_table
from ecg_assets.preprocess import SignalSpec, count_segments, segment
from ecg_assets.preprocess.blocks import group_alike
from ecg_assets.preprocess.model_input import standardize_part
from ecg_assets.preprocess.z_score import apply_scales
from ecg_assets.storage import replace_folder

_CONTENTS, _SPEC = "contents.json", "signal_spec.json"
CACHE_LAYOUT = 2
"""Counts up when a cache's files, or what is made for a spec, change."""


@dataclass(frozen=True)
class SignalCache:
    """Signals of all recordings of an index, by their row in it.

    They are the stored integers, from which any spec that does not need millivolts is
    made when it is read; or they are made for one spec already, but for its segments.

    Attributes
    ----------
    folder
        Where its files are.
    leads
        Leads of each recording, in order.
    samples
        ``(all samples,)``, memory-mapped and read-only: recording after recording, lead
        after lead; stored integers (int16; -32768 is a missing sample), or standardized
        (float32).
    offsets
        Start of each recording in `samples`, and the end, int64 ``(record + 1,)``.
    sample_rates_hz
        float64 ``(record,)``.
    made_for
        The spec that `samples` are standardized by; None for stored integers.
    scales
        `integer_scales` of stored integers, float32 ``(record, lead, 3)``, memory-mapped;
        None where they must be measured at each reading.
    scaled_part
        The first sample that `scales` are measured on, and how many, as `part_samples` gives
        them; None where there are no scales.
    """

    folder: Path
    leads: tuple[str, ...]
    samples: NDArray[Any]
    offsets: NDArray[np.int64]
    sample_rates_hz: NDArray[np.float64]
    made_for: SignalSpec | None = None
    scales: NDArray[np.float32] | None = None
    scaled_part: tuple[int, int | None] | None = None

    @classmethod
    def open(
        cls,
        index: pd.DataFrame,
        shard_folder: Path,
        spec: SignalSpec,
        cache_folder: Path,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> SignalCache:
        """Open the cache of an index; make it from its shards first where there is none.

        A cache is named by what it was made from, down to the shards' bytes, so that it
        is never out of date. Old ones may be deleted when nothing reads them.

        Parameters
        ----------
        index
            Table as `INDEX` declares.
        shard_folder
            Folder of ``<shard>.parquet``.
        spec
            Says which leads to decode, and how to make them where it needs millivolts.
        cache_folder
            Folder of all caches.
        progress
            Called after each shard, while a cache is made, with the number of recordings
            done and of all.

        Raises
        ------
        SchemaError
            When shards do not hold what the index says, or lack a lead.
        """
        folder = cache_folder / _fingerprint(index, shard_folder, spec)[:32]
        if not folder.is_dir():
            with replace_folder(folder) as temporary:
                decode_signals(index, shard_folder, spec, temporary, progress)
                contents = {"leads": list(spec.leads), **_scaled(spec)}
                (temporary / _CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
                if made_for := _made_for(spec):
                    text = json.dumps(made_for.to_json(), indent=1)
                    (temporary / _SPEC).write_text(text, encoding="utf-8")
        return _load(folder)

    def __reduce__(self) -> tuple[object, ...]:
        # A worker process maps the same file; pickling would copy all samples.
        return _load, (self.folder,)

    def __len__(self) -> int:
        return len(self.sample_rates_hz)

    def n_segments(self, rows: NDArray[np.int64], spec: SignalSpec) -> NDArray[np.int64]:
        """Whole segments of recordings, ``(record,)``."""
        if self.made_for is not None:
            return self._count_samples(rows) // spec.segment_samples
        return count_segments(self._count_samples(rows), self.sample_rates_hz[rows], spec)

    def first_sample(self, spec: SignalSpec) -> int:
        """Give where the part that a spec uses starts in a recording of its sample rate."""
        return 0 if self.made_for is not None else part_samples(spec)[0]

    def find_obstacle(self, rows: NDArray[np.int64], spec: SignalSpec) -> str | None:
        """Tell why segments cannot be cut without looking at the rest; None where they can."""
        if self.made_for is not None:
            return None
        if self.scales is None or self.scaled_part != part_samples(spec):
            return "the signals' scales were not measured for this spec"
        if (self.sample_rates_hz[rows] != spec.sample_rate_hz).any():
            return f"some recordings have another sample rate than {spec.sample_rate_hz} Hz"
        return None

    def standardized(self, rows: NDArray[np.int64], spec: SignalSpec) -> NDArray[np.float32]:
        """Standardize recordings.

        Parameters
        ----------
        rows
            Rows of the index, ``(record,)``, in any order.
        spec
            How to standardize; the cache must have been opened for it, or hold its leads.

        Returns
        -------
        NDArray[np.float32]
            ``(record, row, sample)``, as long as the longest; 0 after the end of a shorter one.

        Raises
        ------
        SpecMismatch
            When the cache lacks a lead.
        """
        blocks = list(self._standardized_blocks(rows, spec))
        longest = max((part.shape[-1] for _, part in blocks), default=0)
        result = np.zeros((len(rows), spec.n_rows, longest), np.float32)
        for at, part in blocks:
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
            How to standardize and cut; the cache must have been opened for it, or hold
            its leads.

        Returns
        -------
        tuple
            Segments, float32 ``(segment, row, spec.segment_samples)``, in the order of
            `rows`, and each one's position in `rows`, int64 ``(segment,)``. Leads are not
            repeated to channels: a model that wants them so uses `project_channels`.

        Raises
        ------
        SpecMismatch
            When the cache lacks a lead.
        """
        counts = self.n_segments(rows, spec)
        starts = np.cumsum(counts) - counts
        shape = (int(counts.sum()), spec.n_rows, spec.segment_samples)
        result = np.empty(shape, np.float32)
        for at, part in self._standardized_blocks(rows, spec):
            pieces = segment(part, spec)
            places = starts[at][:, None] + np.arange(pieces.shape[1])
            result[places.ravel()] = pieces.reshape(-1, *shape[1:])
        return result, np.repeat(np.arange(len(rows)), counts)

    def segments_at(
        self, rows: NDArray[np.int64], numbers: NDArray[np.int64], spec: SignalSpec
    ) -> NDArray[np.float32]:
        """Standardize some segments, for batches in any order: no other segment is read.

        Parameters
        ----------
        rows
            Row of the index of each segment, ``(segment,)``.
        numbers
            Its position in its recording, from 0, below `n_segments`.
        spec
            As `segments` takes it.

        Returns
        -------
        NDArray[np.float32]
            ``(segment, row, spec.segment_samples)``, equal to those of `segments`.
        """
        leads = self.find_rows(spec)
        if self.find_obstacle(rows, spec):
            return self._segments_of_whole(rows, numbers, spec)
        length = spec.segment_samples
        shape = (len(rows), spec.n_rows, length)
        found = np.empty(shape, self.samples.dtype)
        # All leads as they stand are a view; others are copied one by one.
        wanted = slice(None) if leads == list(range(self.n_rows)) else leads
        starts = self.first_sample(spec) + length * numbers
        for at, (row, start) in enumerate(zip(rows.tolist(), starts.tolist(), strict=True)):
            found[at] = self._record(row)[wanted, start : start + length]
        if self.scales is None:
            return np.asarray(found, np.float32)
        return apply_scales(np.asarray(found, np.int16), self.scales[rows[:, None], leads])

    def _segments_of_whole(
        self, rows: NDArray[np.int64], numbers: NDArray[np.int64], spec: SignalSpec
    ) -> NDArray[np.float32]:
        """Cut segments from recordings that are standardized as a whole first."""
        distinct, position = np.unique(rows, return_inverse=True)
        found, _ = self.segments(distinct, spec)
        counts = self.n_segments(distinct, spec)
        starts = np.cumsum(counts) - counts
        return np.asarray(found[starts[position] + numbers])

    def _standardized_blocks(
        self, rows: NDArray[np.int64], spec: SignalSpec
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Positions in `rows` and standardized recordings, in blocks of one kind."""
        wanted = self.find_rows(spec)
        lengths, rates = self._count_samples(rows), self.sample_rates_hz[rows]
        for at in group_alike(lengths, rates):
            block = np.stack([self._record(row)[wanted] for row in rows[at]])
            is_made = self.made_for is not None
            yield at, block if is_made else standardize_part(block, float(rates[at[0]]), spec)

    @property
    def n_rows(self) -> int:
        """Rows of a recording: its leads, or 1 where they are laid end to end."""
        return len(self.leads) if self.made_for is None else self.made_for.n_rows

    def find_rows(self, spec: SignalSpec) -> list[int]:
        """Find the rows of a spec's leads; refuse a spec that the cache cannot serve."""
        if self.made_for != _made_for(spec):
            raise SpecMismatch(
                f"The spec is {spec.to_json()}, the cache holds "
                f"{self.made_for.to_json() if self.made_for else 'stored integers'}. "
                "Open it with the spec."
            )
        lacking = [lead for lead in spec.leads if lead not in self.leads]
        if lacking:
            raise SpecMismatch(
                f"The spec asks for the leads {spec.leads}, the cache holds {self.leads}. "
                "Open it with the spec's leads."
            )
        if self.n_rows != len(self.leads):
            return [0]
        return [self.leads.index(lead) for lead in spec.leads]

    def _count_samples(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the samples of each lead of some recordings, ``(record,)``."""
        return (self.offsets[rows + 1] - self.offsets[rows]) // self.n_rows

    def _record(self, row: int) -> NDArray[Any]:
        """Read the samples of one recording, ``(lead, sample)``."""
        flat = self.samples[self.offsets[row] : self.offsets[row + 1]]
        return flat.reshape(self.n_rows, -1)


def _load(folder: Path) -> SignalCache:
    # A plain array over the map: each slice of np.memmap itself costs some microseconds.
    samples = np.asarray(np.load(folder / SAMPLES, mmap_mode="r"))
    contents = json.loads((folder / _CONTENTS).read_text(encoding="utf-8"))
    made_for = None
    if (folder / _SPEC).is_file():
        made_for = SignalSpec.from_json(json.loads((folder / _SPEC).read_text(encoding="utf-8")))
    scales = np.asarray(np.load(folder / SCALES, mmap_mode="r")) if made_for is None else None
    offsets, rates = np.load(folder / OFFSETS), np.load(folder / RATES)
    return SignalCache(
        folder,
        tuple(contents["leads"]),
        samples,
        offsets,
        rates,
        made_for,
        scales,
        None if scales is None else (contents.get("scaled_start", 0), contents["scaled_samples"]),
    )


def _made_for(spec: SignalSpec) -> SignalSpec | None:
    """Give what a cache of a spec depends on; None for integers.

    Segments and channels are not among it, unless what is stored are segments.
    """
    if not spec.needs_millivolts:
        return None
    if spec.holds_segments:
        return replace(spec, aggregation="by-label")
    whole = 1.0 if spec.record_s is None else spec.record_s
    changes: dict[str, Any] = {"segment_s": whole, "n_channels": len(spec.leads)}
    return replace(spec, **changes, aggregation="by-label")


def _scaled(spec: SignalSpec) -> dict[str, int | None]:
    """Name the part that scales are measured on; a start of 0 as before there was a choice."""
    start, n_samples = part_samples(spec)
    return {"scaled_samples": n_samples, **({"scaled_start": start} if start else {})}


def _fingerprint(index: pd.DataFrame, shard_folder: Path, spec: SignalSpec) -> str:
    places = pa.table(
        {
            "record_id": pa.array(index["record_id"], pa.string()),
            "shard": pa.array(index["shard"], pa.string()),
            "row": pa.array(index["row"], pa.int32()),
        }
    )
    shards = sorted(str(shard) for shard in index["shard"].unique())
    made_of = {
        "layout": CACHE_LAYOUT,
        "leads": list(spec.leads),
        **_scaled(spec),
        "places": fingerprint_table(places),
        "shards": {name: fingerprint_file(shard_folder / f"{name}.parquet") for name in shards},
    }
    if made_for := _made_for(spec):
        made_of["spec"] = made_for.to_json()
    return fingerprint_json(made_of)
