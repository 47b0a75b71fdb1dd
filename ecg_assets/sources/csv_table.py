"""Read a dataset's CSV with clear errors for what users really have on disk."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from ecg_assets.errors import SchemaError

_MOST_HEADER_CHARACTERS = 1 << 16


def read_csv_table(
    path: Path, required: Sequence[str], *, optional: Collection[str] | None = ()
) -> pa.Table:
    """Read columns of a CSV as text: stripped of spaces, null where nothing is left.

    Text is taken as written: no "NA" becomes null, no number loses its zeros.

    Parameters
    ----------
    path
        UTF-8 file, plain or ``.gz``; a byte-order mark is accepted.
    required
        Columns that must be there; they come first, in this order.
    optional
        Columns to read where they are there; None for all others, in the file's order.

    Raises
    ------
    SchemaError
        When the file is missing, empty or no such table. No message quotes a row: rows
        hold patients' ids and reports.
    """
    line = _read_first_line(path)
    names = [name.strip() for name in next(csv.reader([line]), [])]
    if not names:
        raise SchemaError(f"{path} is empty; expected the columns {list(required)}.")
    missing = [name for name in required if name not in names]
    if missing:
        raise SchemaError(f"{path}: columns {missing} are missing; found {names}.")
    wanted = [*required, *(name for name in names if _is_wanted(name, required, optional))]
    table = _read_text_columns(path, wanted, names) if line.endswith(("\n", "\r")) else None
    if not table:
        raise SchemaError(f"{path} has a header and no rows.")
    return pa.table({name: _stripped(table[name]) for name in wanted})


def _is_wanted(name: str, required: Sequence[str], optional: Collection[str] | None) -> bool:
    return name not in required and (optional is None or name in optional)


def _read_first_line(path: Path) -> str:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(
            path, "rt", encoding="utf-8-sig", newline=""
        ) as stream:
            return str(stream.readline(_MOST_HEADER_CHARACTERS))
    except FileNotFoundError as error:
        raise SchemaError(f"{path} does not exist.") from error
    except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path} cannot be read as CSV in UTF-8: {_kind(error)}.") from error


def _read_text_columns(path: Path, wanted: list[str], names: list[str]) -> pa.Table:
    odd_rows: list[int] = []

    def count(row: pa_csv.InvalidRow) -> str:
        odd_rows.append(row.actual_columns)
        return "skip"

    repeated = [name for name in wanted if names.count(name) > 1]
    if repeated:
        raise SchemaError(f"{path}: columns {repeated} stand there more than once.")
    try:
        table = pa_csv.read_csv(
            path,
            # Names are given: pyarrow would keep the byte-order mark and spaces in them.
            read_options=pa_csv.ReadOptions(column_names=names, skip_rows=1),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=count),
            convert_options=pa_csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
            ),
        )
    except (pa.ArrowInvalid, OSError) as error:
        # Arrow's own message may quote a row.
        raise SchemaError(f"{path} cannot be read as CSV in UTF-8: {_kind(error)}.") from None
    if odd_rows:
        raise SchemaError(
            f"{path}: {len(odd_rows)} rows have another number of fields than the header's "
            f"{len(names)}, the first {odd_rows[0]}. A report with a comma needs quotes."
        )
    return table


def _stripped(column: pa.ChunkedArray) -> pa.Array:
    plain = pc.utf8_trim_whitespace(column.combine_chunks())
    return pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)


def _kind(error: Exception) -> str:
    return type(error).__name__
