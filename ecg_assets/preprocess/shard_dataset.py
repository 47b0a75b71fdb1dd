"""Stored shards as one dataset that reads no more than is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.preprocess.shard_file import read_shard, require_columns
from ecg_assets.preprocess.shard_schema import shard_schema


class ShardDataset(Mapping[str, Path]):
    """Paths of stored shards by name; opening one reads nothing.

    Samples stay in the shards' files: a reading touches the row groups (256 recordings)
    and leads that it needs. For training, which reads at random for hours, decode them once
    into a `SignalCache`.

    Parameters
    ----------
    paths
        ``<shard>.parquet`` of each stored shard.

    >>> len(ShardDataset({}))
    0
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = dict(sorted(paths.items()))

    def __getitem__(self, shard: str) -> Path:
        return self._paths[shard]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    @cached_property
    def index(self) -> pd.DataFrame:
        """``record_id``, ``shard`` and ``row`` of every recording, read once."""
        return self.read(["record_id"])

    @cached_property
    def leads(self) -> tuple[str, ...]:
        """Leads that every shard stores, in the first one's order."""
        stored = [_stored_leads(path) for path in self.values()]
        first = stored[0] if stored else ()
        return tuple(lead for lead in first if all(lead in names for names in stored))

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Read columns other than samples, of all recordings, after ``shard`` and ``row``.

        Raises
        ------
        SchemaError
            When a shard lacks a column.
        """
        parts = []
        for shard, path in self.items():
            frame = read_shard(path, columns=columns).to_pandas()
            frame.insert(0, "row", np.arange(len(frame)))
            frame.insert(0, "shard", shard)
            parts.append(frame)
        empty = pd.DataFrame(columns=["shard", "row", *columns])
        return pd.concat(parts, ignore_index=True) if parts else empty

    def read_rows(
        self, shard: str, start: int, stop: int, leads: Sequence[str] | None = None
    ) -> pa.Table:
        """Read recordings ``start`` to ``stop - 1`` of a shard, as `shard_schema` declares.

        Parameters
        ----------
        shard
            Name of a stored shard.
        start, stop
            Rows in its file, from 0; what lies beyond its end is not there.
        leads
            Leads to read; all that are stored by default.
        """
        with pq.ParquetFile(self[shard]) as file:
            stop = min(stop, file.metadata.num_rows)
            return _read_rows(file, np.arange(max(start, 0), stop), leads, self[shard])

    def read_records(
        self, record_ids: Sequence[str], leads: Sequence[str] | None = None
    ) -> pa.Table:
        """Read recordings by name, in the order asked for, as `shard_schema` declares.

        Raises
        ------
        SchemaError
            When one is not stored.
        """
        if not len(record_ids):
            raise ValueError("record_ids is empty; name at least one recording.")
        at = pd.Index(self.index["record_id"]).get_indexer(pd.Index(record_ids))
        if (at < 0).any():
            missing = [name for name, place in zip(record_ids, at, strict=True) if place < 0]
            raise SchemaError(
                f"{len(missing)} of {len(record_ids)} recordings are not in the {len(self)} stored "
                f"shards, first {missing[0]}. Look for it among the rejects, or preprocess its "
                "shard."
            )
        places = self.index.iloc[at]
        tables, order = [], []
        for shard, positions in places.groupby("shard").indices.items():
            path = self[str(shard)]
            with pq.ParquetFile(path) as file:
                rows = places["row"].to_numpy()[positions].astype(np.int64)
                tables.append(_read_rows(file, rows, leads, path))
            order.append(positions)
        return pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(order))))

    def batches(
        self, leads: Sequence[str] | None = None, *, n_records: int = 256
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Give all recordings in batches of at most `n_records`, each with its shard's name.

        Memory is that of a batch, whatever the dataset's size.
        """
        for shard, path in self.items():
            with pq.ParquetFile(path) as file:
                columns = _columns(file, leads, path)
                for batch in file.iter_batches(n_records, columns=columns):
                    yield shard, batch


def _stored_leads(path: Path) -> list[str]:
    names = pq.read_schema(path).names
    return [name.removeprefix("lead_") for name in names if name.startswith("lead_")]


def _read_rows(
    file: pq.ParquetFile, rows: NDArray[np.int64], leads: Sequence[str] | None, path: Path
) -> pa.Table:
    """Read rows in the order given, from the row groups that hold them."""
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    groups, group_of_row = np.unique(np.searchsorted(ends, rows, "right"), return_inverse=True)
    table = file.read_row_groups(groups.tolist(), columns=_columns(file, leads, path))
    starts_read = np.cumsum([0, *np.take(sizes, groups)])[:-1]
    starts_stored = ends[groups] - np.take(sizes, groups)
    return table.take(pa.array(rows - starts_stored[group_of_row] + starts_read[group_of_row]))


def _columns(file: pq.ParquetFile, leads: Sequence[str] | None, path: Path) -> list[str] | None:
    if leads is None:
        return None
    columns = [column.name for column in shard_schema(leads).columns]
    require_columns(file, columns, path)
    return columns
