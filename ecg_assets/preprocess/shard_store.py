"""Shards at rest: one Parquet file of signals, one of rejects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.preprocess.shard import RECORDS_PER_GROUP, ShardTables
from ecg_assets.preprocess.shard_schema import REJECTS, shard_schema
from ecg_assets.storage import replace_file


def write_shard(tables: ShardTables, signals_path: Path, rejects_path: Path) -> None:
    """Write a shard's two files, the signals last: where they are, the shard is whole.

    Equal tables give equal bytes.
    """
    with replace_file(rejects_path) as temporary:
        pq.write_table(REJECTS.from_pandas(tables.rejects), temporary)
    samples = [name for name in tables.signals.column_names if name.startswith("lead_")]
    with replace_file(signals_path) as temporary:
        # Neighbouring samples differ little: this encoding takes 30 % less space than
        # zstd, and half its time to write and to read.
        pq.write_table(
            tables.signals,
            temporary,
            row_group_size=RECORDS_PER_GROUP,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            column_encoding={f"{name}.list.element": "DELTA_BINARY_PACKED" for name in samples},
        )


def read_shard(
    path: Path, leads: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a shard's signals, or some of its columns.

    Parameters
    ----------
    path
        File of the signals.
    leads
        Leads to read with all their columns; all that are stored by default.
    columns
        Names of the columns to read instead, e.g. ``record_id, is_flat_I``.

    Raises
    ------
    SchemaError
        When the file lacks a lead or column.
    """
    if columns is None and leads is not None:
        columns = [column.name for column in shard_schema(leads).columns]
    with pq.ParquetFile(path) as file:
        require_columns(file, columns or [], path)
        return file.read(columns=None if columns is None else list(columns))


def require_columns(file: pq.ParquetFile, columns: Sequence[str], path: Path) -> None:
    """Raise `SchemaError` with the leads that are stored, unless a shard has these columns."""
    stored = file.schema_arrow.names
    missing = [name for name in columns if name not in stored]
    if missing:
        leads = [name.removeprefix("lead_") for name in stored if name.startswith("lead_")]
        raise SchemaError(
            f"{path} lacks the columns {missing}; it stores the leads {leads}. "
            "Preprocess the shard with the leads you need."
        )


# Stored shards as one dataset that reads no more than is asked for.


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

    def read_durations(self) -> pd.Series[float]:
        """Read how many seconds each recording has, by record_id."""
        stored = self.read(["record_id", "n_samples", "sample_rate_hz"])
        seconds = stored["n_samples"].astype(float) / stored["sample_rate_hz"].astype(float)
        return pd.Series(seconds.to_numpy(), index=pd.Index(stored["record_id"]), name="duration_s")

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


# What a shard holds, in numbers that may be shown.


def shard_summary(tables: ShardTables) -> dict[str, int | float]:
    """Count recordings, rejects by reason, and recordings with a quality flag in any lead.

    ``missing_share`` is the share of missing samples; shares of nothing are 0.
    """
    signals, reasons = tables.signals, tables.rejects["reason"].value_counts()
    names = signals.column_names
    n_total = signals.num_rows + len(tables.rejects)
    flagged = {
        kind: np.array([signals[name].to_numpy() for name in names if name.startswith(kind)])
        for kind in ("is_flat_", "n_missing_", "n_clipped_")
    }
    n_samples = (pc.sum(signals["n_samples"]).as_py() or 0) * len(flagged["n_missing_"])
    return {
        "records": signals.num_rows,
        "rejected": len(tables.rejects),
        "rejected_share": len(tables.rejects) / max(n_total, 1),
        "records_with_flat_lead": int(flagged["is_flat_"].any(axis=0).sum()),
        "records_with_missing_samples": int(flagged["n_missing_"].any(axis=0).sum()),
        "records_with_clipped_samples": int(flagged["n_clipped_"].any(axis=0).sum()),
        "missing_share": float(flagged["n_missing_"].sum() / max(n_samples, 1)),
        **{f"rejected_{reason}": int(reasons[reason]) for reason in sorted(reasons.index)},
    }
